// A hash of numbers in memory at the speed of reading them. It detects any change of the weights, so packed weights are
// never stale.
#pragma once
#include "pool.h"
#include "simd.h"
#include "vector.h"

namespace recurra::RECURRA_ISA {

class Fingerprint {
public:
    struct Piece {
        const void* data;
        size_t words;  // number of 32-bit words
    };

    // Returns one hash per part of a piece and per lane of eight vectors.
    static Vector<uint32_t> of(const Vector<Piece>& pieces, int threads) {
        Vector<Piece> parts;
        for (const Piece& piece : pieces)
            for (size_t at = 0; at < piece.words; at += kPart)
                parts.push_back({static_cast<const uint32_t*>(piece.data) + at, std::min(kPart, piece.words - at)});
        Vector<uint32_t> found(parts.size() * kLanes);
        const int n = threads_for(int64_t(parts.size()), 1, threads);
        parallel(n, [&](int share) {
            for (size_t i = share; i < parts.size(); i += n) part(parts[i], &found[i * kLanes]);
        });
        return found;
    }

private:
    typedef uint32_t Words __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    static constexpr int kVectors = 8, kWide = RECURRA_VECTOR_BYTES / 4, kLanes = kVectors * kWide;
    static constexpr size_t kPart = size_t(1) << 14;
    static constexpr uint32_t kFactor = 0x9e3779b1;  // odd, so that the product is one-to-one

    // One-to-one in each word. A polynomial would be linear: changes of the upper bits of all words (signs, exponents)
    // could cancel.
    static void mix(Words& acc, Words w) {
        acc = (acc ^ w) * kFactor;
        acc ^= acc >> 15;
    }

    static void part(Piece piece, uint32_t* to) {
        const auto* p = static_cast<const uint32_t*>(piece.data);
        Words acc[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) acc[v] = Words{} + uint32_t(v + 1);
        size_t i = 0;
        for (; i + kLanes <= piece.words; i += kLanes)
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                Words w;
                std::memcpy(&w, p + i + v * kWide, sizeof w);
                mix(acc[v], w);
            }
        uint32_t rest[kLanes] = {};
        std::memcpy(rest, p + i, (piece.words - i) * 4);
        for (int v = 0; v < kVectors; ++v) {
            Words w;
            std::memcpy(&w, rest + v * kWide, sizeof w);
            mix(acc[v], w);
            std::memcpy(to + v * kWide, &acc[v], sizeof w);
        }
    }
};

}  // namespace recurra::RECURRA_ISA
