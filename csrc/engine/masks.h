// Random masks of dropout: a hash of a seed and the position of a number, so that any part can be drawn again.
#pragma once
#include <algorithm>
#include <cstdint>

#include "simd.h"

namespace recurra::RECURRA_ISA {

typedef uint32_t Words __attribute__((vector_size(RECURRA_VECTOR_BYTES)));

// 32 random bits per lane; the first position is `at`.
inline Words draw(int64_t at, uint64_t seed) {
    Words x;
    for (int i = 0; i < int(sizeof(Words) / 4); ++i) x[i] = uint32_t(i);
    x = (x + uint32_t(at)) ^ uint32_t(seed);
    for (uint32_t factor : {0x7feb352du, 0x846ca68bu}) x = (x ^ x >> 16) * factor, x ^= x >> 15;
    x += uint32_t(seed >> 32) ^ uint32_t(at >> 32);
    for (uint32_t factor : {0x7feb352du, 0x846ca68bu}) x = (x ^ x >> 16) * factor, x ^= x >> 15;
    return x;
}

// A mask of 0 and 1 / (1 - dropped), in float32 precision for all types.
class DropMask {
public:
    DropMask(double dropped, uint64_t seed)
        : limit_(uint32_t(std::min(dropped * 0x1p32, 0x1p32 - 1))),
          scale_(dropped < 1 ? float(1 / (1 - dropped)) : 0.f),
          seed_(seed) {}

    // The numbers from position `at` on.
    Vec<float> at(int64_t at, float) const { return draw(at, seed_) < limit_ ? Vec<float>{} : splat(scale_); }
    Vec<double> at(int64_t at, double) const {
        const Words words = draw(at, seed_);
        Vec<double> found{};
        for (int i = 0; i < lanes<double>; ++i) found[i] = words[i] < limit_ ? 0. : double(scale_);
        return found;
    }

private:
    const uint32_t limit_;
    const float scale_;
    const uint64_t seed_;
};

}  // namespace recurra::RECURRA_ISA
