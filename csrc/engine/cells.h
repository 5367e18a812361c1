// The equations of the cells for one time step, forward and backward: the same as in cells/*.py, with vectors.
//
// Gates of a token lie vector by vector of units, all gates of these units side by side: a panel. Units beyond the hidden
// size, which only fill up a vector, have zero weights. Gradients of the gates lie gate after gate.
#pragma once
#include "api.h"
#include "gemm.h"

namespace recurra::RECURRA_ISA {

// Pointers of one row (sequence) at one step.
template <class T>
struct RowPointers {
    const T* h_before;
    T* gates;
    T* h;
    const T* c_before;
    T* c;
};

struct Layout {
    int products;  // gates that the recurrent product feeds: blocks of weight_hh
    int stored;    // vectors stored per vector of units for backward
};

// GRU: reset, update, candidate, and the hidden part of the candidate.
constexpr Layout layout(Cell cell) {
    return cell == Cell::lstm ? Layout{4, 4} : cell == Cell::gru ? Layout{3, 4} : Layout{1, 1};
}

// ---- forward: R rows, the units of one panel; acc holds the recurrent products of the panel

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

template <class T, int R>
inline void gru_pointwise(bool keep, Vec<T> (&acc)[R][3], const RowPointers<T>* rows, int unit,
                          const T* bias_hn) {  // null: already in acc
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

// ---- backward: gradients of the products from those of h and c, for some units of a row. What remains in dh and dc is
// the part of the gradient that reaches the states before without passing through weight_hh.

template <class T>
inline void rnn_backward(bool relu, const RowPointers<T>& row, T* grads, T* dh, int begin, int end) {
    for (int u = begin; u < end; u += lanes<T>) {
        Vec<T> h = load(row.h + u), d = load(dh + u);
        store(grads + u, relu ? (h <= T(0) ? Vec<T>{} : d) : d * (T(1) - h * h));
        store(dh + u, Vec<T>{});
    }
}

// `d` is the gradient of the hidden state before projection.
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

// Blocks of grads: the hidden part of the candidate, reset, update (these three meet weight_hh), the candidate (the last
// three meet weight_ih).
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

}  // namespace recurra::RECURRA_ISA
