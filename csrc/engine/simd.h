// Vectors by the compiler's own extension: one source for every instruction set.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#ifndef RECURRA_ISA
#error "compile with -DRECURRA_ISA=name and -DRECURRA_VECTOR_BYTES=n"
#endif

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
template <class T>
inline Vec<T> load_part(const T* p, int n) {  // the first n numbers, then zeros; n may be past either end
    Vec<T> v{};
    if (n >= Simd<T>::lanes) std::memcpy(&v, p, sizeof v);
    else if (n > 0) std::memcpy(&v, p, n * sizeof(T));
    return v;
}
template <class T>
inline Vec<T> splat(T s) {
    return s - Vec<T>{};  // folds to a broadcast: x - 0 is x for every x
}

// exp(x) = scale * (1 + q) with |q| < 0.42: both exp and expm1 come from it without loss near 0.
inline void exp_parts(Vec<float> x, Vec<float>& scale, Vec<float>& q) {
    typedef int32_t ivec __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    const Vec<float> rounder = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to a whole number
    Vec<float> n = (x * 1.44269504f + rounder) - rounder;
    Vec<float> r = x - n * 0.693359375f + n * 2.12194440e-4f;
    q = splat(1.f / 5040);
    q = q * r + 1.f / 720;
    q = q * r + 1.f / 120;
    q = q * r + 1.f / 24;
    q = q * r + 1.f / 6;
    q = q * r + 0.5f;
    q = q * r + 1.f;
    q = q * r;
    ivec bits = (__builtin_convertvector(n, ivec) + 127) << 23;
    std::memcpy(&scale, &bits, sizeof scale);
}
inline Vec<float> clamp(Vec<float> x, float low, float high) {  // a NaN stays one
    x = x > high ? splat(high) : x;
    return x < low ? splat(low) : x;
}
inline Vec<float> sigmoid(Vec<float> x) {
    Vec<float> scale, q;
    exp_parts(clamp(-x, -87.f, 87.f), scale, q);
    return 1.f / (1.f + (scale + scale * q));
}
inline Vec<float> tanh(Vec<float> x) {
    Vec<float> scale, q;
    exp_parts(clamp(x + x, -20.f, 20.f), scale, q);
    Vec<float> e = scale * q + (scale - 1.f);  // exp(2x) - 1, exact near 0
    return e / (e + 2.f);
}
inline Vec<double> sigmoid(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = 1 / (1 + std::exp(-x[i]));
    return x;
}
inline Vec<double> tanh(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::tanh(x[i]);
    return x;
}

}  // namespace recurra::RECURRA_ISA
