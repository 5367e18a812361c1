// Packed weights of a step session, in float32 (float64) and in bfloat16. A matrix has a type `Input` for the vector that
// it is multiplied with. `kFaster`: how many times faster than float32 a step is about.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

template <class T>
class ExactMatrix {
public:
    static constexpr int kFaster = 1;
    struct Input {
        const T* x;
        void set(const T* x_, int) { x = x_; }
    };
    void pack(PackedMatrix<T>& m) { data_ = std::move(m); }
    // acc[v] += the products of a strip.
    template <int V>
    inline __attribute__((always_inline)) void times(int strip, const Input& in, Vec<T> (&acc)[1][V]) const {
        tile_alone<T, V>(data_.depth, in.x, data_.strip(strip), acc);
    }

private:
    PackedMatrix<T> data_;
};

// A vector for products with a Bf16Matrix: a copy of an even length.
struct Bf16Input {
    Vector<float> plain;
    void set(const float* x, int n) {
        plain.resize(n + n % 2);
        std::copy_n(x, n, plain.data());
        if (n % 2) plain[n] = 0;
    }
};

// acc[v] += sum over k of x[k] * packed[k][v]. If depth is odd, x has one more number. Not with the instruction for
// bfloat16: x would be a sum of two such numbers, and these two instructions take longer than the four here.
template <int V>
inline __attribute__((always_inline)) void tile_bf16_words(int depth, const float* x, const uint32_t* __restrict packed,
                                                           Vec<float> (&acc)[1][V]) {
    typedef uint32_t Words __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    Vec<float> odd[V] = {};
    for (int k = 0; k < depth; k += 2, packed += V * lanes<float>) {
        const Vec<float> even_x = splat(x[k]), odd_x = splat(x[k + 1]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            Words both, low;
            std::memcpy(&both, packed + v * lanes<float>, sizeof both);
            low = both << 16, both &= 0xffff0000u;
            Vec<float> first, second;
            std::memcpy(&first, &low, sizeof low);
            std::memcpy(&second, &both, sizeof both);
            acc[0][v] += even_x * first;
            odd[v] += odd_x * second;
        }
    }
    for (int v = 0; v < V; ++v) acc[0][v] += odd[v];
}

// Weights in bfloat16, in the order of a packed matrix. The numbers of k and k + 1 share a word.
class Bf16Matrix {
public:
    static constexpr int kFaster = 2;
    typedef Bf16Input Input;
    void pack(PackedMatrix<float>& m) {
        depth = m.depth, side = m.side;
        const int pairs = (depth + 1) / 2, wide = lanes<float>;
        data.resize(size_t(pairs) * m.vectors * wide);
        for (int index = 0; index < m.strips(); ++index) {
            const int width = m.width(index) * wide;
            uint32_t* to = strip(index);
            for (int k = 0; k < depth; k += 2)
                for (int j = 0; j < width; ++j) {
                    const float* from = m.strip(index) + size_t(k) * width + j;
                    *to++ = rounded(from[0]) >> 16 | (k + 1 < depth ? rounded(from[width]) & 0xffff0000u : 0);
                }
        }
    }

    template <int V>
    inline __attribute__((always_inline)) void times(int index, const Input& in, Vec<float> (&acc)[1][V]) const {
        tile_bf16_words<V>(depth, in.plain.data(), strip(index), acc);
    }

private:
    Buffer<uint32_t> data;
    int depth = 0, side = 0;

    uint32_t* strip(int index) const { return data.get() + size_t(index) * side * lanes<float> * ((depth + 1) / 2); }
    static uint32_t rounded(float x) {  // rounds to nearest, ties to even; the upper half is the bfloat16
        uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        if (x != x) return bits | 0x400000;
        return bits + 0x7fff + (bits >> 16 & 1);
    }
};

}  // namespace recurra::RECURRA_ISA
