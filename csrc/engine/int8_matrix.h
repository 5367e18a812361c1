// Packed weights of a step session in 8 bits. Sums of products are exact integers, so they are the same for every
// instruction set.
//
// A row of the weights is a scale times integers q from -127 to 127. The vector that it is multiplied with is a scale
// times integers of 16 bits, each 256 · high + low with two signed bytes: rounded to one byte, one large number would
// erase all others. The weights are stored as q + 128, because the instruction multiplies unsigned with signed bytes.
#pragma once
#if defined(__AVX2__)
#include <cpuid.h>
#endif

#include "weights.h"

namespace recurra::RECURRA_ISA {

typedef int32_t Ints __attribute__((vector_size(RECURRA_VECTOR_BYTES)));

inline Ints load_ints(const void* p) {
    Ints v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline Ints bits_of(Vec<float> x) { return load_ints(&x); }

constexpr int kQuad = 4;            // numbers of a column that share a word
constexpr float kMost = 32639;      // 127 · 256 + 127, so that both bytes are at most 127
constexpr float kLeast = 1e-30f;    // a vector below it counts as zero: the inverse of its scale would be infinite
constexpr float kRound = 12582912;  // 1.5 · 2^23: adding it rounds to an integer in the last bits

// A vector in 16 bits.
class Int8Input {
public:
    Vector<int8_t> high, low;  // whole words: zeros after the end
    float scale = 0;           // NaN if a number is not finite
    int32_t high_sum = 0, low_sum = 0;

    void set(const float* x, int n) {
        constexpr int L = lanes<float>;
        high.resize(round_up(n, 4 * L)), low.resize(high.size());
        Ints most{};
        for (int i = 0; i < n; i += L) {
            const Ints size = bits_of(load_part(x + i, n - i)) & INT32_MAX;
            most = size > most ? size : most;
        }
        int32_t bits = 0;
        for (int j = 0; j < L; ++j) bits = std::max(bits, int32_t(most[j]));  // above infinity for NaN
        float largest;
        std::memcpy(&largest, &bits, sizeof largest);
        const bool finite = bits < 0x7f800000, zero = largest < kLeast;
        scale = !finite ? NAN : zero ? 0 : largest / kMost;
        const Vec<float> inverse = splat(!finite || zero ? 0.f : kMost / largest);
        Ints high_total{}, low_total{};
        for (int i = 0; i < n; i += L) {
            const Vec<float> taken = finite ? load_part(x + i, n - i) : Vec<float>{};
            const Ints q = bits_of(taken * inverse + kRound) - 0x4b400000;
            const Ints lower = ((q + 128) & 255) - 128, upper = (q - lower) >> 8;
            high_total += upper, low_total += lower;
            store_bytes(&high[i], upper), store_bytes(&low[i], lower);
        }
        high_sum = low_sum = 0;
        for (int j = 0; j < L; ++j) high_sum += high_total[j], low_sum += low_total[j];
    }

private:
    static void store_bytes(int8_t* to, Ints from) {
        typedef int8_t Bytes __attribute__((vector_size(RECURRA_VECTOR_BYTES / 4)));
        const Bytes bytes = __builtin_convertvector(from, Bytes);
        std::memcpy(to, &bytes, sizeof bytes);
    }
};

// The instruction: four products of bytes, added to a number of 32 bits.
#if defined(__AVX512F__)
#define RECURRA_VNNI "avx512vnni"
#elif defined(__AVX2__)
#define RECURRA_VNNI "avxvnni"
#endif

// Sums of products of a strip with the high and the low bytes of a vector.
template <int V>
struct Int8Sums {
    Ints high[V], low[V];
};

#if defined(RECURRA_VNNI)
inline bool has_vnni() {
    static const bool found = [] {
#if defined(__AVX512F__)
        return __builtin_cpu_supports("avx512vnni") != 0;
#else  // __builtin_cpu_supports of Clang 14 does not know it
        unsigned a = 0, b, c, d;
        return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
#endif
    }();
    return found;
}
template <int V>
__attribute__((target(RECURRA_VNNI), noinline)) void tile_vnni(int words, const Int8Input& x,
                                                               const uint8_t* __restrict packed, Int8Sums<V>& sums) {
    Ints high[V], low[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) high[v] = low[v] = Ints{};
    for (int j = 0; j < words; ++j, packed += V * RECURRA_VECTOR_BYTES) {
        int32_t upper, lower;
        std::memcpy(&upper, &x.high[j * kQuad], 4), std::memcpy(&lower, &x.low[j * kQuad], 4);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
#if defined(__AVX512F__)
            const __m512i w = _mm512_loadu_si512(packed + v * 64);
            high[v] = (Ints)_mm512_dpbusd_epi32((__m512i)high[v], w, _mm512_set1_epi32(upper));
            low[v] = (Ints)_mm512_dpbusd_epi32((__m512i)low[v], w, _mm512_set1_epi32(lower));
#else
            const __m256i w = (__m256i)load_ints(packed + v * 32);
            high[v] = (Ints)_mm256_dpbusd_avx_epi32((__m256i)high[v], w, _mm256_set1_epi32(upper));
            low[v] = (Ints)_mm256_dpbusd_avx_epi32((__m256i)low[v], w, _mm256_set1_epi32(lower));
#endif
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums.high[v] = high[v], sums.low[v] = low[v];
}
#else
inline bool has_vnni() { return false; }
template <int V>
void tile_vnni(int, const Int8Input&, const uint8_t*, Int8Sums<V>&) {}
#endif

// Each word has two numbers of 16 bits: returns the sum of their products.
inline __attribute__((always_inline)) Ints add_pairs(Ints sum, Ints a, Ints b) {
#if defined(__AVX512F__)
    return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return sum + (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

template <int V>
void tile_int8(int words, const Int8Input& x, const uint8_t* __restrict packed, Int8Sums<V>& sums) {
    typedef int16_t Shorts __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    Ints high[V], low[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) high[v] = low[v] = Ints{};
    for (int j = 0; j < words; ++j, packed += V * RECURRA_VECTOR_BYTES) {
        int32_t upper, lower;
        std::memcpy(&upper, &x.high[j * kQuad], 4), std::memcpy(&lower, &x.low[j * kQuad], 4);
        // bytes 0 and 2, and bytes 1 and 3, as numbers of 16 bits
        const Shorts both_high = (Shorts)(Ints{} + upper), both_low = (Shorts)(Ints{} + lower);
        const Ints even_high = (Ints)(both_high << 8 >> 8), odd_high = (Ints)(both_high >> 8),
                   even_low = (Ints)(both_low << 8 >> 8), odd_low = (Ints)(both_low >> 8);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            const Ints w = load_ints(packed + v * RECURRA_VECTOR_BYTES), even = w & 0x00ff00ff,
                       odd = (w >> 8) & 0x00ff00ff;
            high[v] = add_pairs(add_pairs(high[v], even, even_high), odd, odd_high);
            low[v] = add_pairs(add_pairs(low[v], even, even_low), odd, odd_low);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums.high[v] = high[v], sums.low[v] = low[v];
}

class Int8Matrix {
public:
    static constexpr int kFaster = 3;
    typedef Int8Input Input;

    void pack(PackedMatrix<float>& m) {
        depth_ = m.depth, side_ = m.side;
        data_.resize(size_t(words()) * m.vectors * RECURRA_VECTOR_BYTES), scales_.resize(m.vectors * lanes<float>);
        for (int index = 0; index < m.strips(); ++index) {
            const int width = m.width(index) * lanes<float>;
            for (int j = 0; j < width; ++j) pack_row(m.strip(index) + j, width, index, j);
        }
    }
    // acc[v] += the products of a strip.
    template <int V>
    inline __attribute__((always_inline)) void times(int index, const Input& in, Vec<float> (&acc)[1][V]) const {
        Int8Sums<V> sums;
        if (has_vnni()) tile_vnni<V>(words(), in, strip(index), sums);
        else tile_int8<V>(words(), in, strip(index), sums);
        for (int v = 0; v < V; ++v) {  // of q + 128, so 128 times the sum of the vector is subtracted
            const Ints high = sums.high[v] - 128 * in.high_sum, low = sums.low[v] - 128 * in.low_sum;
            const Vec<float> sum = floats_of(high) * 256.f + floats_of(low);
            acc[0][v] += sum * (load(&scales_[(index * side_ + v) * lanes<float>]) * in.scale);
        }
    }

private:
    Buffer<uint8_t> data_;
    Vector<float> scales_;
    int depth_ = 0, side_ = 0;

    int words() const { return (depth_ + kQuad - 1) / kQuad; }
    uint8_t* strip(int index) const { return data_.get() + size_t(index) * side_ * RECURRA_VECTOR_BYTES * words(); }
    static Vec<float> floats_of(Ints x) { return __builtin_convertvector(x, Vec<float>); }

    // Rounds a row of the weights: the numbers from[0], from[width] and so on.
    void pack_row(const float* from, int width, int index, int column) {
        float largest = 0;
        bool finite = true;
        for (int k = 0; k < depth_; ++k) {
            const float size = std::fabs(from[size_t(k) * width]);
            finite &= size < INFINITY, largest = std::max(largest, size);
        }
        const bool zero = largest < kLeast;
        scales_[index * side_ * lanes<float> + column] = !finite ? NAN : zero ? 0 : largest / 127;
        const float inverse = !finite || zero ? 0 : 127 / largest;
        for (int k = 0; k < words() * kQuad; ++k) {
            const float w = k < depth_ && finite ? from[size_t(k) * width] * inverse : 0;
            strip(index)[(size_t(k / kQuad) * width + column) * kQuad + k % kQuad] = uint8_t(std::lrintf(w) + 128);
        }
    }
};

}  // namespace recurra::RECURRA_ISA
