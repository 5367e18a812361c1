// The memory of a pass through time: stored values, and their address by token.
#pragma once
#include "batch.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

// The stored values of the steps [begin, end) of one layer in one direction, by token. A plain cell has no gates: its
// input products are in the memory of its hidden states.
template <class T>
struct Workspace {
    T *gates, *h, *c;
    int gate_stride;  // stride of the gates between tokens
    static int64_t per_token(const Sizes<T>& sizes) {
        return gates_of(sizes) + sizes.outs + (sizes.lstm ? sizes.units : 0);
    }
    // `skew`: a gap between the arrays. Without it, the rows of one token would map to one set of the L1 cache.
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

// Returns whether the layer above needs a copy of the hidden states: of both directions, without padding, or with
// dropout.
template <class T>
bool joined_apart(const Spec& spec, const Sizes<T>& sizes, int layer) {
    return layer + 1 < spec.layers && (sizes.directions > 1 || sizes.out != sizes.outs || spec.dropout > 0);
}
// The offset of a layer in a tape that stores all tokens: its directions, then its joined outputs.
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
struct LayerSpan {  // some steps of one layer in one direction
    int layer, direction, begin, end;
    int64_t origin;  // the first token
    Workspace<T> tape;
    T *h0, *c0;      // states before the span, by row; overwritten by those after it
    const T* below;  // outputs of the layer below
    int below_ld;
    T* joined;  // memory of the outputs for the layer above, or null
    // Index of a token: its number minus `origin`. If `own` is not empty, a thread has its own memory for these rows,
    // step by step: in the tape, and with `own_outputs` also in the outputs between layers.
    RowRange own{0, 0};
    bool own_outputs = false;
};

// The strips of a span for one thread, the number of the thread's share, and the barrier after each step, or null.
struct ThreadSlice {
    int begin, end, share;
    Barrier* meeting;
    void meet() const {
        if (meeting) meeting->wait();
    }
};

}  // namespace recurra::RECURRA_ISA
