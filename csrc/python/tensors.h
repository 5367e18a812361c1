// Access to the memory of torch's tensors, and new tensors in memory of the engine. Torch is neither linked nor
// included: newer versions have DLPack's table of C functions, older ones are accessed through Python attributes.
#pragma once
#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>

namespace recurra {

enum class Numbers { float32, float64, int64 };
template <class T>
constexpr Numbers numbers = sizeof(T) == 4 ? Numbers::float32 : Numbers::float64;

// A plain tensor in the memory of the CPU, of a type of `Numbers`, with at most three dimensions and without a lazy
// negative bit.
struct Tensor {
    void* data;
    Numbers kind;
    int dims;
    int64_t shape[3], strides[3];

    template <class Sizes>
    bool has_shape(const Sizes& sizes) const {
        bool same = sizes.size() == size_t(dims);
        for (int i = 0; same && i < dims; ++i) same = sizes[i] == shape[i];  // std::equal would call memcmp
        return same;
    }
    bool contiguous() const {
        int64_t expected = 1;
        bool packed = true;
        for (int i = dims; i-- > 0; expected *= shape[i]) packed &= shape[i] == 1 || strides[i] == expected;
        return packed || !expected;
    }
};

// Reads a tensor. Returns false, without a Python error, for tensors of other devices, types and layouts, tensors
// without memory, wrappers of torch.func, and tensors with torch's lazy negative bit.
bool look(nanobind::handle t, Tensor& found);

// Returns a new uninitialized tensor. A large one reuses memory of the engine.
nanobind::object lend(Numbers kind, const int64_t* sizes, int dims, void** data);
template <class T, size_t N>
nanobind::object lend(const std::array<int64_t, N>& sizes, T** data) {
    return lend(numbers<T>, sizes.data(), int(N), reinterpret_cast<void**>(data));
}

bool exchange(bool wanted);  // turns DLPack's C functions on or off; returns whether they are used

}  // namespace recurra
