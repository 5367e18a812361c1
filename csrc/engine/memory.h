// Memory for work, kept between calls: fresh pages from the system cost more than the arithmetic on them.
#pragma once
#include <cstddef>
#include <utility>

namespace recurra {

void* borrow(size_t bytes);             // aligned to 64 bytes and uninitialised; throws std::bad_alloc
void give_back(void* block, size_t bytes);  // `bytes` as borrowed

// An uninitialised array: whoever reads an element has written it.
template <class T>
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { give_back(data_, size_ * sizeof(T)); }

    void resize(size_t n) {  // what it held is lost
        if (n <= size_) return;
        give_back(std::exchange(data_, nullptr), std::exchange(size_, 0) * sizeof(T));
        data_ = static_cast<T*>(borrow(n * sizeof(T)));
        size_ = n;
    }
    T* get() const { return data_; }

private:
    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace recurra
