// Back-propagation through time for a whole call.
//
// The batch is divided into parts. Each part has its own sums for the gradients of the weights. Up to as many threads as
// parts take one part each, without waiting for each other. More threads share all parts. If the forward pass stored only the states before each chunk, the chunk is computed again first.
#pragma once
#include "backward_team.h"

namespace recurra::RECURRA_ISA {

constexpr int kLeast = 512, kMost = 4096;  // tokens of a chunk of the backward pass
constexpr int kDirectBack = 12;            // up to this number of tokens, packing the weights costs more than it saves
constexpr int kRowsToCut = 8;              // with fewer rows there is one part, and the threads share both directions

template <class T>
class Backward {
    const Spec& spec;
    const Sizes<T> sizes;
    const Batch& batch;
    Weights<T>& weights;
    const Gradients<T>& to;
    Forward<T> forward;
    const bool direct;
    const int side, ld;  // as in BackwardChunk
    Buffer<T> dh, dc;    // gradients of the states, by layer, direction and row
    Vector<std::unique_ptr<BackwardChunk<T>>> parts;
    Vector<BackwardTeam<T>> teams;
    int together_ = 1;  // teams that compute at the same time

public:
    Backward(const Spec& spec_, const Batch& batch_, Weights<T>& weights_, const Inputs<T>& in, const Gradients<T>& to_)
        : spec(spec_),
          sizes(spec),
          batch(batch_),
          weights(weights_),
          to(to_),
          forward(spec, batch, weights, in, nullptr, false),
          direct(!spec.invariant && batch.tokens <= kDirectBack),
          side(batch.rows == 1 ? 2 : kStrip),
          ld(round_up(std::max(sizes.joined, sizes.input), lanes<T>)) {}

    void run(T* tape) {
        if (!direct) weights.pack_backward(to.x.data, side);
        if (!forward.direct && spec.chunk) weights.pack_forward();
        if (spec.chunk) forward.check_finite();
        const int all = spec.layers * sizes.directions;
        dh.resize(int64_t(all) * spec.batch * sizes.outs + 1);
        dc.resize(int64_t(all) * spec.batch * sizes.units + 1);
        for (int i = 0; i < all; ++i) {
            load_states(dh_of(i), to.hn, i, sizes.out, sizes.outs);
            if (sizes.lstm) load_states(dc_of(i), to.cn, i, sizes.hidden, sizes.units);
        }
        divide();
        if (!spec.chunk) whole(tape);
        else if (sizes.directions == 1) chunks_down(tape);
        else chunks_across(tape);
        for (int i = 0; i < all; ++i) {
            save_states(dh_of(i), to.h0, i, sizes.out, sizes.outs);
            if (sizes.lstm) save_states(dc_of(i), to.c0, i, sizes.hidden, sizes.units);
            if (!to.weights.empty()) finish_weights(i);
        }
        clear_padding();
    }

private:
    T* dh_of(int i) { return dh.get() + int64_t(i) * spec.batch * sizes.outs; }
    T* dc_of(int i) { return dc.get() + int64_t(i) * spec.batch * sizes.units; }
    bool cut() const { return batch.rows >= kRowsToCut; }

    void divide() {
        const int n = cut() ? kParts : 1;
        for (int i = 0; i < n; ++i)
            parts.push_back(std::make_unique<BackwardChunk<T>>(forward, to, direct, dh.get(), dc.get(), side, ld,
                                                               batch.share_of({0, batch.rows}, i, n), i == 0));
        if (spec.threads > n) {
            teams.emplace_back(forward, to, side, spec.threads);
            for (auto& part : parts) teams.back().parts.push_back(part.get());
            return;
        }
        for (auto& part : parts) {
            teams.emplace_back(forward, to, side, 1);
            teams.back().parts.push_back(part.get());
        }
        together_ = threads_for(forward.load_of(sizes.directions, 0, spec.layers).work, kMicrosecond<T>,
                                std::min<int64_t>(n, spec.threads));
    }
    template <class F>
    void each_team(F f) {
        const int n = int(teams.size());
        parallel(together_, [&](int share) {
            for (int i = share; i < n; i += together_) f(teams[i]);
        });
    }

    // ---- orders of layers and steps, from the last to the first

    void whole(T* tape) {
        const int64_t states = forward.carried();
        Buffer<T> start, gradients[2];
        start.resize(spec.layers * sizes.directions * states + 1);
        for (int layer = 1; layer < std::min(3, spec.layers); ++layer)
            gradients[layer % 2].resize(batch.tokens * ld + 1);
        Vector<Vector<LayerSpan<T>>> spans(spec.layers);
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int direction = 0; direction < sizes.directions; ++direction) {
                T* before = start.get() + (layer * sizes.directions + direction) * states;
                forward.initial(layer, direction, before);
                spans[layer].push_back(
                    forward.span(layer, direction, 0, batch.steps, forward.stored(tape, layer, direction), before));
                if (layer)
                    forward.below(spans[layer].back(), forward.stored(tape, layer - 1, 0).h,
                                  forward.stored_joined(tape, layer - 1));
            }
        const Vector<int> cuts = cuts_for(stretch());
        each_team([&](BackwardTeam<T>& team) {
            for (int layer = spec.layers - 1; layer >= 0; --layer) {
                const T* above = gradients[(layer + 1) % 2].get();
                T* below = gradients[layer % 2].get();
                if (!cut()) {
                    team.run(spans[layer], 0, batch.steps, above, below);
                    continue;
                }
                for (const LayerSpan<T>& span : spans[layer])
                    for (size_t i = 1; i < cuts.size(); ++i) {
                        const size_t last = span.direction ? i : cuts.size() - i;
                        team.run({span}, cuts[last - 1], cuts[last], above, below);
                    }
            }
        });
    }

    // Tokens after which the products are added to the weight gradients. With more tokens, the gradients of the gates
    // leave the cache. With fewer, the sums are read and written too often; their size is quadratic in the number of
    // units.
    int stretch() const {
        const double sums = double(sizes.products) * sizes.hidden * (sizes.out + std::max(sizes.input, sizes.joined));
        return int(std::clamp(std::sqrt(2 * sums), double(kLeast), double(kMost)));
    }
    // Returns the steps that cut the sequences into chunks of at least `tokens` tokens.
    Vector<int> cuts_for(int64_t tokens) const {
        Vector<int> cuts{0};
        for (int step = 1; step < batch.steps; ++step)
            if (batch.first[step] - batch.first[cuts.back()] >= tokens) cuts.push_back(step);
        cuts.push_back(batch.steps);
        return cuts;
    }

    void chunks_down(T* tape) {
        const int chunk = int(spec.chunk);
        const int64_t most = batch.steps ? batch.first[std::min(chunk, batch.steps)] : 0, states = forward.carried();
        Buffer<T> tapes, joined, gradients, start;
        tapes.resize(spec.layers * most * Workspace<T>::per_token(sizes) + 1);
        gradients.resize(2 * most * ld + 1);
        start.resize(spec.layers * states + 1);
        if (forward.joins(0)) joined.resize(spec.layers * most * sizes.joined + 1);
        for (int i = forward.chunks() - 1; i >= 0; --i) {
            const int begin = i * chunk, end = std::min(begin + chunk, batch.steps);
            if (begin >= end) continue;
            Vector<LayerSpan<T>> spans;
            for (int layer = 0; layer < spec.layers; ++layer) {
                T* before = start.get() + layer * states;
                const auto at = [&](int of) {
                    return Workspace<T>(sizes, tapes.get() + of * most * Workspace<T>::per_token(sizes), most);
                };
                std::copy_n(forward.stored_states(tape, i, layer, 0), states, before);
                LayerSpan<T> here = forward.span(layer, 0, begin, end, at(layer), before);
                if (forward.joins(layer)) here.joined = joined.get() + layer * most * sizes.joined;
                if (layer) forward.below(here, at(layer - 1).h, spans.back().joined);
                again(here);
                std::copy_n(forward.stored_states(tape, i, layer, 0), states, before);  // `walk` has overwritten them
                spans.push_back(here);
            }
            each_team([&](BackwardTeam<T>& team) {
                for (int layer = spec.layers - 1; layer >= 0; --layer)
                    team.run({spans[layer]}, begin, end, gradients.get() + (layer + 1) % 2 * most * ld,
                             gradients.get() + layer % 2 * most * ld);
            });
        }
    }

    void chunks_across(T* tape) {
        const int chunk = int(spec.chunk), n = forward.chunks();
        const int64_t most = batch.steps ? batch.first[std::min(chunk, batch.steps)] : 0, states = forward.carried();
        Buffer<T> one, start, above, below;
        one.resize(most * Workspace<T>::per_token(sizes) + 1);
        start.resize(states + 1);
        for (int layer = spec.layers - 1; layer >= 0; --layer) {
            if (layer || to.x.data) below.resize(batch.tokens * ld + 1);
            for (int direction = 0; direction < 2; ++direction)
                for (int k = 0; k < n; ++k) {
                    const int i = direction ? k : n - 1 - k, begin = i * chunk,
                              end = std::min(begin + chunk, batch.steps);
                    if (begin >= end) continue;
                    Workspace<T> at(sizes, one.get(), most);
                    LayerSpan<T> here = forward.span(layer, direction, begin, end, at, start.get());
                    std::copy_n(forward.stored_states(tape, i, layer, direction), states, start.get());
                    if (layer)
                        forward.below(here, nullptr,
                                      forward.stored_outputs(tape, layer - 1) + here.origin * sizes.joined);
                    again(here);
                    std::copy_n(forward.stored_states(tape, i, layer, direction), states, start.get());
                    each_team([&](BackwardTeam<T>& team) {
                        team.run({here}, begin, end, above.get() ? above.get() + here.origin * ld : nullptr,
                                 below.get() + here.origin * ld);
                    });
                }
            std::swap(above, below);
        }
    }

    void again(const LayerSpan<T>& span) {
        forward.deal(1, sizes.strips, {0, batch.rows}, spec.threads, forward.load_of(1, span.layer),
                     [&](int, RowRange rows, ThreadSlice slice) { forward.walk(span, rows, slice, true); });
    }

    void finish_weights(int index) {
        for (int which = 0; which < 5; ++which) {
            WeightSums<T>& any = parts[0]->results;
            if (!any.has(which)) continue;
            const int height = any.height(which),
                      n = threads_for(int64_t(height) * sizes.hidden, 1 << 15, spec.threads);
            parallel(n, [&](int share) {
                for (auto& part : parts)
                    part->results.hand_over(index, which, height * share / n, height * (share + 1) / n);
            });
        }
    }

    void load_states(T* to_, const T* from, int index, int size, int wide) const {
        std::fill_n(to_, spec.batch * wide, T(0));
        for (int64_t row = 0; row < spec.batch && from; ++row)
            std::copy_n(from + (int64_t(index) * spec.batch + batch.order[row]) * size, size, to_ + row * wide);
    }
    void save_states(const T* from, T* to_, int index, int size, int wide) const {
        for (int64_t row = 0; row < spec.batch && to_; ++row)
            std::copy_n(from + row * wide, size, to_ + (int64_t(index) * spec.batch + batch.order[row]) * size);
    }
    void clear_padding() const {
        for (int64_t row = 0; row < spec.batch && to.x.data; ++row)
            for (int64_t step = batch.length[row]; step < spec.steps; ++step)
                std::fill_n(to.x.data + batch.order[row] * to.x.batch + step * to.x.time, spec.input, T(0));
    }
};

}  // namespace recurra::RECURRA_ISA
