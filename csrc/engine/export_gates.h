// Copies the gates and states that a call has stored into arrays in the order of the batch.
#pragma once
#include <limits>

#include "workspace.h"

namespace recurra::RECURRA_ISA {

// `to`: the gates in the order of their rows in the weights, then hidden and cell state. Each array is (layers,
// directions, batch, steps, size), NaN after the end of a sequence, or null if not needed. The call must have stored
// all steps.
template <class T>
void export_gates(const Spec& spec, const int64_t* lengths, const T* tape, const std::vector<T*>& to) {
    const Batch batch(spec.batch, spec.steps, lengths);
    const Sizes<T> sizes(spec);
    const int gates = sizes.products;
    const auto size = [&](int which) { return which == gates ? sizes.out : sizes.hidden; };
    // The outer loop is over steps, as in the memory of the tape.
    const auto token = [&](int layer, int direction, int64_t step, int64_t row) {
        const int64_t at =
            (((int64_t(layer) * sizes.directions + direction) * spec.batch + batch.order[row]) * spec.steps + step);
        if (step >= batch.steps || row >= batch.active[step]) {
            for (int which = 0; which < int(to.size()); ++which)
                if (to[which])
                    std::fill_n(to[which] + at * size(which), size(which), std::numeric_limits<T>::quiet_NaN());
            return;
        }
        const Workspace<T> stored =
            stored_tape(spec, sizes, const_cast<T*>(tape), layer, direction, batch.tokens);  // not written
        const int64_t number = batch.first[step] + row;
        const T *gate = stored.gates + number * stored.gate_stride, *h = stored.h + number * sizes.outs,
                *c = stored.c + number * sizes.units;
        for (int which = 0; which < gates; ++which) {
            if (!to[which]) continue;
            T* target = to[which] + at * sizes.hidden;
            if (gates == 1) std::copy_n(h, sizes.hidden, target);  // the candidate of a plain cell is its hidden state
            else
                for (int u = 0; u < sizes.hidden; u += lanes<T>)
                    std::copy_n(gate + u * sizes.stored + which * lanes<T>, std::min(lanes<T>, sizes.hidden - u),
                                target + u);
        }
        if (to[gates]) std::copy_n(h, sizes.out, to[gates] + at * sizes.out);
        if (sizes.lstm && to[gates + 1]) std::copy_n(c, sizes.hidden, to[gates + 1] + at * sizes.hidden);
    };
    const int64_t work = spec.steps * spec.batch * spec.layers * sizes.directions * sizes.gate_stride;
    const int n = threads_for(work, 1 << 14, std::max<int64_t>(1, std::min<int64_t>(spec.threads, spec.steps)));
    parallel(n, [&](int share) {
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int direction = 0; direction < sizes.directions; ++direction)
                for (int64_t step = spec.steps * share / n; step < spec.steps * (share + 1) / n; ++step)
                    for (int64_t row = 0; row < spec.batch; ++row) token(layer, direction, step, row);
    });
}

}  // namespace recurra::RECURRA_ISA
