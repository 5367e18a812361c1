// Back-propagation through time.
//
// Per step only the gradients of the gates and of the states before; those of weights and inputs are large products over all
// tokens of a stretch. Where the forward pass stored only the states before each chunk, the chunk is run again first.
#pragma once
#include "forward.h"

namespace recurra::RECURRA_ISA {

template <class T>
class Backward {
    const Spec& s;
    const Sizes<T> z;
    const Batch& batch;
    Weights<T>& weights;
    const Gradients<T>& to;
    Forward<T> forward;
    const bool direct;
    const int side;          // vectors of units that go together: a single row is split between threads there
    const int ld;            // of the gradients of layer outputs
    Buffer<T> dh, dc;        // gradients of the states, by layer, direction and row
    Buffer<T> grads[2];      // of the gates, by direction
    Buffer<T> hidden[2];     // with projection: hidden states before it, and gradients of those after it
    std::vector<Buffer<T>> sums;  // of weight gradients whose rows are not whole vectors
    std::vector<bool> begun;  // whether the sums of a layer in one direction have their first part
    std::vector<int> step_of; // steps of the tokens of a stretch

public:
    Backward(const Spec& s_, const Batch& batch_, Weights<T>& weights_, const Inputs<T>& in, const Gradients<T>& to_)
        : s(s_), z(s), batch(batch_), weights(weights_), to(to_), forward(s, batch, weights, in, nullptr, false),
          direct(forward.direct), side(batch.rows == 1 ? 2 : kStrip), ld(round_up(std::max(z.joined, z.input), lanes<T>)) {}

    void run(T* tape) {
        if (!direct) weights.pack_backward(to.x.data, side);
        if (!direct && s.chunk) weights.pack_forward();
        const int all = s.layers * z.directions;
        dh.resize(int64_t(all) * s.batch * z.outs + 1);
        dc.resize(int64_t(all) * s.batch * z.units + 1);
        sums.resize(all * 5);
        begun.assign(all, false);
        for (int i = 0; i < all; ++i) {
            load_states(dh_of(i), to.hn, i, z.out, z.outs);
            if (z.lstm) load_states(dc_of(i), to.cn, i, z.hidden, z.units);
        }
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

    // ---- ways through the stack, down; `above` and `below` are gradients of layer outputs, from the lane's first token on

    void whole(T* tape) {
        Buffer<T> states, above, below;
        states.resize(z.directions * forward.carried() + 1);
        for (int l = s.layers - 1; l >= 0; --l) {
            std::vector<Lane<T>> lanes_;
            for (int d = 0; d < z.directions; ++d) {
                T* start = states.get() + d * forward.carried();
                forward.initial(l, d, start);
                lanes_.push_back(forward.lane(l, d, 0, batch.steps, forward.stored(tape, l, d), start));
                if (l) forward.below(lanes_.back(), forward.stored(tape, l - 1, 0).h, forward.stored_joined(tape, l - 1));
            }
            if (l) below.resize(batch.tokens * ld + 1);
            back(lanes_, above.get(), below.get());
            std::swap(above, below);
        }
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
                const auto at = [&](int layer) { return Tape<T>(z, tapes.get() + layer * most * Tape<T>::per_token(z), most); };
                std::copy_n(forward.stored_states(tape, i, l, 0), states, before);
                Lane<T> here = forward.lane(l, 0, begin, end, at(l), before);
                if (forward.joins(l)) here.joined = joined.get() + l * most * z.joined;
                if (l) forward.below(here, at(l - 1).h, lanes_.back().joined);
                again(here);
                std::copy_n(forward.stored_states(tape, i, l, 0), states, before);  // moved on by the walk
                lanes_.push_back(here);
            }
            for (int l = s.layers - 1; l >= 0; --l)
                back({lanes_[l]}, gradients.get() + (l + 1) % 2 * most * ld, gradients.get() + l % 2 * most * ld);
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
                    back({here}, above.get() ? above.get() + here.origin * ld : nullptr, below.get() + here.origin * ld);
                }
            std::swap(above, below);
        }
    }

    void again(const Lane<T>& lane) {
        forward.deal(1, z.strips, [&](int, int from, int stride, Part part) { forward.walk(lane, from, stride, part, true); });
    }

    // ---- one stretch of a layer, in one or both directions

    void back(const std::vector<Lane<T>>& lanes_, const T* above, T* below) {
        const Lane<T>& any = lanes_[0];
        const int64_t tokens = batch.first[any.end] - any.origin;
        step_of.resize(tokens);
        for (int t = any.begin; t < any.end; ++t)
            std::fill_n(step_of.begin() + (batch.first[t] - any.origin), batch.active[t], t);
        for (const Lane<T>& lane : lanes_) {
            grads[lane.d].resize(tokens * z.stored * z.units + 1);
            if (z.projects) hidden[lane.d].resize(tokens * (z.units + z.outs) + 1);
        }
        forward.deal(int(lanes_.size()), (z.units / lanes<T> + side - 1) / side, [&](int i, int from, int stride, Part part) {
            walk(lanes_[i], from, stride, part, above);
        });
        if (any.l || to.x.data) input_gradient(lanes_, below);
        if (!to.weights.empty())
            for (const Lane<T>& lane : lanes_) weight_gradients(lane);
    }

    T* grads_of(const Lane<T>& lane, int64_t token) { return grads[lane.d].get() + token * z.stored * z.units; }
    T* hidden_of(const Lane<T>& lane, int64_t token) { return hidden[lane.d].get() + token * (z.units + z.outs); }

    void walk(const Lane<T>& lane, int from, int stride, Part part, const T* above) {
        Direction<T>& dir = weights.at(lane.l, lane.d);
        const int wide = side * lanes<T>, u0 = part.begin * wide, u1 = std::min(part.end * wide, z.units);
        std::vector<const T*> in;
        std::vector<T*> out;
        Buffer<T> before_projection;
        if (z.projects) before_projection.resize(z.units);
        for (int k = 0; k < lane.end - lane.begin; ++k) {
            const int t = lane.d ? lane.begin + k : lane.end - 1 - k;
            in.clear(), out.clear();
            for (int r = from; r < batch.active[t]; r += stride) {
                step(lane, t, r, above, u0, u1, before_projection.get());
                in.push_back(grads_of(lane, batch.first[t] + r - lane.origin));
                out.push_back(dh_of(lane.l * z.directions + lane.d) + int64_t(r) * z.outs);
            }
            part.meet();
            if (direct)
                for (size_t i = 0; i < in.size(); ++i) direct_back(dir, in[i], out[i], u0, std::min(u1, z.out));
            else back_products(dir, in, out, part, t % 2);
        }
    }

    // dh += gradients of the gates · weight_hh
    void back_products(Direction<T>& dir, const std::vector<const T*>& in, const std::vector<T*>& out, Part part, bool down) {
        const int n = dir.recurrent_back.strips(), first = part.meeting ? part.begin : 0, last = part.meeting ? part.end : n;
        if (batch.rows == 1) {
            for (int i = first; i < last && !in.empty(); ++i) {
                const int strip = down ? first + last - 1 - i : i;  // as in the forward pass
                row_times<T>(in[0], out[0], dir.recurrent_back, strip, strip + 1);
            }
            return;
        }
        for (int i = first; i < last; ++i) {
            const int strip = down ? first + last - 1 - i : i;
            rows_times<T>(int(in.size()), in.data(), out.data(), dir.recurrent_back, strip, strip + 1, side * lanes<T>, Start::old);
        }
    }
    void direct_back(Direction<T>& dir, const T* from, T* dh_, int begin, int end) {
        if (end <= begin) return;
        for (int block = 0; block < z.products; ++block)
            times_matrix<T>(z.hidden, from + block * z.units,
                            dir.hh + int64_t(z.recurrent_gate(block)) * z.hidden * z.out + begin, z.out, end - begin, dh_ + begin);
    }

    // Adds the gradient from above to dh, and turns it into the gradients of the gates, for units u0 … u1 of a row.
    void step(const Lane<T>& lane, int t, int r, const T* above, int u0, int u1, T* before_projection) {
        const int64_t token = batch.first[t] + r - lane.origin, b = batch.order[r];
        const int index = lane.l * z.directions + lane.d, at = lane.d * z.out;
        T *dh_ = dh_of(index) + int64_t(r) * z.outs, *dc_ = dc_of(index) + int64_t(r) * z.units, *g = grads_of(lane, token);
        const bool top = lane.l + 1 == s.layers;
        const T* from = !top           ? above + token * ld + at
                        : to.out.data ? to.out.data + b * to.out.batch + t * to.out.time + at
                                      : nullptr;
        if (from)
            for (int u = u0; u < (z.projects ? z.outs : u1); u += lanes<T>) {
                Vec<T> d = load_part(from + u, z.out - u);
                if (forward.drops(lane.l))
                    for (int i = 0; i < lanes<T> && u + i < z.out; ++i) d[i] *= forward.scale(lane.l, b, t, at + u + i);
                store(dh_ + u, load(dh_ + u) + d);
            }
        const Row<T> here = forward.row(lane, t, r);
        T* d = dh_;
        if (z.projects) d = before_projection, unproject(lane, token, here, dh_, d);
        if (z.lstm) back_lstm(here, g, d, dc_, u0, u1, z.units);
        else if (z.gru) back_gru(here, g, d, u0, u1, z.units);
        else back_rnn(s.cell == Cell::rnn_relu, here, g, d, u0, u1);
        if (u1 > z.hidden) {  // units that only fill up a vector have no say, whatever they came to
            for (int block = 0; block < z.stored; ++block)
                std::fill(g + block * z.units + z.hidden, g + (block + 1) * z.units, T(0));
            std::fill(d + z.hidden, d + u1, T(0));
        }
    }

    // Gradient of the hidden state before projection from that after it, both kept for the gradient of weight_hr.
    void unproject(const Lane<T>& lane, int64_t token, const Row<T>& here, T* dh_, T* d) {
        Direction<T>& dir = weights.at(lane.l, lane.d);
        T* kept = hidden_of(lane, token);
        for (int u = 0; u < z.units; u += lanes<T>)
            store(kept + u, load(here.gates + u * z.stored + 3 * lanes<T>) * tanh(load(here.c + u)));
        std::copy_n(dh_, z.outs, kept + z.units);
        std::fill_n(d, z.units, T(0));
        const T* from = kept + z.units;
        if (direct) times_matrix<T>(z.out, from, dir.hr, z.hidden, z.hidden, d);
        else rows_times<T>(1, &from, &d, dir.project_back, Start::zero);
        std::fill_n(dh_, z.outs, T(0));
    }

    // below (+)= gradients of the gates · weight_ih; for the lowest layer straight into the gradient of the values, or
    // through rows of whole vectors.
    void input_gradient(const std::vector<Lane<T>>& lanes_, T* below) {
        const int columns = z.inputs(lanes_[0].l);
        const bool lowest = lanes_[0].l == 0, through = lowest && columns % lanes<T>;
        const int64_t tokens = step_of.size();
        const int n = shares(tokens * columns * z.units * z.products);
        const int most = int(std::min<int64_t>(kTogether, (tokens + n - 1) / n));
        in_turn(int((tokens + most - 1) / std::max(most, 1)), n, [&](int item) {
            const T* in[kTogether];
            T* out[kTogether];
            Buffer<T> rest;
            if (through) rest.resize(int64_t(kTogether) * ld);
            const int64_t i = int64_t(item) * most;
            for (const Lane<T>& lane : lanes_) {
                const int m = int(std::min<int64_t>(most, tokens - i));
                for (int j = 0; j < m; ++j) {
                    in[j] = grads_of(lane, i + j) + z.input_block() * z.units;
                    out[j] = through ? rest.get() + j * ld : lowest ? values_row(lane, i + j) : below + (i + j) * ld;
                    if (through && lane.d) std::copy_n(values_row(lane, i + j), columns, out[j]);
                }
                if (direct)
                    for (int j = 0; j < m; ++j) direct_input(lane, in[j], out[j], columns);
                else rows_times<T>(m, in, out, weights.at(lane.l, lane.d).in_back, lane.d ? Start::old : Start::zero);
                for (int j = 0; j < m && through; ++j) std::copy_n(out[j], columns, values_row(lane, i + j));
            }
        });
    }
    void direct_input(const Lane<T>& lane, const T* from, T* row, int columns) {
        if (!lane.d) std::fill_n(row, columns, T(0));
        for (int gate = 0; gate < z.products; ++gate)
            times_matrix<T>(z.hidden, from + gate * z.units, weights.at(lane.l, lane.d).ih + int64_t(gate) * z.hidden * columns,
                            columns, columns, row);
    }
    T* values_row(const Lane<T>& lane, int64_t token) {
        const int t = step_of[token];
        return to.x.data + batch.order[token + lane.origin - batch.first[t]] * to.x.batch + t * to.x.time;
    }

    // Sums over all tokens in one order; the rows of the results are dealt out to the threads.
    void weight_gradients(const Lane<T>& lane) {
        const int64_t tokens = step_of.size();
        const int inputs = z.inputs(lane.l), index = lane.l * z.directions + lane.d;
        std::vector<const T*> x(tokens), h(tokens), g(tokens), gi(tokens);
        for (int64_t i = 0; i < tokens; ++i) {
            const int t = step_of[i], r = int(i + lane.origin - batch.first[t]);
            x[i] = forward.input_row(lane, t, r);
            h[i] = forward.row(lane, t, r).h_before;
            g[i] = grads_of(lane, i);
            gi[i] = g[i] + z.input_block() * z.units;
        }
        const Sum ih = sum_of(index, 0, inputs), hh = sum_of(index, 1, z.out);
        T *const bi = s.bias ? result(index, 2) : nullptr, *const bh = s.bias ? result(index, 3) : nullptr;
        const int rows = z.products * z.hidden, n = shares(tokens * rows * (inputs + z.out));
        const int items = n == 1 ? 1 : n * std::max(1, rows / n / 128);  // so many rows that packing x for them is nothing
        in_turn(items, n, [&](int item) {
            OuterSum<T> sum;
            const int begin = int(int64_t(rows) * item / items), end = int(int64_t(rows) * (item + 1) / items);
            for (int block = 0; block < z.products; ++block) {
                const int u0 = std::max(begin - block * z.hidden, 0), u1 = std::min(end - block * z.hidden, z.hidden);
                if (u0 >= u1) continue;
                const int gate = z.recurrent_gate(block), at = block * z.units;
                add(sum, g, h, at, u0, u1, z.out, hh, gate, !begun[index]);
                add(sum, gi, x, at, u0, u1, inputs, ih, block, !begun[index]);
                if (bh) add_bias(g, at, u0, u1, bh + gate * z.hidden, !begun[index]);
                if (bi) add_bias(gi, at, u0, u1, bi + block * z.hidden, !begun[index]);
            }
        });
        if (z.projects) projection_gradient(lane, index);
        begun[index] = true;
    }

    void projection_gradient(const Lane<T>& lane, int index) {
        const int64_t tokens = step_of.size();
        std::vector<const T*> hidden_(tokens), after(tokens);
        for (int64_t i = 0; i < tokens; ++i) hidden_[i] = hidden_of(lane, i), after[i] = hidden_[i] + z.units;
        const Sum hr = sum_of(index, 4, z.hidden);
        const int n = shares(tokens * z.out * z.hidden);
        parallel(n, [&](int share) {
            OuterSum<T> sum;
            add(sum, after, hidden_, 0, z.out * share / n, z.out * (share + 1) / n, z.hidden, hr, 0, !begun[index]);
        });
    }

    struct Sum {  // where a weight gradient is summed
        T* data;
        int ld;
    };
    // Straight in the result, or beside it if its rows are not whole vectors.
    Sum sum_of(int index, int which, int columns) {
        if (columns % lanes<T> == 0) return {result(index, which), columns};
        const int wide = round_up(columns, lanes<T>), rows = which == 4 ? z.out : z.products * z.hidden;
        Buffer<T>& beside = sums[index * 5 + which];
        beside.resize(int64_t(rows) * wide);
        return {beside.get(), wide};
    }
    T* result(int index, int which) const {
        const int names = 2 + (s.bias ? 2 : 0) + (z.projects ? 1 : 0);
        return to.weights[index * names + (which == 4 ? names - 1 : which)];
    }
    // Rows u0 … u1 of a gate: columns at + u0 … of g.
    void add(OuterSum<T>& sum, const std::vector<const T*>& g, const std::vector<const T*>& x, int at, int u0, int u1, int columns,
             Sum result_, int gate, bool begin) {
        T* c = result_.data + (int64_t(gate) * z.hidden - at) * result_.ld;  // as if its row `at` were the gate's first
        sum.run(int64_t(g.size()), g.data(), x.data(), at + u0, at + u1, columns, c, result_.ld, begin);
    }
    void add_bias(const std::vector<const T*>& g, int at, int u0, int u1, T* result_, bool begin) {
        std::vector<double> total(u1 - u0);  // a running sum in float would lose digits
        for (const T* from : g)
            for (int u = u0; u < u1; ++u) total[u - u0] += from[at + u];
        for (int u = u0; u < u1; ++u) result_[u] = T(begin ? total[u - u0] : result_[u] + total[u - u0]);
    }
    void finish_weights(int index) {
        const int inputs = z.inputs(index / z.directions);
        const int columns[] = {inputs, z.out, 0, 0, z.hidden}, rows = z.products * z.hidden;
        for (int which : {0, 1, 4}) {
            if (which == 4 && !z.projects) continue;
            const int height = which == 4 ? z.out : rows;
            T* to_ = result(index, which);
            if (!begun[index]) std::fill_n(to_, int64_t(height) * columns[which], T(0));
            else if (const T* from = sums[index * 5 + which].get())
                for (int m = 0; m < height; ++m)
                    std::copy_n(from + int64_t(m) * round_up(columns[which], lanes<T>), columns[which], to_ + int64_t(m) * columns[which]);
        }
        for (int which = 2; which < 4 && s.bias && !begun[index]; ++which) std::fill_n(result(index, which), rows, T(0));
    }

    int shares(int64_t work) const { return int(std::clamp<int64_t>(work >> 17, 1, s.threads)); }

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
