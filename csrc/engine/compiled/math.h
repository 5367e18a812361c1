// Further functions of vectors for compiled cells: exp, log and softplus.
#pragma once
#include "../simd.h"

namespace recurra::RECURRA_ISA {

// Infinite above 88.72. Below -87.33, where results would be denormal, 0. Above 88, the error is up to 4e-6.
inline Vec<float> exp(Vec<float> x) {
    Vec<float> scale, q;
    const Vec<float> inside = at_least(at_most(x > 88.f ? x - 0.693147182f : x, 88.2f), -87.34f);
    exp_parts(inside, scale, q);
    Vec<float> found = scale + scale * q;
    found = x > 88.f ? found + found : found;
    found = x > 88.72283f ? splat(INFINITY) : found;
    return x < -87.33654f ? splat(0.f) : found;
}

// x = 2^e * m with m in [sqrt(1/2), sqrt(2)); then a polynomial (of the Cephes library).
inline Vec<float> log(Vec<float> x) {
    typedef int32_t ivec __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    ivec bits;
    std::memcpy(&bits, &x, sizeof bits);
    const ivec shifted = bits - 0x3f3504f3, exponent = shifted >> 23;  // the bits of sqrt(1/2)
    const ivec mantissa = (shifted & 0x007fffff) + 0x3f3504f3;
    Vec<float> m;
    std::memcpy(&m, &mantissa, sizeof m);
    const Vec<float> e = __builtin_convertvector(exponent, Vec<float>), y = m - 1.f, z = y * y;
    Vec<float> p = splat(7.0376836292e-2f);
    for (float c : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                    2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
        p = p * y + c;
    Vec<float> found = y * z * p - e * 2.12194440e-4f - 0.5f * z;
    found = found + y + e * 0.693359375f;
    found = x > 3.4028235e38f ? x : found;
    found = x < 1.17549435e-38f ? splat(-INFINITY) : found;  // denormal numbers count as zero
    found = x < 0.f ? splat(NAN) : found;
    return x == x ? found : x;
}
inline Vec<double> exp(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::exp(x[i]);
    return x;
}
inline Vec<double> log(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::log(x[i]);
    return x;
}
inline Vec<float> sqrt(Vec<float> x) {
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(x);
#else
    for (int i = 0; i < lanes<float>; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}
inline Vec<double> sqrt(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::sqrt(x[i]);
    return x;
}
template <class T>
inline Vec<T> absolute(Vec<T> x) {
    return x < T(0) ? -x : x;
}
// log(1 + exp(x)) = max(x, 0) + log(1 + u) with u = exp(-|x|). The quotient restores what 1 + u rounds away.
template <class T>
inline Vec<T> softplus(Vec<T> x) {
    const Vec<T> u = exp(-absolute<T>(x)), w = u + T(1);
    const Vec<T> small = log(w) + (u - (w - T(1))) / w;
    return (x < T(0) ? splat(T(0)) : x) + small;
}

}  // namespace recurra::RECURRA_ISA
