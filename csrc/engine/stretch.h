// Back-propagation through a stretch of steps for some of the sequences: a part of the batch.
//
// Per step only the gradients of the gates and of the states before; those of weights and inputs are large products over all
// tokens of the stretch, while the gradients of the gates are still in the cache.
#pragma once
#include "forward.h"

namespace recurra::RECURRA_ISA {

// Where a gradient of weights is summed.
template <class T>
struct Sum {
    T* data;
    int ld;
};

// The weight gradients that one part of the batch gives; of the first part straight in the result, where its rows are whole vectors.
template <class T>
class WeightSums {
public:
    std::vector<bool> begun;  // whether the sums of a layer in one direction have their first stretch

    WeightSums(const Spec& s_, const Gradients<T>& to, bool straight)
        : begun(s_.layers * (s_.bidirectional ? 2 : 1), false),
          s(s_),
          z(s),
          to_(to),
          straight_(straight),
          beside_(begun.size() * 5) {}

    // `which`: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr
    Sum<T> at(int index, int which) {
        const int columns = columns_of(index, which), ld = wide(index, which);
        if (straight_ && columns == ld) return {result(index, which), columns};
        Buffer<T>& beside = beside_[index * 5 + which];
        if (!beside.get()) beside.resize(int64_t(height(which)) * ld);
        return {beside.get(), ld};
    }

    // Adds what stands beside the result to it, rows `first` … `last` - 1 of one of the weights.
    void hand_over(int index, int which, int first, int last) {
        const int columns = columns_of(index, which);
        T* to = result(index, which);
        if (straight_ && !begun[index]) std::fill(to + int64_t(first) * columns, to + int64_t(last) * columns, T(0));
        const T* from = beside_[index * 5 + which].get();
        if (!from || !begun[index]) return;
        const int ld = wide(index, which);
        for (int m = first; m < last; ++m)
            for (int j = 0; j < columns; ++j) {
                T& sum = to[int64_t(m) * columns + j];
                sum = straight_ ? from[int64_t(m) * ld + j] : sum + from[int64_t(m) * ld + j];
            }
    }
    int height(int which) const { return which == 4 ? z.out : z.products * z.hidden; }
    bool has(int which) const { return which < 2 || (which < 4 ? s.bias : z.projects); }

private:
    const Spec& s;
    const Sizes<T> z;
    const Gradients<T>& to_;
    const bool straight_;
    std::vector<Buffer<T>> beside_;

    int columns_of(int index, int which) const {
        return which == 0 ? z.inputs(index / z.directions) : which == 1 ? z.out : which == 4 ? z.hidden : 1;
    }
    // Products are written by whole vectors, biases one by one.
    int wide(int index, int which) const {
        return which == 2 || which == 3 ? 1 : round_up(columns_of(index, which), lanes<T>);
    }
    T* result(int index, int which) const {
        const int names = 2 + (s.bias ? 2 : 0) + (z.projects ? 1 : 0);
        return to_.weights[index * names + (which == 4 ? names - 1 : which)];
    }
};

template <class T>
class Stretch {
    const Spec& s;
    const Sizes<T> z;
    const Batch& batch;
    Weights<T>& weights;
    const Gradients<T>& to;
    const Forward<T>& forward;
    const bool direct;
    const int side, ld, threads;
    T *const dh, *const dc;  // gradients of the states, by layer, direction and row; shared by all parts
    Buffer<T> grads[2];      // of the gates, by direction
    Buffer<T> hidden[2];     // with projection: hidden states before it, and gradients of those after it
    int begin = 0, end = 0;  // steps at hand
    struct Place {
        int t, r;
    };
    std::vector<Place> places;   // of the tokens at hand
    std::vector<int64_t> first;  // of the tokens of a step, from `begin` on

public:
    const Rows rows;
    WeightSums<T> results;

    // `side`: vectors of units that go together; `ld`: of the gradients of layer outputs.
    Stretch(const Forward<T>& forward_, const Gradients<T>& to_, T* dh_, T* dc_, int side_, int ld_, Rows rows_,
            int threads_, bool straight)
        : s(forward_.s),
          z(s),
          batch(forward_.batch),
          weights(forward_.weights),
          to(to_),
          forward(forward_),
          direct(forward_.direct),
          side(side_),
          ld(ld_),
          threads(threads_),
          dh(dh_),
          dc(dc_),
          rows(rows_),
          results(s, to_, straight) {}

    // The steps from `begin_` to `end_` of a layer, in one or both directions; `above` and `below` are gradients of layer outputs,
    // from the lanes' first token on.
    void back(const std::vector<Lane<T>>& lanes_, int begin_, int end_, const T* above, T* below) {
        begin = begin_, end = end_;
        places.clear(), first.clear();
        for (int t = begin; t < end; ++t) {
            first.push_back(int64_t(places.size()));
            for (int r = rows.begin; r < batch.at(t, rows).end; ++r) places.push_back({t, r});
        }
        const int64_t tokens = places.size();
        if (!tokens) return;
        for (const Lane<T>& lane : lanes_) {
            grads[lane.d].resize(tokens * z.row + 1);
            if (z.projects) hidden[lane.d].resize(tokens * (z.units + z.outs) + 1);
        }
        forward.deal(int(lanes_.size()), (z.units / lanes<T> + side - 1) / side, rows, threads,
                     [&](int i, Rows rows_, Part part) { walk(lanes_[i], rows_, part, above); });
        if (lanes_[0].l || to.x.data) input_gradient(lanes_, below);
        if (!to.weights.empty())
            for (const Lane<T>& lane : lanes_) weight_gradients(lane);
    }

private:
    T* dh_of(int i) const { return dh + int64_t(i) * s.batch * z.outs; }
    T* dc_of(int i) const { return dc + int64_t(i) * s.batch * z.units; }
    int64_t token_of(int t, int r) const { return first[t - begin] + r - rows.begin; }
    int64_t place_of(const Lane<T>& lane, int64_t token) const {
        return batch.first[places[token].t] + places[token].r - lane.origin;
    }
    T* grads_of(const Lane<T>& lane, int64_t token) { return grads[lane.d].get() + token * z.row; }
    T* hidden_of(const Lane<T>& lane, int64_t token) { return hidden[lane.d].get() + token * (z.units + z.outs); }
    int shares(int64_t work) const { return int(std::clamp<int64_t>(work >> 17, 1, threads)); }

    void walk(const Lane<T>& lane, Rows rows_, Part part, const T* above) {
        Direction<T>& dir = weights.at(lane.l, lane.d);
        const int wide = side * lanes<T>, u0 = part.begin * wide, u1 = std::min(part.end * wide, z.units);
        std::vector<const T*> in;
        std::vector<T*> out;
        Buffer<T> before_projection;
        if (z.projects) before_projection.resize(z.units);
        for (int k = 0; k < end - begin; ++k) {
            const int t = lane.d ? begin + k : end - 1 - k;
            in.clear(), out.clear();
            // nobody asks for the gradient of zeros that a row starts from
            const int last = to.h0 ? batch.rows : rows_.begin + forward.moving(lane.d, t, rows_);
            for (int r = rows_.begin; r < batch.at(t, rows_).end; ++r) {
                step(lane, t, r, above, u0, u1, before_projection.get());
                if (r >= last) continue;
                in.push_back(grads_of(lane, token_of(t, r)));
                out.push_back(dh_of(lane.l * z.directions + lane.d) + int64_t(r) * z.outs);
            }
            part.meet();
            if (direct)
                for (size_t i = 0; i < in.size(); ++i) direct_back(dir, in[i], out[i], u0, std::min(u1, z.out));
            else back_products(dir, in, out, part, t % 2);
        }
    }

    // dh += gradients of the gates · weight_hh
    void back_products(Direction<T>& dir, const std::vector<const T*>& in, const std::vector<T*>& out, Part part,
                       bool down) {
        const int n = dir.recurrent_back.strips(), first = part.meeting ? part.begin : 0,
                  last = part.meeting ? part.end : n;
        if (batch.rows == 1) {
            for (int i = first; i < last && !in.empty(); ++i) {
                const int strip = down ? first + last - 1 - i : i;  // as in the forward pass
                row_times<T>(in[0], out[0], dir.recurrent_back, strip, strip + 1);
            }
            return;
        }
        for (int i = first; i < last; ++i) {
            const int strip = down ? first + last - 1 - i : i;
            rows_times<T>(int(in.size()), in.data(), out.data(), dir.recurrent_back, strip, strip + 1, side * lanes<T>,
                          Start::old);
        }
    }
    void direct_back(Direction<T>& dir, const T* from, T* dh_, int begin, int end) {
        if (end <= begin) return;
        for (int block = 0; block < z.products; ++block)
            times_matrix<T>(z.hidden, from + block * z.units,
                            dir.hh + int64_t(z.recurrent_gate(block)) * z.hidden * z.out + begin, z.out, end - begin,
                            dh_ + begin);
    }

    // Where the gradient of the output of a step comes from, or null.
    const T* above_of(const Lane<T>& lane, int t, int r, const T* above) const {
        if (lane.l + 1 < s.layers) return above + (batch.first[t] + r - lane.origin) * ld + lane.d * z.out;
        return to.out.data ? to.out.data + batch.order[r] * to.out.batch + t * to.out.time + lane.d * z.out : nullptr;
    }

    // Adds the gradient from above to dh, and turns it into the gradients of the gates, for units u0 … u1 of a row.
    void step(const Lane<T>& lane, int t, int r, const T* above, int u0, int u1, T* before_projection) {
        const int64_t token = token_of(t, r), b = batch.order[r];
        const int index = lane.l * z.directions + lane.d, at = lane.d * z.out;
        T *dh_ = dh_of(index) + int64_t(r) * z.outs, *dc_ = dc_of(index) + int64_t(r) * z.units,
          *g = grads_of(lane, token);
        if (const T* from = above_of(lane, t, r, above))
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
        const int64_t tokens = places.size();
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
                    out[j] = through  ? rest.get() + j * ld
                             : lowest ? values_row(i + j)
                                      : below + place_of(lane, i + j) * ld;
                    if (through && lane.d) std::copy_n(values_row(i + j), columns, out[j]);
                }
                if (direct)
                    for (int j = 0; j < m; ++j) direct_input(lane, in[j], out[j], columns);
                else {
                    const bool past =
                        lowest && !through && goes_past<T>(batch.tokens, columns) && std::all_of(out, out + m, whole);
                    rows_times<T>(m, in, out, weights.at(lane.l, lane.d).in_back,
                                  lane.d ? Start::old
                                  : past ? Start::past
                                         : Start::zero);
                    if (past) passed();
                }
                for (int j = 0; j < m && through; ++j) std::copy_n(out[j], columns, values_row(i + j));
            }
        });
    }
    void direct_input(const Lane<T>& lane, const T* from, T* row, int columns) {
        if (!lane.d) std::fill_n(row, columns, T(0));
        for (int gate = 0; gate < z.products; ++gate)
            times_matrix<T>(z.hidden, from + gate * z.units,
                            weights.at(lane.l, lane.d).ih + int64_t(gate) * z.hidden * columns, columns, columns, row);
    }
    T* values_row(int64_t token) const {
        const auto [t, r] = places[token];
        return to.x.data + batch.order[r] * to.x.batch + t * to.x.time;
    }

    // The tokens at hand without those of the first or the last step, where all start from zeros: the products of zeros and finite
    // gradients are zeros. All of them, if there are no others, because a sum must begin.
    std::pair<int64_t, int64_t> with_state(int d, int64_t tokens) const {
        if (first.size() < 2 || forward.moving(d, d ? end - 1 : begin, rows)) return {0, tokens};
        const int64_t from = d ? 0 : first[1], until = d ? first.back() : tokens;
        const auto finite = [&](int64_t token) {
            return all_finite(grads[d].get() + token * z.row, z.products * z.units);
        };
        bool leave = from < until;
        for (int64_t i = 0; i < from && leave; ++i) leave = finite(i);
        for (int64_t i = until; i < tokens && leave; ++i) leave = finite(i);
        return leave ? std::pair(from, until) : std::pair(int64_t(0), tokens);
    }

    // Sums over all tokens in one order; the rows of the results are dealt out to the threads.
    void weight_gradients(const Lane<T>& lane) {
        const int64_t tokens = places.size();
        const int inputs = z.inputs(lane.l), index = lane.l * z.directions + lane.d;
        std::vector<const T*> x(tokens), h(tokens);
        const T *const g = grads_of(lane, 0), *const gi = g + z.input_block() * z.units;
        for (int64_t i = 0; i < tokens; ++i) {
            const auto [t, r] = places[i];
            x[i] = forward.input_row(lane, t, r);
            h[i] = forward.row(lane, t, r).h_before;
        }
        const Sum<T> ih = results.at(index, 0), hh = results.at(index, 1);
        T *const bi = s.bias ? results.at(index, 2).data : nullptr, *const bh =
                                                                        s.bias ? results.at(index, 3).data : nullptr;
        const bool fresh = !results.begun[index];
        const auto [from_, until] = with_state(lane.d, tokens);
        const int64_t from = from_;  // C++17 has no captures of structured bindings
        h.erase(h.begin() + until, h.end()), h.erase(h.begin(), h.begin() + from);
        const int height = z.products * z.hidden, n = shares(tokens * height * (inputs + z.out));
        const int items =
            n == 1 ? 1 : n * std::max(1, height / n / 128);  // so many rows that packing x for them is nothing
        in_turn(items, n, [&](int item) {
            const int begin = int(int64_t(height) * item / items), end = int(int64_t(height) * (item + 1) / items);
            const auto blocks = [&](auto f) {  // f(block, its rows at hand)
                for (int block = 0; block < z.products; ++block) {
                    const int u0 = std::max(begin - block * z.hidden, 0),
                              u1 = std::min(end - block * z.hidden, z.hidden);
                    if (u0 < u1) f(block, u0, u1);
                }
            };
            outer_sums(h, z.out, [&](auto& sum, int64_t t, bool first) {
                blocks([&](int block, int u0, int u1) {
                    add(sum, g + (from + t) * z.row, z.row, block * z.units, u0, u1, hh, z.recurrent_gate(block),
                        first && fresh);
                });
            });
            outer_sums(x, inputs, [&](auto& sum, int64_t t, bool first) {
                blocks([&](int block, int u0, int u1) {
                    add(sum, gi + t * z.row, z.row, block * z.units, u0, u1, ih, block, first && fresh);
                });
            });
            if (bi)
                blocks([&](int block, int u0, int u1) {
                    T* to_ = bi + block * z.hidden;
                    add_bias(tokens, gi, block * z.units, u0, u1, to_, fresh);
                    if (z.gru)
                        add_bias(tokens, g, block * z.units, u0, u1, bh + z.recurrent_gate(block) * z.hidden, fresh);
                    else std::copy(to_ + u0, to_ + u1, bh + block * z.hidden + u0);
                });
        });
        if (z.projects) projection_gradient(lane, index);
        results.begun[index] = true;
    }

    void projection_gradient(const Lane<T>& lane, int index) {
        const int64_t tokens = places.size();
        std::vector<const T*> hidden_(tokens);
        for (int64_t i = 0; i < tokens; ++i) hidden_[i] = hidden_of(lane, i);
        const Sum<T> hr = results.at(index, 4);
        const bool fresh = !results.begun[index];
        const int n = shares(tokens * z.out * z.hidden);
        parallel(n, [&](int share) {
            outer_sums(hidden_, z.hidden, [&](auto& sum, int64_t t, bool first) {
                const int64_t step = z.units + z.outs;
                add(sum, hidden_of(lane, t) + z.units, step, 0, z.out * share / n, z.out * (share + 1) / n, hr, 0,
                    first && fresh);
            });
        });
    }

    // f(sum, first token, whether there were none before) for some tokens at a time, whose x the sum has taken up.
    template <class F>
    static void outer_sums(const std::vector<const T*>& x, int columns, F f) {
        OuterSum<T> sum;
        for (int64_t t = 0, tokens = x.size(); t < tokens; t += kChunk) {
            sum.take(int(std::min<int64_t>(kChunk, tokens - t)), x.data() + t, columns);
            f(sum, t, t == 0);
        }
    }
    // Rows u0 … u1 of a gate: columns at + u0 … of g.
    void add(OuterSum<T>& sum, const T* g, int64_t step, int at, int u0, int u1, Sum<T> result_, int gate, bool begin) {
        T* c = result_.data + (int64_t(gate) * z.hidden - at) * result_.ld;  // as if its row `at` were the gate's first
        sum.add(g, step, at + u0, at + u1, c, result_.ld, begin);
    }
    void add_bias(int64_t tokens, const T* g, int at, int u0, int u1, T* result_, bool begin) {
        std::vector<double> total(u1 - u0);  // a running sum in float would lose digits
        for (int64_t i = 0; i < tokens; ++i)
            for (int u = u0; u < u1; ++u) total[u - u0] += g[i * z.row + at + u];
        for (int u = u0; u < u1; ++u) result_[u] = T(begin ? total[u - u0] : result_[u] + total[u - u0]);
    }
};

}  // namespace recurra::RECURRA_ISA
