// Vectors by an extension of the compiler: one source for every instruction set.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#ifndef RECURRA_ISA
#error "compile with -DRECURRA_ISA=name and -DRECURRA_VECTOR_BYTES=n"
#endif

#include "tanh_table.h"

namespace recurra::RECURRA_ISA {

template <class T>
struct Simd {
    static constexpr int lanes = RECURRA_VECTOR_BYTES / sizeof(T);
    typedef T vec __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
};
template <class T>
using Vec = typename Simd<T>::vec;
template <class T>
constexpr int lanes = Simd<T>::lanes;
// Multiply-adds that one thread does in about a microsecond, as measured with AVX-512 for small and large layers.
template <class T>
constexpr int64_t kMicrosecond = int64_t(lanes<T>) << 12;
// The same for one step of a single row, where loading the weights takes longer than multiplying, and for all steps of a
// single row. There the input products of several steps share the weights.
template <class T>
constexpr int64_t kStepMicrosecond = kMicrosecond<T> / 4;
template <class T>
constexpr int64_t kRowMicrosecond = kMicrosecond<T> * 2 / 3;

template <class T>
inline Vec<T> load(const T* p) {
    Vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
inline void store(T* p, Vec<T> v) {
    std::memcpy(p, &v, sizeof v);
}
// Loads the first n numbers, then zeros. n may be negative or larger than a vector. A call of memcpy instead of a mask
// would spill all registers.
template <class T>
inline Vec<T> load_part(const T* p, int n) {
    const int taken = n < 0 ? 0 : n < lanes<T> ? n : lanes<T>;
#if defined(__AVX512F__)
    const unsigned mask = (1u << taken) - 1;
    if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(__mmask16(mask), p);
    else return _mm512_maskz_loadu_pd(__mmask8(mask), p);
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(taken), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        return _mm256_maskload_ps(p, mask);
    } else {
        const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x(taken), _mm256_setr_epi64x(0, 1, 2, 3));
        return _mm256_maskload_pd(p, mask);
    }
#else
    Vec<T> v{};
    std::memcpy(&v, p, taken * sizeof(T));
    return v;
#endif
}
// Non-temporal store to an aligned vector. Call `stream_fence` before another thread reads it.
template <class T>
inline void stream_store(T* p, Vec<T> v) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#else
    store(p, v);
#endif
}
inline bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % RECURRA_VECTOR_BYTES == 0; }
template <class T>
inline void stream_copy(const T* from, const T* end, T* to) {
    if (is_aligned(to))
        for (; end - from >= lanes<T>; from += lanes<T>, to += lanes<T>) stream_store(to, load(from));
    std::copy(from, end, to);
}
inline void stream_fence() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
template <class T>
inline Vec<T> splat(T s) {
    return s - Vec<T>{};  // compiles to a broadcast: x - 0 is x for every x
}

// Interleaves blocks of Step lanes of a and b: the even blocks of both (Odd: the odd blocks), beginning with a. For
// Step 1 and four lanes: a0 b0 a2 b2 (Odd: a1 b1 a3 b3).
template <class T, int Step, bool Odd, size_t... J>
inline __attribute__((always_inline)) Vec<T> interleave(Vec<T> a, Vec<T> b, std::index_sequence<J...>) {
    constexpr int from_a = Odd ? Step : 0, from_b = from_a + lanes<T> - Step;
#if defined(__clang__)
    return __builtin_shufflevector(a, b, int(J) + (J & Step ? from_b : from_a)...);
#else  // GCC 11 has no __builtin_shufflevector
    typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> Index;
    typedef Index Order __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    const Order order = {Index(int(J) + (J & Step ? from_b : from_a))...};
    return __builtin_shuffle(a, b, order);
#endif
}
template <class T, int Step, bool Odd>
inline __attribute__((always_inline)) Vec<T> interleave(Vec<T> a, Vec<T> b) {
    return interleave<T, Step, Odd>(a, b, std::make_index_sequence<lanes<T>>{});
}

// Transposes a block of lanes × lanes numbers.
template <class T, int Step = 1>
inline __attribute__((always_inline)) void transpose(Vec<T> (&v)[lanes<T>]) {
    constexpr int L = lanes<T>;
    if constexpr (Step < L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
            if (i & Step) continue;
            const Vec<T> a = v[i], b = v[i + Step];
            v[i] = interleave<T, Step, false>(a, b);
            v[i + Step] = interleave<T, Step, true>(a, b);
        }
        transpose<T, 2 * Step>(v);
    }
}

// The smaller and the larger of two numbers. A NaN in x stays NaN.
inline Vec<float> at_most(Vec<float> x, float high) {
#if defined(__AVX512F__)
    return _mm512_min_ps(_mm512_set1_ps(high), x);
#elif defined(__AVX2__)
    return _mm256_min_ps(_mm256_set1_ps(high), x);
#elif defined(__wasm_simd128__)
    return wasm_f32x4_pmin(x, wasm_f32x4_splat(high));
#else
    return x > high ? splat(high) : x;
#endif
}
inline Vec<float> at_least(Vec<float> x, float low) {
#if defined(__AVX512F__)
    return _mm512_max_ps(_mm512_set1_ps(low), x);
#elif defined(__AVX2__)
    return _mm256_max_ps(_mm256_set1_ps(low), x);
#elif defined(__wasm_simd128__)
    return wasm_f32x4_pmax(x, wasm_f32x4_splat(low));
#else
    return x < low ? splat(low) : x;
#endif
}

// With RECURRA_PORTABLE, the functions below give the same bits for every instruction set.

// 1 / x for 1 <= x < 2^127, with an error of at most one unit in the last place.
inline Vec<float> reciprocal(Vec<float> x) {
#if defined(__AVX512F__) && !defined(RECURRA_PORTABLE)
    const Vec<float> y = _mm512_rcp14_ps(x);
    return y + y * (1.f - x * y);
#else
    return 1.f / x;
#endif
}

// exp(x) = scale * (1 + q) with |q| < 0.42. Both exp and expm1 follow without loss near 0. |x| < 87.
inline void exp_parts(Vec<float> x, Vec<float>& scale, Vec<float>& q) {
    typedef int32_t ivec __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    const Vec<float> rounder = splat(12582912.f + 127);  // 1.5 * 2^23: adding it rounds to an integer in the last bits
    const Vec<float> rounded = x * 1.44269504f + rounder;
    const Vec<float> n = rounded - rounder;
    // Fused explicitly: the product must not be rounded. The constant has an error of 2e-9.
#if defined(__AVX512F__) && !defined(RECURRA_PORTABLE)
    const Vec<float> r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693147182f), x);
#elif defined(__AVX2__) && defined(__FMA__) && !defined(RECURRA_PORTABLE)
    const Vec<float> r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693147182f), x);
#else
    const Vec<float> r = x - n * 0.693359375f + n * 2.12194440e-4f;
#endif
    // r + r² · p, with p fitted to the smallest error relative to q: 1.4e-8 for |r| < ln 2 / 2
    q = splat(1.38706749e-3f);
    q = q * r + 8.36626533e-3f;
    q = q * r + 4.16674353e-2f;
    q = q * r + 1.66665465e-1f;
    q = q * r + 4.9999997e-1f;
    q = q * (r * r) + r;
    ivec bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    bits <<= 23;
    std::memcpy(&scale, &bits, sizeof scale);
}
inline Vec<float> sigmoid(Vec<float> x) {
    Vec<float> scale, q;
    // 1 / (1 + exp(88.02)) is denormal and becomes 0, the correct value for an infinite x.
    exp_parts(at_least(at_most(-x, 88.02f), -87.f), scale, q);
    return reciprocal((scale + 1.f) + scale * q);
}
#if defined(__AVX512F__) && !defined(RECURRA_PORTABLE)
// Computes N vectors at once: one alone would mostly wait for its own results. The error is about half a unit in the
// last place.
template <int N>
inline __attribute__((always_inline)) void tanh(Vec<float> (&x)[N]) {
    Vec<float> t[N], p[N];
    __m512i piece[N];
    const auto at = [](const __m512i& piece_, int k) -> Vec<float> {
        return _mm512_permutexvar_ps(piece_, _mm512_load_ps(kTanhTable[k]));
    };
    constexpr int last = int(sizeof kTanhTable / sizeof *kTanhTable) - 1;
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) t[v] = at_most(_mm512_abs_ps(x[v]), kTanhMost);
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) piece[v] = _mm512_srli_epi32(_mm512_castps_si512(t[v] * kTanhScale + 1.f), 21);
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) t[v] -= at(piece[v], 0), p[v] = at(piece[v], last);
#pragma GCC unroll 8
    for (int k = last - 1; k > 0; --k)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) p[v] = p[v] * t[v] + at(piece[v], k);
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v)
        x[v] = _mm512_castsi512_ps(
            _mm512_ternarylogic_epi32(_mm512_castps_si512(p[v]), _mm512_castps_si512(x[v]), sign, 0xf8));
}
inline Vec<float> tanh(Vec<float> x) {
    Vec<float> alone[1] = {x};
    tanh(alone);
    return alone[0];
}
#else
inline Vec<float> tanh(Vec<float> x) {
    typedef int32_t ivec __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    ivec bits, sign;
    std::memcpy(&bits, &x, sizeof bits);
    sign = bits & INT32_MIN, bits &= INT32_MAX;
    Vec<float> size, scale, q;  // of |x|: the quotient is more accurate for positive numbers
    std::memcpy(&size, &bits, sizeof size);
    exp_parts(at_most(size + size, 20.f), scale, q);
    const Vec<float> far = 1.f - 2.f * reciprocal((scale + 1.f) + scale * q), z = x * x;
    // Near 0 a polynomial (of the Cephes library), in which only the last sum rounds.
    Vec<float> p = splat(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    Vec<float> t = size < 0.625f ? size + size * (p * z) : far;
    std::memcpy(&bits, &t, sizeof bits);
    bits |= sign;
    std::memcpy(&t, &bits, sizeof t);
    return t;
}
template <int N>
inline void tanh(Vec<float> (&x)[N]) {
    for (Vec<float>& one : x) one = tanh(one);
}
#endif
inline Vec<double> sigmoid(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = 1 / (1 + std::exp(-x[i]));
    return x;
}
inline Vec<double> tanh(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::tanh(x[i]);
    return x;
}
template <int N>
inline void tanh(Vec<double> (&x)[N]) {
    for (Vec<double>& one : x) one = tanh(one);
}

}  // namespace recurra::RECURRA_ISA
