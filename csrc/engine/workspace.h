// What a pass through time stores, and where each token of it lies.
#pragma once
#include "batch.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

// What is stored of the steps [begin, end) of one layer in one direction, by token. A plain cell has no gates: the input
// products stand where its hidden states will.
template <class T>
struct Workspace {
    T *gates, *h, *c;
    int gate_stride;  // from one token's gates to those of the next token
    static int64_t per_token(const Sizes<T>& sizes) {
        return gates_of(sizes) + sizes.outs + (sizes.lstm ? sizes.units : 0);
    }
    // `skew`: room between the arrays, without which the rows of one token would share a set of the nearest cache.
    static constexpr int64_t kSkew = 17 * lanes<T>;
    Workspace(const Sizes<T>& sizes, T* data, int64_t tokens, int64_t skew = 0)
        : gates(data),
          h(data + tokens * gates_of(sizes) + skew),
          c(h + tokens * sizes.outs + skew),
          gate_stride(sizes.gate_stride) {
        if (!gates_of(sizes)) gates = h, gate_stride = sizes.outs;
    }

private:
    static int gates_of(const Sizes<T>& sizes) { return sizes.products > 1 ? sizes.gate_stride : 0; }
};

// Whether the layer above cannot read the hidden states of a layer as they are.
template <class T>
bool joined_apart(const Spec& spec, const Sizes<T>& sizes, int layer) {
    return layer + 1 < spec.layers && (sizes.directions > 1 || sizes.out != sizes.outs || spec.dropout > 0);
}
// Where a call that stores all of so many tokens has a layer: its directions, then its joined outputs.
template <class T>
int64_t stored_offset(const Spec& spec, const Sizes<T>& sizes, int layer, int64_t tokens) {
    return layer * tokens *
           (sizes.directions * Workspace<T>::per_token(sizes) + (joined_apart(spec, sizes, 0) ? sizes.joined : 0));
}
template <class T>
Workspace<T> stored_tape(const Spec& spec, const Sizes<T>& sizes, T* tape, int layer, int direction, int64_t tokens) {
    return {sizes,
            tape + stored_offset(spec, sizes, layer, tokens) + direction * tokens * Workspace<T>::per_token(sizes),
            tokens};
}

template <class T>
struct LayerSpan {  // a stretch of one layer in one direction
    int layer, direction, begin, end;
    int64_t origin;  // the first token
    Workspace<T> tape;
    T *h0, *c0;      // states before, by row; those after go there too
    const T* below;  // outputs of the layer below
    int below_ld;
    T* joined;  // where the outputs go for the layer above, or null
    // A token stands at its number less `origin`; or, where a thread has memory of its own, among these rows, step by step: in
    // the tape, and perhaps in the outputs between the layers.
    RowRange own{0, 0};
    bool own_outputs = false;
};

// The range of the strips of a span that a thread works on, the number of its share, and where it meets the others after each step.
struct ThreadSlice {
    int begin, end, share;
    Barrier* meeting;
    void meet() const {
        if (meeting) meeting->wait();
    }
};

}  // namespace recurra::RECURRA_ISA
