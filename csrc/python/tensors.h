// Torch's tensors as the engine sees them, and new ones in its memory. Nothing of torch is linked or included: it is asked by
// DLPack's table of C functions where it has one, by Python's attributes where it is older.
#pragma once
#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>

namespace recurra {

enum class Numbers { float32, float64, int64 };
template <class T>
constexpr Numbers numbers = sizeof(T) == 4 ? Numbers::float32 : Numbers::float64;

// A plain tensor in this machine's memory: of these numbers, with at most three dimensions, and with the signs that its memory says.
struct Tensor {
    void* data;
    Numbers kind;
    int dims;
    int64_t shape[3], strides[3];

    template <class Sizes>
    bool has_shape(const Sizes& sizes) const {
        bool same = sizes.size() == size_t(dims);
        for (int i = 0; same && i < dims; ++i) same = sizes[i] == shape[i];  // std::equal calls memcmp
        return same;
    }
    bool contiguous() const {
        int64_t expected = 1;
        bool packed = true;
        for (int i = dims; i-- > 0; expected *= shape[i]) packed &= shape[i] == 1 || strides[i] == expected;
        return packed || !expected;
    }
};

// False for anything else, without an error being set: tensors of other devices, types and layouts, tensors whose memory was
// freed, wrappers of torch.func, and tensors with torch's lazy negative bit.
bool look(nanobind::handle t, Tensor& found);

// A new tensor, uninitialised; a large one without the cost of fresh pages.
nanobind::object lend(Numbers kind, const int64_t* sizes, int dims, void** data);
template <class T, size_t N>
nanobind::object lend(const std::array<int64_t, N>& sizes, T** data) {
    return lend(numbers<T>, sizes.data(), int(N), reinterpret_cast<void**>(data));
}

bool exchange(bool wanted);  // whether the C functions are to serve; returns whether they do

}  // namespace recurra
