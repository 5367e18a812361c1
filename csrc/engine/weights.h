// The weights of a stack: the tensors, and packed for the products of forward and backward.
#pragma once
#include "cells.h"
#include "pool.h"
#include "vector.h"

namespace recurra::RECURRA_ISA {

// Sizes that follow from a Spec. Hidden sizes are rounded up to whole vectors: `hidden` to `units`, `out` to `outs`.
template <class T>
struct Sizes {
    explicit Sizes(const Spec& spec)
        : directions(spec.bidirectional ? 2 : 1),
          input(int(spec.input)),
          hidden(int(spec.hidden)),
          units(round_up(hidden, lanes<T>)),
          out(spec.projected ? int(spec.projected) : hidden),
          outs(round_up(out, lanes<T>)),
          joined(directions * out),
          products(with_kernel(spec.cell, [](auto kernel) { return kernel.products; })),
          stored(with_kernel(spec.cell, [](auto kernel) { return kernel.stored; })),
          lstm(spec.cell == Cell::lstm),
          gru(spec.cell == Cell::gru),
          projects(spec.projected > 0),
          gate_stride(apart(stored * units)),
          unit_vectors(products == 1 ? kStrip : 1),
          strips((units / lanes<T> + unit_vectors - 1) / unit_vectors) {}

    int directions, input, hidden, units;
    int out, outs, joined;  // size of a hidden state, the same rounded up, size of the output of a layer
    int products, stored;
    bool lstm, gru, projects;
    int gate_stride;           // stride of the gates between tokens
    int unit_vectors, strips;  // vectors of units in a strip of the forward products; number of strips
    int weights_per_direction(bool bias) const { return 2 + (bias ? 2 : 0) + (projects ? 1 : 0); }
    int inputs(int layer) const { return layer ? joined : input; }
    // Multiply-adds of a token in one direction of a layer, forward.
    int64_t work(int layer) const { return int64_t(products) * units * (out + inputs(layer)); }
    // The gate of weight_hh that a block of gradients is multiplied by. The blocks for weight_ih are in order, from
    // `input_block` on.
    int recurrent_gate(int block) const { return gru ? (block + 2) % 3 : block; }
    int input_block() const { return gru ? 1 : 0; }
    // Strides of a power of two map rows to one set of the L1 cache. One more vector per row prevents this.
    static int apart(int n) { return n * sizeof(T) % 1024 ? n : n + lanes<T>; }
};

// Returns whether n numbers are finite: x - x is 0 only for finite x.
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
struct DirectionWeights {  // the weights of one layer in one direction
    const T *ih, *hh, *bi, *bh, *hr;
    PackedMatrix<T> in, recurrent, project;
    PackedMatrix<T> in_back, recurrent_back, project_back;
    Buffer<T> bias, bias_hn;
    std::atomic<bool> finite{true};  // of weight_hh: only then are its products with zeros zero
};

template <class T>
class Weights {
public:
    Weights(const Spec& spec, const std::vector<const T*>& flat)
        : sizes(spec),
          threads_(spec.threads),
          all_(spec.layers * sizes.directions) {
        size_t i = 0;
        for (DirectionWeights<T>& dir : all_) {
            dir.ih = flat[i++], dir.hh = flat[i++];
            dir.bi = spec.bias ? flat[i++] : nullptr, dir.bh = spec.bias ? flat[i++] : nullptr;
            dir.hr = sizes.projects ? flat[i++] : nullptr;
            set_bias(dir);
        }
    }
    DirectionWeights<T>& at(int layer, int direction) { return all_[layer * sizes.directions + direction]; }

    void pack_forward() {
        each([&](DirectionWeights<T>& dir, int inputs, auto strips) {
            const auto column = [&](const T* w, int depth) {
                return [this, w, depth](int c) {
                    const int panel = sizes.products * lanes<T>, j = c % panel;
                    const int u = sizes.products == 1 ? c : c / panel * lanes<T> + j % lanes<T>;
                    const int gate = sizes.products == 1 ? 0 : j / lanes<T>;
                    return u < sizes.hidden ? w + (int64_t(gate) * sizes.hidden + u) * depth : nullptr;
                };
            };
            const int columns = sizes.products * sizes.units, side = sizes.products == 1 ? kStrip : sizes.products;
            strips(dir.in, inputs, columns, side,
                   [&](int strip) { dir.in.pack_columns(strip, column(dir.ih, inputs)); });
            strips(dir.recurrent, sizes.out, columns, side, [&](int strip) {
                dir.recurrent.pack_columns(strip, column(dir.hh, sizes.out));
                check_finite(dir, strip, dir.recurrent.strips());
            });
            if (sizes.projects)
                strips(dir.project, sizes.hidden, sizes.out, kStrip, [&](int strip) {
                    dir.project.pack_columns(
                        strip, [&](int c) { return c < sizes.out ? dir.hr + int64_t(c) * sizes.hidden : nullptr; });
                });
        });
    }

    // Only needed if the weights are not packed.
    void check_finite() {
        for (DirectionWeights<T>& dir : all_) check_finite(dir, 0, 1);
    }

    // `side`: vectors of units per strip of recurrent_back.
    void pack_backward(bool inputs_wanted, int side) {
        each([&](DirectionWeights<T>& dir, int inputs, auto strips) {
            const auto row = [&](const T* w, int columns, bool recurrent) {
                return [this, w, columns, recurrent](int k) {
                    const int u = k % sizes.units,
                              gate = recurrent ? sizes.recurrent_gate(k / sizes.units) : k / sizes.units;
                    return u < sizes.hidden ? w + (int64_t(gate) * sizes.hidden + u) * columns : nullptr;
                };
            };
            const int depth = sizes.products * sizes.units;
            strips(dir.recurrent_back, depth, sizes.out, side,
                   [&](int strip) { dir.recurrent_back.pack_rows(strip, sizes.out, row(dir.hh, sizes.out, true)); });
            if (inputs_wanted || &dir >= &at(0, 0) + sizes.directions)
                strips(dir.in_back, depth, inputs, kStrip,
                       [&](int strip) { dir.in_back.pack_rows(strip, inputs, row(dir.ih, inputs, false)); });
            if (sizes.projects)
                strips(dir.project_back, sizes.out, sizes.hidden, kStrip, [&](int strip) {
                    dir.project_back.pack_rows(strip, sizes.hidden,
                                               [&](int k) { return dir.hr + int64_t(k) * sizes.hidden; });
                });
        });
    }

private:
    const Sizes<T> sizes;
    const int threads_;
    Vector<DirectionWeights<T>> all_;

    // Calls f twice for each matrix: to set its shape, and, on all threads, to fill its strips.
    template <class F>
    void each(F f) {
        int64_t total = 0;
        const auto visit = [&](auto strips) {
            for (size_t i = 0; i < all_.size(); ++i) f(all_[i], sizes.inputs(int(i) / sizes.directions), strips);
        };
        visit([&](PackedMatrix<T>& m, int depth, int columns, int side, auto) {
            m.shape(depth, columns, side);
            total += int64_t(depth) * columns;
        });
        const int n = threads_for(total, 1 << 14, threads_);
        parallel(n, [&](int share) {
            int count = 0;
            visit([&](PackedMatrix<T>& m, int, int, int, auto fill) {
                for (int strip = 0; strip < m.strips(); ++strip)
                    if (count++ % n == share) fill(strip);
            });
        });
    }

    void check_finite(DirectionWeights<T>& dir, int share, int shares) {
        const int64_t all = int64_t(sizes.products) * sizes.hidden * sizes.out, begin = all * share / shares;
        if (!all_finite(dir.hh + begin, all * (share + 1) / shares - begin))
            dir.finite.store(false, std::memory_order_relaxed);
    }

    void set_bias(DirectionWeights<T>& dir) {
        constexpr int L = lanes<T>;
        dir.bias.resize(sizes.stored * sizes.units);
        dir.bias_hn.resize(sizes.units);
        std::fill_n(dir.bias.get(), sizes.stored * sizes.units, T(0));
        std::fill_n(dir.bias_hn.get(), sizes.units, T(0));
        if (!dir.bi) return;
        for (int gate = 0; gate < sizes.products; ++gate) {
            const T *bi = dir.bi + gate * sizes.hidden, *bh = dir.bh + gate * sizes.hidden;
            const bool apart = sizes.gru && gate == 2;  // inside the product with the reset gate
            for (int u = 0; u < sizes.hidden; ++u)
                dir.bias.get()[u / L * sizes.stored * L + gate * L + u % L] = bi[u] + (apart ? T(0) : bh[u]);
            if (apart) std::copy_n(bh, sizes.hidden, dir.bias_hn.get());
        }
    }
};

}  // namespace recurra::RECURRA_ISA
