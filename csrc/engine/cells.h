// The equations of the cells for one time step, forward and backward: the same as in cells/*.py, with vectors.
//
// Gates of a token lie one gate after the other, each `units` wide (the hidden size in whole vectors). Units beyond the
// hidden size have zero weights and stay zero.
#pragma once
#include "gemm.h"
#include "run.h"

namespace recurra::RECURRA_ISA {

// Pointers of one row (sequence) at one step.
template <class T>
struct Row {
    const T* h_before;
    T* gates;
    T* h;
    const T* c_before;
    T* c;
};

struct Layout {
    int products;  // gates that the recurrent product feeds: blocks of weight_hh
    int stored;    // blocks stored per token for backward
};

constexpr Layout layout(Cell cell) {
    return cell == Cell::lstm ? Layout{4, 4} : cell == Cell::gru ? Layout{3, 4} : Layout{1, 1};
}

// ---- forward: R rows, the units of one panel; acc holds the recurrent products of the panel

template <class T, int R, int V>
inline void finish_rnn(bool relu, Vec<T> (&acc)[R][V], Row<T>* rows, int unit) {
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < V; ++v) {
            const int at = unit + v * lanes<T>;
            Vec<T> n = load(rows[i].gates + at) + acc[i][v];
            store(rows[i].h + at, relu ? (n < T(0) ? Vec<T>{} : n) : tanh(n));
        }
}

template <class T, int R>
inline void finish_lstm(Vec<T> (&acc)[R][4], Row<T>* rows, int unit, int units) {
    for (int i = 0; i < R; ++i) {
        T* gate = rows[i].gates + unit;
        Vec<T> in = sigmoid(load(gate) + acc[i][0]);
        Vec<T> forget = sigmoid(load(gate + units) + acc[i][1]);
        Vec<T> candidate = tanh(load(gate + 2 * units) + acc[i][2]);
        Vec<T> out = sigmoid(load(gate + 3 * units) + acc[i][3]);
        Vec<T> c = forget * load(rows[i].c_before + unit) + in * candidate;
        store(gate, in);
        store(gate + units, forget);
        store(gate + 2 * units, candidate);
        store(gate + 3 * units, out);
        store(rows[i].c + unit, c);
        store(rows[i].h + unit, out * tanh(c));
    }
}

template <class T, int R>
inline void finish_gru(Vec<T> (&acc)[R][3], Row<T>* rows, int unit, int units, const T* bias_hn) {
    for (int i = 0; i < R; ++i) {
        T* gate = rows[i].gates + unit;
        Vec<T> reset = sigmoid(load(gate) + acc[i][0]);
        Vec<T> update = sigmoid(load(gate + units) + acc[i][1]);
        Vec<T> hn = acc[i][2] + load(bias_hn + unit);
        Vec<T> candidate = tanh(load(gate + 2 * units) + reset * hn);
        Vec<T> before = load(rows[i].h_before + unit);
        store(gate, reset);
        store(gate + units, update);
        store(gate + 2 * units, candidate);
        store(gate + 3 * units, hn);
        store(rows[i].h + unit, candidate + update * (before - candidate));
    }
}

// ---- backward: gradients of the products from dh (and dc), for some units of a row. What remains in dh and dc is the
// part of the gradient that reaches the states before without passing through weight_hh.

template <class T>
inline void back_rnn(bool relu, const Row<T>& row, T* grads, T* dh, int begin, int end) {
    for (int u = begin; u < end; u += lanes<T>) {
        Vec<T> h = load(row.h + u), d = load(dh + u);
        store(grads + u, relu ? (h > T(0) ? d : Vec<T>{}) : d * (T(1) - h * h));
        store(dh + u, Vec<T>{});
    }
}

template <class T>
inline void back_lstm(const Row<T>& row, T* grads, T* dh, T* dc, int begin, int end, int units) {
    const T* gate = row.gates;
    for (int u = begin; u < end; u += lanes<T>) {
        Vec<T> in = load(gate + u), forget = load(gate + units + u);
        Vec<T> candidate = load(gate + 2 * units + u), out = load(gate + 3 * units + u);
        Vec<T> c = tanh(load(row.c + u)), d = load(dh + u);
        Vec<T> e = load(dc + u) + d * out * (T(1) - c * c);
        store(grads + u, e * candidate * in * (T(1) - in));
        store(grads + units + u, e * load(row.c_before + u) * forget * (T(1) - forget));
        store(grads + 2 * units + u, e * in * (T(1) - candidate * candidate));
        store(grads + 3 * units + u, d * c * out * (T(1) - out));
        store(dc + u, e * forget);
        store(dh + u, Vec<T>{});
    }
}

// Blocks of grads: reset, update, the hidden part of the candidate (these three meet weight_hh), its input part.
template <class T>
inline void back_gru(const Row<T>& row, T* grads, T* dh, int begin, int end, int units) {
    const T* gate = row.gates;
    for (int u = begin; u < end; u += lanes<T>) {
        Vec<T> reset = load(gate + u), update = load(gate + units + u), candidate = load(gate + 2 * units + u);
        Vec<T> hn = load(gate + 3 * units + u), d = load(dh + u);
        Vec<T> dn = d * (T(1) - update) * (T(1) - candidate * candidate);
        Vec<T> dz = d * (load(row.h_before + u) - candidate) * update * (T(1) - update);
        store(grads + u, dn * hn * reset * (T(1) - reset));
        store(grads + units + u, dz);
        store(grads + 2 * units + u, dn * reset);
        store(grads + 3 * units + u, dn);
        store(dh + u, d * update);
    }
}

}  // namespace recurra::RECURRA_ISA
