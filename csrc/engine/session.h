// One time step after the other from packed weights, with the states kept here: the lowest latency.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

// Weights rounded to bfloat16, in the order of a packed matrix: the numbers of k and k + 1 share a word.
struct HalfMatrix {
    Buffer<uint32_t> data;
    int depth = 0, side = 0;

    void pack(const PackedMatrix<float>& m) {
        depth = m.depth, side = m.side;
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
        : s(spec), z(s), weights_(s, flat), half_(half && sizeof(T) == 4) {
        weights_.pack_forward();
        if constexpr (sizeof(T) == 4)
            for (int l = 0; half_ && l < s.layers; ++l) {
                halves_.emplace_back();
                Direction<T>& dir = weights_.at(l, 0);
                halves_.back().in.pack(dir.in), halves_.back().recurrent.pack(dir.recurrent);
                dir.in = {}, dir.recurrent = {};
            }
        const int64_t rows = s.layers * s.batch;
        const int wide = round_up(z.input + 1, lanes<T>);
        room_.resize(2 * rows * (outs() + z.units) + wide + z.stored * z.units + z.units);
        h_ = room_.get(), c_ = h_ + 2 * rows * outs(), x_ = c_ + 2 * rows * z.units, gates_ = x_ + wide;
        hidden_ = gates_ + z.stored * z.units;
        reset();
    }

    void reset() override { std::fill_n(h_, 2 * s.layers * s.batch * (outs() + z.units), T(0)); }

    void step(const T* x, T* y) override {
        const int64_t work = int64_t(z.products) * z.units * (z.input + z.out) / (half_ ? 2 : 1);
        const int n = z.projects ? 1 : int(std::clamp<int64_t>(work >> 16, 1, std::min(s.threads, z.strips)));
        Barrier meeting(n);
        const auto share = [&](int i) { rows(x, z.strips * i / n, z.strips * (i + 1) / n, n > 1 ? &meeting : nullptr); };
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
    T *h_, *c_, *x_, *gates_, *hidden_;
    bool turn_ = false;  // states before and after each step change places

    int outs() const { return round_up(z.out + 1, lanes<T>); }  // pairs of an odd size read one number more
    T* state(int l, int64_t b, bool after = false) const { return h_ + ((after != turn_) * s.layers * s.batch + l * s.batch + b) * outs(); }
    T* cell(int l, int64_t b, bool after = false) const { return c_ + ((after != turn_) * s.layers * s.batch + l * s.batch + b) * z.units; }

    void rows(const T* x, int begin, int end, Barrier* meeting) {
        for (int64_t b = 0; b < s.batch; ++b)
            for (int l = 0; l < s.layers; ++l) {
                const T* in = l ? state(l - 1, b, true) : x + b * z.input;
                if (half_ && !l && z.input % 2) {  // one number more
                    if (begin == 0) std::copy_n(in, z.input, x_), x_[z.input] = 0;
                    if (meeting) meeting->wait();
                    in = x_;
                }
                const Row<T> row{state(l, b), gates_, z.projects ? hidden_ : state(l, b, true), cell(l, b), cell(l, b, true)};
                for (int p = begin; p < end; ++p) panel(l, p, in, row);
                if (z.projects) project(l, b);
                if (meeting) meeting->wait();
            }
    }

    void panel(int l, int p, const T* in, const Row<T>& row) {
        Direction<T>& dir = weights_.at(l, 0);
        const int unit = p * z.unit_vectors * lanes<T>, vectors = std::min(z.products == 1 ? kStrip : z.products,
                                                                          (z.products * z.units / lanes<T>) - p * kStrip);
        constant<kStrip>(z.products == 1 ? vectors : z.products, [&](auto v) {
            constexpr int V = v();
            Vec<T> acc[1][V], gates[1][V];
            for (int i = 0; i < V; ++i) gates[0][i] = load(dir.bias.get() + unit * z.stored + i * lanes<T>), acc[0][i] = Vec<T>{};
            if (z.gru) times<V>(l, p, false, in, gates), times<V>(l, p, true, row.h_before, acc);
            else times<V>(l, p, false, in, acc), times<V>(l, p, true, row.h_before, acc);
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
    void times(int l, int p, bool recurrent, const T* x, Vec<T> (&acc)[1][V]) {
        if constexpr (sizeof(T) == 4)
            if (half_) {
                const HalfMatrix& m = recurrent ? halves_[l].recurrent : halves_[l].in;
                return tile_half<V>(m.depth, x, m.strip(p), acc);
            }
        Direction<T>& dir = weights_.at(l, 0);
        const PackedMatrix<T>& m = recurrent ? dir.recurrent : dir.in;
        tile_alone<T, V>(m.depth, x, m.strip(p), acc);
    }

    void project(int l, int64_t b) {
        T* to = state(l, b, true);
        std::fill_n(to, outs(), T(0));
        row_times<T>(hidden_, to, weights_.at(l, 0).project, 0, weights_.at(l, 0).project.strips());
    }
};

}  // namespace recurra::RECURRA_ISA
