// Products of bfloat16: one instruction multiplies two pairs and adds them in float32. Some processors need as long for
// it as for one product of float32, others four times as long; see `bf16_engines`.
//
// If the engine is compiled with RECURRA_BF16, an element of a packed float matrix is a word with the bfloat16 numbers
// of k and k + 1. The other factor is rounded to bfloat16 before the product. Everything else is float32.
#pragma once
#include "simd.h"

namespace recurra::RECURRA_ISA {

#if defined(RECURRA_BF16)
template <class T>
constexpr bool is_bf16 = sizeof(T) == 4;

constexpr int kPaired = 256;                  // numbers of a row that are rounded at a time
constexpr uint32_t kPairOfOnes = 0x3f803f80;  // a word with two ones

// Returns for each lane the word with the numbers of `first` (lower half) and `second`.
inline Vec<float> words(Vec<float> first, Vec<float> second) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (Vec<float>)_mm512_permutexvar_epi16(order, both);
}

inline void store_words(uint32_t* to, Vec<float> first, Vec<float> second) {
    _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}
// Writes the words of n consecutive numbers. Words after the end are zeros, up to a whole vector.
inline __attribute__((always_inline)) void words_of(const float* x, int n, uint32_t* to) {
    int k = 0;
#pragma GCC unroll 1
    for (; k + 32 <= n; k += 32) store_words(to + k / 2, load(x + k), load(x + k + 16));
    if (k < n) store_words(to + k / 2, load_part(x + k, n - k), load_part(x + k + 16, n - k - 16));
}

// Returns sum + the products of the pairs in b with the pair in `word`.
inline Vec<float> add_products(Vec<float> sum, Vec<float> b, uint32_t word) {
    return _mm512_dpbf16_ps(sum, (__m512bh)b, (__m512bh)_mm512_set1_epi32(int(word)));
}

// The functions of gemm.h for matrices of words.
template <int R, int V>
inline __attribute__((always_inline)) void tile_bf16(int depth, const float* const* a, const float* __restrict b,
                                                     Vec<float> (&acc)[R][V]) {
    alignas(64) uint32_t x[R][kPaired / 2];
    for (int k = 0; k < depth; k += kPaired) {
        const int n = depth - k < kPaired ? depth - k : kPaired;
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) words_of(a[i] + k, n, x[i]);
        for (int j = 0; j < (n + 1) / 2; ++j, b += V * lanes<float>) {
            Vec<float> column[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) column[v] = load(b + v * lanes<float>);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) acc[i][v] = add_products(acc[i][v], column[v], x[i][j]);
        }
    }
}

// Here `a` contains words as well, one row of them for two k.
template <int R, int V>
inline __attribute__((always_inline)) void tile_bf16_across(int depth, const float* __restrict a, int64_t step,
                                                            const float* __restrict b, Vec<float> (&acc)[R][V]) {
    for (int k = 0; k < depth; k += 2, a += step, b += V * lanes<float>) {
        Vec<float> column[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) column[v] = load(b + v * lanes<float>);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            uint32_t word;
            std::memcpy(&word, a + i, sizeof word);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[i][v] = add_products(acc[i][v], column[v], word);
        }
    }
}

template <int V>
inline __attribute__((always_inline)) void tile_bf16_alone(int depth, const float* a, const float* __restrict b,
                                                           Vec<float> (&acc)[1][V]) {
    alignas(64) uint32_t x[kPaired / 2 + 1];
    Vec<float> odd[V] = {};
    for (int k = 0; k < depth; k += kPaired) {
        const int n = depth - k < kPaired ? depth - k : kPaired, all = (n + 1) / 2;
        words_of(a + k, n, x);
        int j = 0;
        for (; j + 2 <= all; j += 2, b += 2 * V * lanes<float>)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
                acc[0][v] = add_products(acc[0][v], load(b + v * lanes<float>), x[j]);
                odd[v] = add_products(odd[v], load(b + (V + v) * lanes<float>), x[j + 1]);
            }
        if (j == all) continue;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[0][v] = add_products(acc[0][v], load(b + v * lanes<float>), x[j]);
        b += V * lanes<float>;
    }
    for (int v = 0; v < V; ++v) acc[0][v] += odd[v];
}
#else
template <class T>
constexpr bool is_bf16 = false;
constexpr uint32_t kPairOfOnes = 0;
// declared only, never called
Vec<float> words(Vec<float>, Vec<float>);
template <class T>
Vec<T> add_products(Vec<T>, Vec<T>, uint32_t);
template <int R, int V>
void tile_bf16(int, const float* const*, const float*, Vec<float> (&)[R][V]);
template <int R, int V>
void tile_bf16_across(int, const float*, int64_t, const float*, Vec<float> (&)[R][V]);
template <int V>
void tile_bf16_alone(int, const float*, const float*, Vec<float> (&)[1][V]);
#endif

}  // namespace recurra::RECURRA_ISA
