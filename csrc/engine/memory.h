// Reusable memory. Fresh pages from the system cost more than the arithmetic on them.
#pragma once
#include <cstddef>
#include <utility>

namespace recurra {

// Returns a block that is aligned to 64 bytes and uninitialized. `bytes` becomes its size, which may be larger. Throws
// std::bad_alloc.
void* borrow(size_t& bytes);
void give_back(void* block, size_t bytes);  // `bytes` as set by borrow

// An uninitialized array.
template <class T>
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    // always inlined: no object may contain a function of this class, see check_symbols.cmake
    inline __attribute__((always_inline)) ~Buffer() { give_back(data_, bytes_); }

    void resize(size_t n) {  // the content is lost
        if (n <= size_) return;
        give_back(std::exchange(data_, nullptr), std::exchange(bytes_, 0));
        size_ = 0;
        size_t bytes = n * sizeof(T);
        data_ = static_cast<T*>(borrow(bytes));
        size_ = n, bytes_ = bytes;
    }
    T* get() const { return data_; }

private:
    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(bytes_, other.bytes_);
    }
    T* data_ = nullptr;
    size_t size_ = 0, bytes_ = 0;
};

}  // namespace recurra
