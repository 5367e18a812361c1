// One time step after the other from packed weights, with the states kept here: the lowest latency.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

// Weights rounded to bfloat16, in the order of a packed matrix: the numbers of k and k + 1 share a word.
struct HalfMatrix {
    Buffer<uint32_t> data;
    int depth = 0, side = 0;
    bool finite = true;

    void pack(const PackedMatrix<float>& m) {
        depth = m.depth, side = m.side, finite = all_finite(m.data.get(), int64_t(m.depth) * m.vectors * lanes<float>);
        const int pairs = (depth + 1) / 2, wide = lanes<float>;
        data.resize(size_t(pairs) * m.vectors * wide);
        for (int s = 0; s < m.strips(); ++s) {
            const int width = m.width(s) * wide;
            uint32_t* to = strip(s);
            for (int k = 0; k < depth; k += 2)
                for (int j = 0; j < width; ++j) {
                    const float* from = m.strip(s) + size_t(k) * width + j;
                    *to++ = rounded(from[0]) >> 16 | (k + 1 < depth ? rounded(from[width]) & 0xffff0000u : 0);
                }
        }
    }
    uint32_t* strip(int s) const { return data.get() + size_t(s) * side * lanes<float> * ((depth + 1) / 2); }

private:
    static uint32_t rounded(float x) {  // to the nearest, ties to even; the upper half is the bfloat16
        uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        if (x != x) return bits | 0x400000;
        return bits + 0x7fff + (bits >> 16 & 1);
    }
};

// A vector for products with such a matrix: as it is, and, for processors with an instruction for pairs of bfloat16, as the sum
// of two bfloat16, which have all but the last bits between them.
struct HalfInput {
    std::vector<float> plain;
    std::vector<uint32_t> high, low;

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
inline bool has_pairs() {
    static const bool found = __builtin_cpu_supports("avx512bf16");
    return found;
}
template <int V>
__attribute__((target("avx512bf16"), noinline)) void tile_pairs(int depth, const HalfInput& x,
                                                                const uint32_t* __restrict b, Vec<float> (&acc)[1][V]) {
    __m512 sum[V], rest[V];
    for (int v = 0; v < V; ++v) sum[v] = acc[0][v], rest[v] = _mm512_setzero_ps();
    const uint32_t *high = x.high.data(), *low = x.low.data();
    for (int j = 0; j < (depth + 1) / 2; ++j, b += V * 16) {
        const __m512bh h = (__m512bh)_mm512_set1_epi32(int(high[j])), l = (__m512bh)_mm512_set1_epi32(int(low[j]));
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            const __m512bh w = (__m512bh)_mm512_loadu_si512(b + v * 16);
            sum[v] = _mm512_dpbf16_ps(sum[v], w, h);
            rest[v] = _mm512_dpbf16_ps(rest[v], w, l);
        }
    }
    for (int v = 0; v < V; ++v) acc[0][v] = sum[v] + rest[v];
}
#else
inline bool has_pairs() { return false; }
template <int V>
void tile_pairs(int, const HalfInput&, const uint32_t*, Vec<float> (&)[1][V]) {}
#endif

// acc[v] += sum over k of x[k] * b[k][v]; x has a number more if the depth is odd.
template <int V>
inline __attribute__((always_inline)) void tile_half(int depth, const float* x, const uint32_t* __restrict b,
                                                     Vec<float> (&acc)[1][V]) {
    typedef uint32_t Words __attribute__((vector_size(RECURRA_VECTOR_BYTES)));
    Vec<float> odd[V] = {};
    for (int k = 0; k < depth; k += 2, b += V * lanes<float>) {
        const Vec<float> even_x = splat(x[k]), odd_x = splat(x[k + 1]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            Words both, low;
            std::memcpy(&both, b + v * lanes<float>, sizeof both);
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

template <class T>
class Session final : public Steps<T> {
public:
    Session(const Spec& spec, const std::vector<const T*>& flat, bool half)
        : s(spec),
          z(s),
          weights_(s, flat),
          half_(half && sizeof(T) == 4) {
        weights_.pack_forward();
        if constexpr (sizeof(T) == 4)
            for (int l = 0; half_ && l < s.layers; ++l) {
                halves_.emplace_back();
                Direction<T>& dir = weights_.at(l, 0);
                halves_.back().in.pack(dir.in), halves_.back().recurrent.pack(dir.recurrent);
                dir.in = {}, dir.recurrent = {};
            }
        const int64_t rows = s.layers * s.batch;
        room_.resize(2 * rows * (z.outs + z.units) + z.stored * z.units + z.units);
        h_ = room_.get(), c_ = h_ + 2 * rows * z.outs, gates_ = c_ + 2 * rows * z.units;
        hidden_ = gates_ + z.stored * z.units;
        reset();
    }

    void reset() override { std::fill_n(h_, 2 * s.layers * s.batch * (z.outs + z.units), T(0)); }

    void step(const T* x, T* y) override {
        const int64_t work = int64_t(z.products) * z.units * (z.input + z.out) / (half_ ? 2 : 1);
        const int n = z.projects ? 1 : int(std::clamp<int64_t>(work >> 16, 1, std::min(s.threads, z.strips)));
        Barrier meeting(n);
        const auto share = [&](int i) {
            rows(x, z.strips * i / n, z.strips * (i + 1) / n, n > 1 ? &meeting : nullptr);
        };
        if (n == 1 || !together(n, share)) parallel(1, [&](int) { rows(x, 0, z.strips, nullptr); });
        turn_ = !turn_;
        for (int64_t b = 0; b < s.batch; ++b) std::copy_n(state(s.layers - 1, b), z.out, y + b * z.out);
    }

    void read_state(T* h, T* c) const override {
        for (int l = 0; l < s.layers; ++l)
            for (int64_t b = 0; b < s.batch; ++b) {
                std::copy_n(state(l, b), z.out, h + (l * s.batch + b) * z.out);
                if (z.lstm) std::copy_n(cell(l, b), z.hidden, c + (l * s.batch + b) * z.hidden);
            }
    }
    void write_state(const T* h, const T* c) override {
        reset();
        for (int l = 0; l < s.layers; ++l)
            for (int64_t b = 0; b < s.batch; ++b) {
                std::copy_n(h + (l * s.batch + b) * z.out, z.out, state(l, b));
                if (z.lstm) std::copy_n(c + (l * s.batch + b) * z.hidden, z.hidden, cell(l, b));
            }
    }

private:
    struct Halves {
        HalfMatrix in, recurrent;
    };
    const Spec s;
    const Sizes<T> z;
    Weights<T> weights_;
    const bool half_;
    std::vector<Halves> halves_;
    Buffer<T> room_;
    T *h_, *c_, *gates_, *hidden_;
    bool turn_ = false;  // states before and after each step change places

    T* state(int l, int64_t b, bool after = false) const {
        return h_ + ((after != turn_) * s.layers * s.batch + l * s.batch + b) * z.outs;
    }
    T* cell(int l, int64_t b, bool after = false) const {
        return c_ + ((after != turn_) * s.layers * s.batch + l * s.batch + b) * z.units;
    }

    void rows(const T* x, int begin, int end, Barrier* meeting) {
        for (int64_t b = 0; b < s.batch; ++b)
            for (int l = 0; l < s.layers; ++l) {
                const T* in = l ? state(l - 1, b, true) : x + b * z.input;
                HalfInput halves[2];
                if constexpr (sizeof(T) == 4)
                    if (half_) halves[0].set(in, z.inputs(l)), halves[1].set(state(l, b), z.out);
                const Row<T> row{state(l, b), gates_, z.projects ? hidden_ : state(l, b, true), cell(l, b),
                                 cell(l, b, true)};
                for (int i = begin; i < end;
                     ++i)  // there and back again: what was used last is still in the nearest cache
                    panel(l, turn_ ? begin + end - 1 - i : i, in, row, halves);
                if (z.projects) project(l, b);
                if (meeting) meeting->wait();
            }
    }

    void panel(int l, int p, const T* in, const Row<T>& row, const HalfInput* halves) {
        Direction<T>& dir = weights_.at(l, 0);
        const int unit = p * z.unit_vectors * lanes<T>,
                  vectors =
                      std::min(z.products == 1 ? kStrip : z.products, (z.products * z.units / lanes<T>)-p * kStrip);
        constant<kStrip>(z.products == 1 ? vectors : z.products, [&](auto v) {
            constexpr int V = v();
            Vec<T> acc[1][V], gates[1][V];
            for (int i = 0; i < V; ++i)
                gates[0][i] = load(dir.bias.get() + unit * z.stored + i * lanes<T>), acc[0][i] = Vec<T>{};
            if (z.gru) times<V>(l, p, false, in, halves[0], gates), times<V>(l, p, true, row.h_before, halves[1], acc);
            else times<V>(l, p, false, in, halves[0], acc), times<V>(l, p, true, row.h_before, halves[1], acc);
            for (int i = 0; i < V; ++i) store(row.gates + unit * z.stored + i * lanes<T>, gates[0][i]);
            if constexpr (V == 4) {
                if (z.lstm) return finish_lstm<T, 1>(false, acc, &row, unit);
            }
            if constexpr (V == 3) {
                if (z.gru) return finish_gru<T, 1>(false, acc, &row, unit, dir.bias_hn.get());
            }
            finish_rnn<T, 1, V>(s.cell == Cell::rnn_relu, acc, &row, unit);
        });
    }

    template <int V>
    void times(int l, int p, bool recurrent, const T* x, const HalfInput& half, Vec<T> (&acc)[1][V]) {
        if constexpr (sizeof(T) == 4)
            if (half_) {
                const HalfMatrix& m = recurrent ? halves_[l].recurrent : halves_[l].in;
                // the lower part of a number may be zero, and zero times infinity would be NaN
                if (has_pairs() && m.finite) return tile_pairs<V>(m.depth, half, m.strip(p), acc);
                return tile_half<V>(m.depth, half.plain.data(), m.strip(p), acc);
            }
        Direction<T>& dir = weights_.at(l, 0);
        const PackedMatrix<T>& m = recurrent ? dir.recurrent : dir.in;
        tile_alone<T, V>(m.depth, x, m.strip(p), acc);
    }

    void project(int l, int64_t b) {
        T* to = state(l, b, true);
        std::fill_n(to, z.outs, T(0));
        row_times<T>(hidden_, to, weights_.at(l, 0).project, 0, weights_.at(l, 0).project.strips());
    }
};

}  // namespace recurra::RECURRA_ISA
