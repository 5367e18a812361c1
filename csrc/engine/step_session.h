// Many single steps with packed weights and stored states: the lowest latency.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

// Weights in bfloat16, in the order of a packed matrix. The numbers of k and k + 1 share a word.
struct Bf16Matrix {
    Buffer<uint32_t> data;
    int depth = 0, side = 0;
    bool finite = true;

    void pack(const PackedMatrix<float>& m) {
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
    uint32_t* strip(int index) const { return data.get() + size_t(index) * side * lanes<float> * ((depth + 1) / 2); }

private:
    static uint32_t rounded(float x) {  // rounds to nearest, ties to even; the upper half is the bfloat16
        uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        if (x != x) return bits | 0x400000;
        return bits + 0x7fff + (bits >> 16 & 1);
    }
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

template <class T>
class PackedStepSession final : public StepSession<T> {
public:
    PackedStepSession(const Spec& spec_, const std::vector<const T*>& flat, bool bf16)
        : spec(spec_),
          sizes(spec),
          weights_(spec, flat),
          bf16_(bf16 && sizeof(T) == 4) {
        weights_.pack_forward();
        if constexpr (sizeof(T) == 4)
            for (int layer = 0; bf16_ && layer < spec.layers; ++layer) {
                bf16_weights_.emplace_back();
                DirectionWeights<T>& dir = weights_.at(layer, 0);
                bf16_weights_.back().in.pack(dir.in), bf16_weights_.back().recurrent.pack(dir.recurrent);
                dir.in = {}, dir.recurrent = {};
            }
        const int64_t rows = spec.layers * spec.batch;
        room_.resize(2 * rows * (sizes.outs + sizes.units) + sizes.stored * sizes.units + sizes.units);
        h_ = room_.get(), c_ = h_ + 2 * rows * sizes.outs, gates_ = c_ + 2 * rows * sizes.units;
        hidden_ = gates_ + sizes.stored * sizes.units;
        reset();
    }

    void reset() override { std::fill_n(h_, 2 * spec.layers * spec.batch * (sizes.outs + sizes.units), T(0)); }

    void step(const T* x, T* y) override {
        const int64_t work = int64_t(sizes.products) * sizes.units * (sizes.input + sizes.out) / (bf16_ ? 2 : 1);
        const int n = sizes.projects ? 1 : threads_for(work, 1 << 16, std::min(spec.threads, sizes.strips));
        Barrier meeting(n);
        const auto share = [&](int i) {
            rows(x, sizes.strips * i / n, sizes.strips * (i + 1) / n, n > 1 ? &meeting : nullptr);
        };
        if (n == 1 || !together(n, share)) parallel(1, [&](int) { rows(x, 0, sizes.strips, nullptr); });
        turn_ = !turn_;
        for (int64_t seq = 0; seq < spec.batch; ++seq)
            std::copy_n(state(spec.layers - 1, seq), sizes.out, y + seq * sizes.out);
    }

    void read_state(T* h, T* c) const override {
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int64_t seq = 0; seq < spec.batch; ++seq) {
                std::copy_n(state(layer, seq), sizes.out, h + (layer * spec.batch + seq) * sizes.out);
                if (sizes.lstm)
                    std::copy_n(cell(layer, seq), sizes.hidden, c + (layer * spec.batch + seq) * sizes.hidden);
            }
    }
    void write_state(const T* h, const T* c) override {
        reset();
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int64_t seq = 0; seq < spec.batch; ++seq) {
                std::copy_n(h + (layer * spec.batch + seq) * sizes.out, sizes.out, state(layer, seq));
                if (sizes.lstm)
                    std::copy_n(c + (layer * spec.batch + seq) * sizes.hidden, sizes.hidden, cell(layer, seq));
            }
    }

private:
    struct Bf16Weights {
        Bf16Matrix in, recurrent;
    };
    const Spec spec;
    const Sizes<T> sizes;
    Weights<T> weights_;
    const bool bf16_;
    Vector<Bf16Weights> bf16_weights_;
    Buffer<T> room_;
    T *h_, *c_, *gates_, *hidden_;
    bool turn_ = false;  // the states before and after a step swap their memory after each step

    T* state(int layer, int64_t seq, bool after = false) const {
        return h_ + ((after != turn_) * spec.layers * spec.batch + layer * spec.batch + seq) * sizes.outs;
    }
    T* cell(int layer, int64_t seq, bool after = false) const {
        return c_ + ((after != turn_) * spec.layers * spec.batch + layer * spec.batch + seq) * sizes.units;
    }

    void rows(const T* x, int begin, int end, Barrier* meeting) {
        for (int64_t seq = 0; seq < spec.batch; ++seq)
            for (int layer = 0; layer < spec.layers; ++layer) {
                const T* in = layer ? state(layer - 1, seq, true) : x + seq * sizes.input;
                Bf16Input halves[2];
                if constexpr (sizeof(T) == 4)
                    if (bf16_) halves[0].set(in, sizes.inputs(layer)), halves[1].set(state(layer, seq), sizes.out);
                const RowPointers<T> row{state(layer, seq), gates_, sizes.projects ? hidden_ : state(layer, seq, true),
                                         cell(layer, seq), cell(layer, seq, true)};
                for (int i = begin; i < end; ++i)  // alternates: the strips used last are still in the L1 cache
                    panel(layer, turn_ ? begin + end - 1 - i : i, in, row, halves);
                if (sizes.projects) project(layer, seq);
                if (meeting) meeting->wait();
            }
    }

    void panel(int layer, int p, const T* in, const RowPointers<T>& row, const Bf16Input* halves) {
        DirectionWeights<T>& dir = weights_.at(layer, 0);
        const int unit = p * sizes.unit_vectors * lanes<T>;
        const int most = sizes.products == 1 ? kStrip : sizes.products;
        const int vectors = std::min(most, sizes.products * sizes.units / lanes<T> - p * kStrip);
        constant<kStrip>(sizes.products == 1 ? vectors : sizes.products, [&](auto v) {
            constexpr int V = v();
            Vec<T> acc[1][V], gates[1][V];
            for (int i = 0; i < V; ++i)
                gates[0][i] = load(dir.bias.get() + unit * sizes.stored + i * lanes<T>), acc[0][i] = Vec<T>{};
            if (sizes.gru)
                times<V>(layer, p, false, in, halves[0], gates), times<V>(layer, p, true, row.h_before, halves[1], acc);
            else times<V>(layer, p, false, in, halves[0], acc), times<V>(layer, p, true, row.h_before, halves[1], acc);
            for (int i = 0; i < V; ++i) store(row.gates + unit * sizes.stored + i * lanes<T>, gates[0][i]);
            // Not with_kernel: the compiler would fuse other products and sums, and results would change in the last bit.
            if constexpr (V == LstmKernel::products) {
                if (sizes.lstm) return lstm_pointwise<T, 1>(false, acc, &row, unit);
            }
            if constexpr (V == GruKernel::products) {
                if (sizes.gru) return gru_pointwise<T, 1>(false, acc, &row, unit, dir.bias_hn.get());
            }
            rnn_pointwise<T, 1, V>(spec.cell == Cell::rnn_relu, acc, &row, unit);
        });
    }

    template <int V>
    void times(int layer, int p, bool recurrent, const T* x, const Bf16Input& bf16, Vec<T> (&acc)[1][V]) {
        if constexpr (sizeof(T) == 4)
            if (bf16_) {
                const Bf16Matrix& m = recurrent ? bf16_weights_[layer].recurrent : bf16_weights_[layer].in;
                // the lower part may be zero, and zero times infinity is NaN
                if (has_bf16_instruction() && m.finite) return tile_bf16_instruction<V>(m.depth, bf16, m.strip(p), acc);
                return tile_bf16_emulated<V>(m.depth, bf16.plain.data(), m.strip(p), acc);
            }
        DirectionWeights<T>& dir = weights_.at(layer, 0);
        const PackedMatrix<T>& m = recurrent ? dir.recurrent : dir.in;
        tile_alone<T, V>(m.depth, x, m.strip(p), acc);
    }

    void project(int layer, int64_t seq) {
        T* to = state(layer, seq, true);
        std::fill_n(to, sizes.outs, T(0));
        row_times<T>(hidden_, to, weights_.at(layer, 0).project, 0, weights_.at(layer, 0).project.strips());
    }
};

}  // namespace recurra::RECURRA_ISA
