// Long short-term memory.
#pragma once
#include "common.h"

namespace recurra::RECURRA_ISA {

template <class T, int R>
inline void lstm_pointwise(bool keep, Vec<T> (&acc)[R][4], const RowPointers<T>* rows, int unit) {
    constexpr int L = lanes<T>;
    for (int i = 0; i < R; ++i) {
        T* gate = rows[i].gates + unit * 4;
        Vec<T> in = sigmoid(load(gate) + acc[i][0]);
        Vec<T> forget = sigmoid(load(gate + L) + acc[i][1]);
        Vec<T> candidate = tanh(load(gate + 2 * L) + acc[i][2]);
        Vec<T> out = sigmoid(load(gate + 3 * L) + acc[i][3]);
        Vec<T> c = forget * load(rows[i].c_before + unit) + in * candidate;
        if (keep) store(gate, in), store(gate + L, forget), store(gate + 2 * L, candidate), store(gate + 3 * L, out);
        store(rows[i].c + unit, c);
        store(rows[i].h + unit, out * tanh(c));
    }
}

// `d_hidden` is the gradient of the hidden state before the projection.
template <class T>
inline void lstm_backward(const RowPointers<T>& row, T* grads, T* d_hidden, T* dc, int begin, int end, int units) {
    constexpr int L = lanes<T>;
    for (int u = begin; u < end; u += L) {
        const T* gate = row.gates + u * 4;
        Vec<T> in = load(gate), forget = load(gate + L), candidate = load(gate + 2 * L), out = load(gate + 3 * L);
        Vec<T> c = tanh(load(row.c + u)), d = load(d_hidden + u);
        Vec<T> e = load(dc + u) + d * out * (T(1) - c * c);
        store(grads + u, e * candidate * in * (T(1) - in));
        store(grads + units + u, e * load(row.c_before + u) * forget * (T(1) - forget));
        store(grads + 2 * units + u, e * in * (T(1) - candidate * candidate));
        store(grads + 3 * units + u, d * c * out * (T(1) - out));
        store(dc + u, e * forget);
        store(d_hidden + u, Vec<T>{});
    }
}

struct LstmKernel {
    static constexpr int products = 4, stored = 4;
    template <class T, int R, int V>
    static void forward(Cell, bool keep, Vec<T> (&acc)[R][V], const RowPointers<T>* rows, int unit, const T*) {
        lstm_pointwise<T, R>(keep, acc, rows, unit);
    }
    template <class T>
    static void backward(Cell, const RowPointers<T>& row, T* grads, T* dh, T* dc, int begin, int end, int units) {
        lstm_backward(row, grads, dh, dc, begin, end, units);
    }
};

}  // namespace recurra::RECURRA_ISA
