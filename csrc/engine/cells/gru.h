// Gated recurrent unit. Stored gates: reset, update, candidate, and the recurrent product of the candidate with its
// bias.
#pragma once
#include "common.h"

namespace recurra::RECURRA_ISA {

template <class T, int R>
inline void gru_pointwise(bool keep, Vec<T> (&acc)[R][3], const RowPointers<T>* rows, int unit, const T* bias_hn) {
    constexpr int L = lanes<T>;
    for (int i = 0; i < R; ++i) {
        T* gate = rows[i].gates + unit * 4;
        Vec<T> reset = sigmoid(load(gate) + acc[i][0]);
        Vec<T> update = sigmoid(load(gate + L) + acc[i][1]);
        Vec<T> hn = bias_hn ? acc[i][2] + load(bias_hn + unit) : acc[i][2];
        Vec<T> candidate = tanh(load(gate + 2 * L) + reset * hn);
        Vec<T> before = load(rows[i].h_before + unit);
        if (keep) store(gate, reset), store(gate + L, update), store(gate + 2 * L, candidate), store(gate + 3 * L, hn);
        store(rows[i].h + unit, candidate + update * (before - candidate));
    }
}

// Blocks of `grads`: the recurrent product of the candidate, reset, update, candidate. The first three meet weight_hh,
// the last three weight_ih.
template <class T>
inline void gru_backward(const RowPointers<T>& row, T* grads, T* dh, int begin, int end, int units) {
    constexpr int L = lanes<T>;
    for (int u = begin; u < end; u += L) {
        const T* gate = row.gates + u * 4;
        Vec<T> reset = load(gate), update = load(gate + L), candidate = load(gate + 2 * L), hn = load(gate + 3 * L);
        Vec<T> d = load(dh + u);
        Vec<T> dn = d * (T(1) - update) * (T(1) - candidate * candidate);
        store(grads + u, dn * reset);
        store(grads + units + u, dn * hn * reset * (T(1) - reset));
        store(grads + 2 * units + u, d * (load(row.h_before + u) - candidate) * update * (T(1) - update));
        store(grads + 3 * units + u, dn);
        store(dh + u, d * update);
    }
}

struct GruKernel {
    static constexpr int products = 3, stored = 4;
    // `bias_hn` is null if `acc` contains it.
    template <class T, int R, int V>
    static void forward(Cell, bool keep, Vec<T> (&acc)[R][V], const RowPointers<T>* rows, int unit, const T* bias_hn) {
        gru_pointwise<T, R>(keep, acc, rows, unit, bias_hn);
    }
    template <class T>
    static void backward(Cell, const RowPointers<T>& row, T* grads, T* dh, T*, int begin, int end, int units) {
        gru_backward(row, grads, dh, begin, end, units);
    }
};

}  // namespace recurra::RECURRA_ISA
