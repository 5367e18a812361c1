// Packed weights of a step session, in float32 (float64) and in bfloat16. A matrix has a type `Input` for the vector that
// it is multiplied with, and the weights that a step reads per float32 weight: `kPart`.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

template <class T>
class ExactMatrix {
public:
    static constexpr int kPart = 1;
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

// A vector for products with a Bf16Matrix. `plain` has its numbers. For processors with a bfloat16 instruction, `high`
// and `low` have it as a sum of two bfloat16 numbers, exact except for the last bit.
struct Bf16Input {
    Vector<float> plain;
    Vector<uint32_t> high, low;

    void set(const float* x, int n) {
        const int pairs = (n + 1) / 2;
        plain.resize(2 * pairs), high.resize(pairs), low.resize(pairs);
        std::copy_n(x, n, plain.data());
        if (n % 2) plain[n] = 0;
        for (int j = 0; j < pairs; ++j) {
            uint32_t first, second, first_rest, second_rest;
            split(plain[2 * j], first, first_rest), split(plain[2 * j + 1], second, second_rest);
            high[j] = first >> 16 | second, low[j] = first_rest >> 16 | (second_rest & 0xffff0000u);
        }
    }

private:
    static void split(float x, uint32_t& high, uint32_t& rest) {
        std::memcpy(&high, &x, sizeof high);
        high &= 0xffff0000u;
        float upper;
        std::memcpy(&upper, &high, sizeof upper);
        const float lower = std::isinf(upper) ? 0 : x - upper;
        std::memcpy(&rest, &lower, sizeof rest);
    }
};

#if defined(__AVX512F__) && defined(__x86_64__)
inline bool has_bf16_instruction() {
    static const bool found = __builtin_cpu_supports("avx512bf16");
    return found;
}
template <int V>
__attribute__((target("avx512bf16"), noinline)) void tile_bf16_instruction(int depth, const Bf16Input& x,
                                                                           const uint32_t* __restrict packed,
                                                                           Vec<float> (&acc)[1][V]) {
    __m512 sum[V], rest[V];
    for (int v = 0; v < V; ++v) sum[v] = acc[0][v], rest[v] = _mm512_setzero_ps();
    const uint32_t *high = x.high.data(), *low = x.low.data();
    for (int j = 0; j < (depth + 1) / 2; ++j, packed += V * 16) {
        const __m512bh upper = (__m512bh)_mm512_set1_epi32(int(high[j])),
                       lower = (__m512bh)_mm512_set1_epi32(int(low[j]));
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            const __m512bh w = (__m512bh)_mm512_loadu_si512(packed + v * 16);
            sum[v] = _mm512_dpbf16_ps(sum[v], w, upper);
            rest[v] = _mm512_dpbf16_ps(rest[v], w, lower);
        }
    }
    for (int v = 0; v < V; ++v) acc[0][v] = sum[v] + rest[v];
}
#else
inline bool has_bf16_instruction() { return false; }
template <int V>
void tile_bf16_instruction(int, const Bf16Input&, const uint32_t*, Vec<float> (&)[1][V]) {}
#endif

// acc[v] += sum over k of x[k] * packed[k][v]. If depth is odd, x has one more number.
template <int V>
inline __attribute__((always_inline)) void tile_bf16_emulated(int depth, const float* x,
                                                              const uint32_t* __restrict packed,
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
    static constexpr int kPart = 2;
    typedef Bf16Input Input;
    void pack(PackedMatrix<float>& m) {
        depth = m.depth, side = m.side, finite = all_finite(m.data.get(), int64_t(m.depth) * m.vectors * lanes<float>);
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
        // the lower part may be zero, and zero times infinity is NaN
        if (has_bf16_instruction() && finite) return tile_bf16_instruction<V>(depth, in, strip(index), acc);
        tile_bf16_emulated<V>(depth, in.plain.data(), strip(index), acc);
    }

private:
    Buffer<uint32_t> data;
    int depth = 0, side = 0;
    bool finite = true;

    uint32_t* strip(int index) const { return data.get() + size_t(index) * side * lanes<float> * ((depth + 1) / 2); }
    static uint32_t rounded(float x) {  // rounds to nearest, ties to even; the upper half is the bfloat16
        uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        if (x != x) return bits | 0x400000;
        return bits + 0x7fff + (bits >> 16 & 1);
    }
};

}  // namespace recurra::RECURRA_ISA
