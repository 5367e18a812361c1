// What a pass through time stores, and where each token of it lies.
#pragma once
#include "batch.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

// What is stored of the steps [begin, end) of one layer in one direction, by token. A plain cell has no gates: the input
// products stand where its hidden states will.
template <class T>
struct Tape {
    T *gates, *h, *c;
    int row;  // from one token's gates to the next one's
    static int64_t per_token(const Sizes<T>& z) { return gates_of(z) + z.outs + (z.lstm ? z.units : 0); }
    // `skew`: room between the arrays, without which the rows of one token would share a set of the nearest cache.
    static constexpr int64_t kSkew = 17 * lanes<T>;
    Tape(const Sizes<T>& z, T* data, int64_t tokens, int64_t skew = 0)
        : gates(data),
          h(data + tokens * gates_of(z) + skew),
          c(h + tokens * z.outs + skew),
          row(z.row) {
        if (!gates_of(z)) gates = h, row = z.outs;
    }

private:
    static int gates_of(const Sizes<T>& z) { return z.products > 1 ? z.row : 0; }
};

// Whether the layer above cannot read the hidden states of a layer as they are.
template <class T>
bool joined_apart(const Spec& s, const Sizes<T>& z, int l) {
    return l + 1 < s.layers && (z.directions > 1 || z.out != z.outs || s.dropout > 0);
}
// Where a call that stores all of so many tokens has a layer: its directions, then its joined outputs.
template <class T>
int64_t stored_offset(const Spec& s, const Sizes<T>& z, int l, int64_t tokens) {
    return l * tokens * (z.directions * Tape<T>::per_token(z) + (joined_apart(s, z, 0) ? z.joined : 0));
}
template <class T>
Tape<T> stored_tape(const Spec& s, const Sizes<T>& z, T* tape, int l, int d, int64_t tokens) {
    return {z, tape + stored_offset(s, z, l, tokens) + d * tokens * Tape<T>::per_token(z), tokens};
}

template <class T>
struct Lane {  // a stretch of one layer in one direction
    int l, d, begin, end;
    int64_t origin;  // the first token
    Tape<T> tape;
    T *h0, *c0;      // states before, by row; those after go there too
    const T* below;  // outputs of the layer below
    int below_ld;
    T* joined;  // where the outputs go for the layer above, or null
    // A token stands at its number less `origin`; or, where a thread has memory of its own, among these rows, step by step: in
    // the tape, and perhaps in the outputs between the layers.
    Rows own{0, 0};
    bool own_outputs = false;
};

// The range of the strips of a lane that a thread works on, the number of its share, and where it meets the others after each step.
struct Part {
    int begin, end, share;
    Barrier* meeting;
    void meet() const {
        if (meeting) meeting->wait();
    }
};

}  // namespace recurra::RECURRA_ISA
