// Plain recurrent cell with tanh or ReLU.
#pragma once
#include "common.h"

namespace recurra::RECURRA_ISA {

template <class T, int R, int V>
inline void rnn_pointwise(bool relu, Vec<T> (&acc)[R][V], const RowPointers<T>* rows, int unit) {
    for (int i = 0; i < R; ++i) {
        const T* gates = rows[i].gates + unit;
        Vec<T> n[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) n[v] = load(gates + v * lanes<T>) + acc[i][v];
        if (relu) {
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) n[v] = n[v] < T(0) ? Vec<T>{} : n[v];
        } else tanh(n);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store(rows[i].h + unit + v * lanes<T>, n[v]);
    }
}

template <class T>
inline void rnn_backward(bool relu, const RowPointers<T>& row, T* grads, T* dh, int begin, int end) {
    for (int u = begin; u < end; u += lanes<T>) {
        Vec<T> h = load(row.h + u), d = load(dh + u);
        store(grads + u, relu ? (h <= T(0) ? Vec<T>{} : d) : d * (T(1) - h * h));
        store(dh + u, Vec<T>{});
    }
}

struct RnnKernel {
    static constexpr int products = 1, stored = 1;
    template <class T, int R, int V>
    static void forward(Cell cell, bool, Vec<T> (&acc)[R][V], const RowPointers<T>* rows, int unit, const T*) {
        rnn_pointwise<T, R, V>(cell == Cell::rnn_relu, acc, rows, unit);
    }
    template <class T>
    static void backward(Cell cell, const RowPointers<T>& row, T* grads, T* dh, T*, int begin, int end, int) {
        rnn_backward(cell == Cell::rnn_relu, row, grads, dh, begin, end);
    }
};

}  // namespace recurra::RECURRA_ISA
