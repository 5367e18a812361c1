// The weights of a stack, as they came and packed for the products forward and backward.
#pragma once
#include "cells.h"
#include "pool.h"

namespace recurra::RECURRA_ISA {

// Sizes that follow from a Spec. Numbers of a step are stored in whole vectors: `units` for `hidden`, `outs` for `out`.
template <class T>
struct Sizes {
    explicit Sizes(const Spec& s)
        : directions(s.bidirectional ? 2 : 1),
          input(int(s.input)),
          hidden(int(s.hidden)),
          units(round_up(hidden, lanes<T>)),
          out(s.projected ? int(s.projected) : hidden),
          outs(round_up(out, lanes<T>)),
          joined(directions * out),
          products(layout(s.cell).products),
          stored(layout(s.cell).stored),
          lstm(s.cell == Cell::lstm),
          gru(s.cell == Cell::gru),
          projects(s.projected > 0),
          row(apart(stored * units)),
          unit_vectors(products == 1 ? kStrip : 1),
          strips((units / lanes<T> + unit_vectors - 1) / unit_vectors) {}

    int directions, input, hidden, units;
    int out, outs, joined;  // size of a hidden state; of the output of a layer, both directions
    int products, stored;
    bool lstm, gru, projects;
    int row;                   // numbers from one token's gates to the next one's
    int unit_vectors, strips;  // vectors of units in a strip of the forward products; strips of all units
    int inputs(int layer) const { return layer ? joined : input; }
    // gate of weight_hh that the block of gradients meets; those of weight_ih are in order, from `input_block` on
    int recurrent_gate(int block) const { return gru ? (block + 2) % 3 : block; }
    int input_block() const { return gru ? 1 : 0; }
    // Rows that lie a power of two apart share a set of the nearest cache: a vector between them spreads them out.
    static int apart(int n) { return n * sizeof(T) % 1024 ? n : n + lanes<T>; }
};

// Whether there is no infinity and no NaN among n numbers: all others give 0 if they are taken from themselves.
template <class T>
bool all_finite(const T* p, int64_t n) {
    constexpr int kSums = 4, L = lanes<T>;
    Vec<T> sums[kSums] = {};
    int64_t i = 0;
    for (; i + kSums * L <= n; i += kSums * L)
#pragma GCC unroll 4
        for (int v = 0; v < kSums; ++v) {
            const Vec<T> x = load(p + i + v * L);
            sums[v] += x - x;
        }
    for (; i < n; i += L) {
        const Vec<T> x = load_part(p + i, int(std::min<int64_t>(L, n - i)));
        sums[0] += x - x;
    }
    const Vec<T> sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    bool finite = true;
    for (int j = 0; j < L; ++j) finite &= sum[j] == 0;
    return finite;
}

template <class T>
struct Direction {  // of one layer
    const T *ih, *hh, *bi, *bh, *hr;
    PackedMatrix<T> in, recurrent, project;
    PackedMatrix<T> in_back, recurrent_back, project_back;
    Buffer<T> bias, bias_hn;
    std::atomic<bool> finite{true};  // weight_hh; only then are its products with zeros zeros
};

template <class T>
class Weights {
public:
    Weights(const Spec& s, const std::vector<const T*>& flat)
        : z(s),
          threads_(s.threads),
          all_(s.layers * z.directions) {
        size_t i = 0;
        for (Direction<T>& dir : all_) {
            dir.ih = flat[i++], dir.hh = flat[i++];
            dir.bi = s.bias ? flat[i++] : nullptr, dir.bh = s.bias ? flat[i++] : nullptr;
            dir.hr = z.projects ? flat[i++] : nullptr;
            set_bias(dir);
        }
    }
    Direction<T>& at(int layer, int direction) { return all_[layer * z.directions + direction]; }

    void pack_forward() {
        each([&](Direction<T>& dir, int inputs, auto strips) {
            const auto column = [&](const T* w, int depth) {
                return [this, w, depth](int c) {
                    const int panel = z.products * lanes<T>, j = c % panel;
                    const int u = z.products == 1 ? c : c / panel * lanes<T> + j % lanes<T>;
                    const int gate = z.products == 1 ? 0 : j / lanes<T>;
                    return u < z.hidden ? w + (int64_t(gate) * z.hidden + u) * depth : nullptr;
                };
            };
            const int columns = z.products * z.units, side = z.products == 1 ? kStrip : z.products;
            strips(dir.in, inputs, columns, side, [&](int s) { dir.in.pack_columns(s, column(dir.ih, inputs)); });
            strips(dir.recurrent, z.out, columns, side, [&](int s) {
                dir.recurrent.pack_columns(s, column(dir.hh, z.out));
                check_finite(dir, s, dir.recurrent.strips());
            });
            if (z.projects)
                strips(dir.project, z.hidden, z.out, kStrip, [&](int s) {
                    dir.project.pack_columns(
                        s, [&](int c) { return c < z.out ? dir.hr + int64_t(c) * z.hidden : nullptr; });
                });
        });
    }

    // Only needed where the weights are not packed.
    void check_finite() {
        for (Direction<T>& dir : all_) check_finite(dir, 0, 1);
    }

    // `side`: vectors of units in a strip of recurrent_back.
    void pack_backward(bool inputs_wanted, int side) {
        each([&](Direction<T>& dir, int inputs, auto strips) {
            const auto row = [&](const T* w, int columns, bool recurrent) {
                return [this, w, columns, recurrent](int k) {
                    const int u = k % z.units, gate = recurrent ? z.recurrent_gate(k / z.units) : k / z.units;
                    return u < z.hidden ? w + (int64_t(gate) * z.hidden + u) * columns : nullptr;
                };
            };
            const int depth = z.products * z.units;
            strips(dir.recurrent_back, depth, z.out, side,
                   [&](int s) { dir.recurrent_back.pack_rows(s, z.out, row(dir.hh, z.out, true)); });
            if (inputs_wanted || &dir >= &at(0, 0) + z.directions)
                strips(dir.in_back, depth, inputs, kStrip,
                       [&](int s) { dir.in_back.pack_rows(s, inputs, row(dir.ih, inputs, false)); });
            if (z.projects)
                strips(dir.project_back, z.out, z.hidden, kStrip, [&](int s) {
                    dir.project_back.pack_rows(s, z.hidden, [&](int k) { return dir.hr + int64_t(k) * z.hidden; });
                });
        });
    }

private:
    const Sizes<T> z;
    const int threads_;
    std::vector<Direction<T>> all_;

    // Twice over all matrices: to give them their shapes, and, on all threads, to fill their strips.
    template <class F>
    void each(F f) {
        int64_t total = 0;
        const auto visit = [&](auto strips) {
            for (size_t i = 0; i < all_.size(); ++i) f(all_[i], z.inputs(int(i) / z.directions), strips);
        };
        visit([&](PackedMatrix<T>& m, int depth, int columns, int side, auto) {
            m.shape(depth, columns, side);
            total += int64_t(depth) * columns;
        });
        const int n = int(std::clamp<int64_t>(total >> 14, 1, threads_));
        parallel(n, [&](int share) {
            int count = 0;
            visit([&](PackedMatrix<T>& m, int, int, int, auto fill) {
                for (int s = 0; s < m.strips(); ++s)
                    if (count++ % n == share) fill(s);
            });
        });
    }

    void check_finite(Direction<T>& dir, int share, int shares) {
        const int64_t all = int64_t(z.products) * z.hidden * z.out, begin = all * share / shares;
        if (!all_finite(dir.hh + begin, all * (share + 1) / shares - begin))
            dir.finite.store(false, std::memory_order_relaxed);
    }

    void set_bias(Direction<T>& dir) {
        constexpr int L = lanes<T>;
        dir.bias.resize(z.stored * z.units);
        dir.bias_hn.resize(z.units);
        std::fill_n(dir.bias.get(), z.stored * z.units, T(0));
        std::fill_n(dir.bias_hn.get(), z.units, T(0));
        if (!dir.bi) return;
        for (int gate = 0; gate < z.products; ++gate) {
            const T *bi = dir.bi + gate * z.hidden, *bh = dir.bh + gate * z.hidden;
            const bool apart = z.gru && gate == 2;  // inside the reset gate's product
            for (int u = 0; u < z.hidden; ++u)
                dir.bias.get()[u / L * z.stored * L + gate * L + u % L] = bi[u] + (apart ? T(0) : bh[u]);
            if (apart) std::copy_n(bh, z.hidden, dir.bias_hn.get());
        }
    }
};

}  // namespace recurra::RECURRA_ISA
