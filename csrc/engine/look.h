// What a call has stored, for people who want to see inside: gates and states in the order of the batch.
#pragma once
#include <limits>

#include "tape.h"

namespace recurra::RECURRA_ISA {

// `to`: the gates in the order of their rows in the weights, then hidden and cell state, each (layers, directions, batch,
// steps, size), NaN beyond the end of a sequence; null for those that nobody wants. `tape` is that of a call that stored all.
template <class T>
void look(const Spec& s, const int64_t* lengths, const T* tape, const std::vector<T*>& to) {
    const Batch batch(s.batch, s.steps, lengths);
    const Sizes<T> z(s);
    const int gates = z.products;
    const auto size = [&](int which) { return which == gates ? z.out : z.hidden; };
    // Step by step, because the tape lies so.
    const auto token = [&](int l, int d, int64_t t, int64_t r) {
        const int64_t at = (((int64_t(l) * z.directions + d) * s.batch + batch.order[r]) * s.steps + t);
        if (t >= batch.steps || r >= batch.active[t]) {
            for (int which = 0; which < int(to.size()); ++which)
                if (to[which])
                    std::fill_n(to[which] + at * size(which), size(which), std::numeric_limits<T>::quiet_NaN());
            return;
        }
        const Tape<T> stored = stored_tape(s, z, const_cast<T*>(tape), l, d, batch.tokens);  // only read
        const int64_t number = batch.first[t] + r;
        const T *gate = stored.gates + number * stored.row, *h = stored.h + number * z.outs,
                *c = stored.c + number * z.units;
        for (int which = 0; which < gates; ++which) {
            if (!to[which]) continue;
            T* row = to[which] + at * z.hidden;
            if (gates == 1) std::copy_n(h, z.hidden, row);  // the candidate of a plain cell is its hidden state
            else
                for (int u = 0; u < z.hidden; u += lanes<T>)
                    std::copy_n(gate + u * z.stored + which * lanes<T>, std::min(lanes<T>, z.hidden - u), row + u);
        }
        if (to[gates]) std::copy_n(h, z.out, to[gates] + at * z.out);
        if (z.lstm && to[gates + 1]) std::copy_n(c, z.hidden, to[gates + 1] + at * z.hidden);
    };
    const int64_t work = s.steps * s.batch * s.layers * z.directions * z.row;
    const int n = int(std::clamp<int64_t>(work >> 14, 1, std::max<int64_t>(1, std::min<int64_t>(s.threads, s.steps))));
    parallel(n, [&](int share) {
        for (int l = 0; l < s.layers; ++l)
            for (int d = 0; d < z.directions; ++d)
                for (int64_t t = s.steps * share / n; t < s.steps * (share + 1) / n; ++t)
                    for (int64_t r = 0; r < s.batch; ++r) token(l, d, t, r);
    });
}

}  // namespace recurra::RECURRA_ISA
