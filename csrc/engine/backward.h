// Back-propagation through time, for a whole call.
//
// The batch goes in parts, each of which has sums of its own for the gradients of the weights: so a thread works on rows, and on
// memory, that no other one touches. Where the forward pass stored only the states before each chunk, the chunk is run again first.
#pragma once
#include <memory>

#include "stretch.h"

namespace recurra::RECURRA_ISA {

constexpr int kLeast = 512, kMost = 4096;  // tokens of a stretch
constexpr int kRowsToCut = 8;  // with fewer there is one part, and both directions at once keep the threads busy
constexpr int kParts = 2;      // a fixed number, or results would depend on that of the threads

template <class T>
class Backward {
    const Spec& s;
    const Sizes<T> z;
    const Batch& batch;
    Weights<T>& weights;
    const Gradients<T>& to;
    Forward<T> forward;
    const bool direct;
    const int side, ld;  // as in Stretch
    Buffer<T> dh, dc;    // gradients of the states, by layer, direction and row
    std::vector<std::unique_ptr<Stretch<T>>> parts;
    int together_ = 1;  // parts that are worked on at the same time

public:
    Backward(const Spec& s_, const Batch& batch_, Weights<T>& weights_, const Inputs<T>& in, const Gradients<T>& to_)
        : s(s_),
          z(s),
          batch(batch_),
          weights(weights_),
          to(to_),
          forward(s, batch, weights, in, nullptr, false),
          direct(forward.direct),
          side(batch.rows == 1 ? 2 : kStrip),
          ld(round_up(std::max(z.joined, z.input), lanes<T>)) {}

    void run(T* tape) {
        if (!direct) weights.pack_backward(to.x.data, side);
        if (!direct && s.chunk) weights.pack_forward();
        if (s.chunk) forward.check_finite();
        const int all = s.layers * z.directions;
        dh.resize(int64_t(all) * s.batch * z.outs + 1);
        dc.resize(int64_t(all) * s.batch * z.units + 1);
        for (int i = 0; i < all; ++i) {
            load_states(dh_of(i), to.hn, i, z.out, z.outs);
            if (z.lstm) load_states(dc_of(i), to.cn, i, z.hidden, z.units);
        }
        divide();
        if (!s.chunk) whole(tape);
        else if (z.directions == 1) chunks_down(tape);
        else chunks_across(tape);
        for (int i = 0; i < all; ++i) {
            save_states(dh_of(i), to.h0, i, z.out, z.outs);
            if (z.lstm) save_states(dc_of(i), to.c0, i, z.hidden, z.units);
            if (!to.weights.empty()) finish_weights(i);
        }
        clear_padding();
    }

private:
    T* dh_of(int i) { return dh.get() + int64_t(i) * s.batch * z.outs; }
    T* dc_of(int i) { return dc.get() + int64_t(i) * s.batch * z.units; }
    bool cut() const { return batch.rows >= kRowsToCut; }

    void divide() {
        const int n = cut() ? kParts : 1;
        const int64_t work = batch.tokens * z.units * (z.out + z.input) * z.products * z.directions * s.layers;
        // more threads than parts: all of them on one part after the other
        together_ = s.threads > n ? 1 : int(std::clamp<int64_t>(work >> 16, 1, std::min<int64_t>(n, s.threads)));
        const int threads = s.threads > n ? int(s.threads) : n == 1 ? int(s.threads) : 1;
        for (int i = 0; i < n; ++i)
            parts.push_back(std::make_unique<Stretch<T>>(forward, to, dh.get(), dc.get(), side, ld,
                                                         batch.run({0, batch.rows}, i, n), threads, i == 0));
    }
    template <class F>
    void each_part(F f) {
        const int n = int(parts.size());
        parallel(together_, [&](int share) {
            for (int i = share; i < n; i += together_) f(*parts[i]);
        });
    }

    // ---- ways through the stack, down

    void whole(T* tape) {
        const int64_t states = forward.carried();
        Buffer<T> start, gradients[2];
        start.resize(s.layers * z.directions * states + 1);
        for (int l = 1; l < std::min(3, s.layers); ++l) gradients[l % 2].resize(batch.tokens * ld + 1);
        std::vector<std::vector<Lane<T>>> lanes_(s.layers);
        for (int l = 0; l < s.layers; ++l)
            for (int d = 0; d < z.directions; ++d) {
                T* before = start.get() + (l * z.directions + d) * states;
                forward.initial(l, d, before);
                lanes_[l].push_back(forward.lane(l, d, 0, batch.steps, forward.stored(tape, l, d), before));
                if (l)
                    forward.below(lanes_[l].back(), forward.stored(tape, l - 1, 0).h,
                                  forward.stored_joined(tape, l - 1));
            }
        const std::vector<int> cuts = cuts_for(stretch());
        each_part([&](Stretch<T>& part) {
            for (int l = s.layers - 1; l >= 0; --l) {
                const T* above = gradients[(l + 1) % 2].get();
                T* below = gradients[l % 2].get();
                if (!cut()) {
                    part.back(lanes_[l], 0, batch.steps, above, below);
                    continue;
                }
                for (const Lane<T>& lane : lanes_[l])
                    for (size_t i = 1; i < cuts.size(); ++i) {
                        const size_t last = lane.d ? i : cuts.size() - i;
                        part.back({lane}, cuts[last - 1], cuts[last], above, below);
                    }
            }
        });
    }

    // Tokens after which the sums of the weight gradients are taken up again. More of them, and the gradients of their gates leave
    // the cache; fewer, and the sums, which grow by the square of the units, are read and written too often.
    int stretch() const {
        const double sums = double(z.products) * z.hidden * (z.out + std::max(z.input, z.joined));
        return int(std::clamp(std::sqrt(2 * sums), double(kLeast), double(kMost)));
    }
    // Steps at which the sequences are cut into stretches of about so many tokens.
    std::vector<int> cuts_for(int64_t tokens) const {
        std::vector<int> cuts{0};
        for (int t = 1; t < batch.steps; ++t)
            if (batch.first[t] - batch.first[cuts.back()] >= tokens) cuts.push_back(t);
        cuts.push_back(batch.steps);
        return cuts;
    }

    void chunks_down(T* tape) {
        const int chunk = int(s.chunk);
        const int64_t most = batch.steps ? batch.first[std::min(chunk, batch.steps)] : 0, states = forward.carried();
        Buffer<T> tapes, joined, gradients, start;
        tapes.resize(s.layers * most * Tape<T>::per_token(z) + 1);
        gradients.resize(2 * most * ld + 1);
        start.resize(s.layers * states + 1);
        if (forward.joins(0)) joined.resize(s.layers * most * z.joined + 1);
        for (int i = forward.chunks() - 1; i >= 0; --i) {
            const int begin = i * chunk, end = std::min(begin + chunk, batch.steps);
            if (begin >= end) continue;
            std::vector<Lane<T>> lanes_;
            for (int l = 0; l < s.layers; ++l) {
                T* before = start.get() + l * states;
                const auto at = [&](int layer) {
                    return Tape<T>(z, tapes.get() + layer * most * Tape<T>::per_token(z), most);
                };
                std::copy_n(forward.stored_states(tape, i, l, 0), states, before);
                Lane<T> here = forward.lane(l, 0, begin, end, at(l), before);
                if (forward.joins(l)) here.joined = joined.get() + l * most * z.joined;
                if (l) forward.below(here, at(l - 1).h, lanes_.back().joined);
                again(here);
                std::copy_n(forward.stored_states(tape, i, l, 0), states, before);  // moved on by the walk
                lanes_.push_back(here);
            }
            each_part([&](Stretch<T>& part) {
                for (int l = s.layers - 1; l >= 0; --l)
                    part.back({lanes_[l]}, begin, end, gradients.get() + (l + 1) % 2 * most * ld,
                              gradients.get() + l % 2 * most * ld);
            });
        }
    }

    void chunks_across(T* tape) {
        const int chunk = int(s.chunk), n = forward.chunks();
        const int64_t most = batch.steps ? batch.first[std::min(chunk, batch.steps)] : 0, states = forward.carried();
        Buffer<T> one, start, above, below;
        one.resize(most * Tape<T>::per_token(z) + 1);
        start.resize(states + 1);
        for (int l = s.layers - 1; l >= 0; --l) {
            if (l || to.x.data) below.resize(batch.tokens * ld + 1);
            for (int d = 0; d < 2; ++d)
                for (int k = 0; k < n; ++k) {
                    const int i = d ? k : n - 1 - k, begin = i * chunk, end = std::min(begin + chunk, batch.steps);
                    if (begin >= end) continue;
                    Tape<T> at(z, one.get(), most);
                    Lane<T> here = forward.lane(l, d, begin, end, at, start.get());
                    std::copy_n(forward.stored_states(tape, i, l, d), states, start.get());
                    if (l) forward.below(here, nullptr, forward.stored_outputs(tape, l - 1) + here.origin * z.joined);
                    again(here);
                    std::copy_n(forward.stored_states(tape, i, l, d), states, start.get());
                    each_part([&](Stretch<T>& part) {
                        part.back({here}, begin, end, above.get() ? above.get() + here.origin * ld : nullptr,
                                  below.get() + here.origin * ld);
                    });
                }
            std::swap(above, below);
        }
    }

    void again(const Lane<T>& lane) {
        forward.deal(1, z.strips, {0, batch.rows}, int(s.threads),
                     [&](int, Rows rows, Part part) { forward.walk(lane, rows, part, true); });
    }

    void finish_weights(int index) {
        for (int which = 0; which < 5; ++which) {
            WeightSums<T>& any = parts[0]->results;
            if (!any.has(which)) continue;
            const int height = any.height(which),
                      n = int(std::clamp<int64_t>(int64_t(height) * z.hidden >> 16, 1, s.threads));
            parallel(n, [&](int share) {
                for (auto& part : parts)
                    part->results.hand_over(index, which, height * share / n, height * (share + 1) / n);
            });
        }
    }

    void load_states(T* to_, const T* from, int index, int size, int wide) const {
        std::fill_n(to_, s.batch * wide, T(0));
        for (int64_t r = 0; r < s.batch && from; ++r)
            std::copy_n(from + (int64_t(index) * s.batch + batch.order[r]) * size, size, to_ + r * wide);
    }
    void save_states(const T* from, T* to_, int index, int size, int wide) const {
        for (int64_t r = 0; r < s.batch && to_; ++r)
            std::copy_n(from + r * wide, size, to_ + (int64_t(index) * s.batch + batch.order[r]) * size);
    }
    void clear_padding() const {
        for (int64_t r = 0; r < s.batch && to.x.data; ++r)
            for (int64_t t = batch.length[r]; t < s.steps; ++t)
                std::fill_n(to.x.data + batch.order[r] * to.x.batch + t * to.x.time, s.input, T(0));
    }
};

}  // namespace recurra::RECURRA_ISA
