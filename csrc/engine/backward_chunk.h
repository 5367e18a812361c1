// Back-propagation through some steps for one part of the batch.
//
// The loop over the steps computes only the gradients of the gates and of the previous states. The gradients of weights
// and inputs are large products over all tokens of the chunk, computed while the gradients of the gates are in the
// cache. Each function here can be called for several rows, tokens or weights at the same time; see backward_team.h.
#pragma once
#include "backward_sums.h"
#include "forward.h"

namespace recurra::RECURRA_ISA {

template <class T>
class BackwardChunk {
    const Spec& spec;
    const Sizes<T> sizes;
    const Batch& batch;
    Weights<T>& weights;
    const Gradients<T>& to;
    const Forward<T>& forward;
    const bool direct;
    const int side, ld;
    T *const dh, *const dc;             // gradients of the states, by layer, direction and row; shared by all parts
    Buffer<T> grads[2];                 // gradients of the gates, by direction
    Buffer<T> hidden[2];                // with projection: hidden states before it, and gradients of those after it
    Vector<const T*> x_of[2], h_of[2];  // by direction and token: the input, and the state before
    int begin = 0, end = 0;             // steps of the current chunk
    struct Token {
        int step, row;
    };
    Vector<Token> places;   // step and row of each token of the chunk
    Vector<int64_t> first;  // first token of each step, from `begin` on

public:
    const RowRange rows;
    WeightSums<T> results;

    // `side`: vectors of units per strip. `ld`: row stride of the gradients of layer outputs.
    BackwardChunk(const Forward<T>& forward_, const Gradients<T>& to_, bool direct_, T* dh_, T* dc_, int side_, int ld_,
                  RowRange rows_, bool straight)
        : spec(forward_.spec),
          sizes(spec),
          batch(forward_.batch),
          weights(forward_.weights),
          to(to_),
          forward(forward_),
          direct(direct_),
          side(side_),
          ld(ld_),
          dh(dh_),
          dc(dc_),
          rows(rows_),
          results(spec, to_, straight) {}

    // Begins with the steps `begin_` … `end_` - 1 of a layer in one or both directions. Returns the number of tokens.
    int64_t start(const Vector<LayerSpan<T>>& spans, int begin_, int end_) {
        begin = begin_, end = end_;
        places.clear(), first.clear();
        for (int step = begin; step < end; ++step) {
            first.push_back(int64_t(places.size()));
            for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) places.push_back({step, row});
        }
        for (const LayerSpan<T>& span : spans) {
            grads[span.direction].resize(tokens() * sizes.gate_stride + 1);
            x_of[span.direction].resize(tokens()), h_of[span.direction].resize(tokens());
            if (sizes.projects) hidden[span.direction].resize(tokens() * (sizes.units + sizes.outs) + 1);
        }
        return tokens();
    }
    int64_t tokens() const { return int64_t(places.size()); }

    // Computes the gradients of the gates and states of some rows. `above`: gradients of the outputs of the layer, from
    // the first token of the span on.
    void walk(const LayerSpan<T>& span, RowRange rows_, ThreadSlice slice, const T* above) {
        rows_ = {std::max(rows_.begin, rows.begin), std::min(rows_.end, rows.end)};
        if (rows_.begin >= rows_.end) return;
        DirectionWeights<T>& dir = weights.at(span.layer, span.direction);
        const int wide = side * lanes<T>, u0 = slice.begin * wide, u1 = std::min(slice.end * wide, sizes.units);
        Vector<const T*> in;
        Vector<T*> out;
        Rows<T> left;
        Buffer<T> before_projection;
        if (sizes.projects) before_projection.resize(sizes.units);
        for (int k = 0; k < end - begin; ++k) {
            const int step = span.direction ? begin + k : end - 1 - k;
            in.clear(), out.clear();
            // Rows that start from zeros need no gradient of their initial state.
            const int last = to.h0 ? batch.rows : rows_.begin + forward.moving(span.direction, step, rows_);
            for (int row = rows_.begin; row < batch.active_rows(step, rows_).end; ++row) {
                gate_gradients(span, step, row, above, u0, u1, before_projection.get());
                if (row >= last) continue;
                in.push_back(grads_of(span, token_of(step, row)));
                out.push_back(dh_of(span.layer * sizes.directions + span.direction) + int64_t(row) * sizes.outs);
            }
            slice.meet();
            if (direct)
                for (size_t i = 0; i < in.size(); ++i) direct_back(dir, in[i], out[i], u0, std::min(u1, sizes.out));
            else {
                const TileUse use;
                left.take(int(in.size()), in.data(), sizes.products * sizes.units);
                back_products(dir, left, out, slice, step % 2);
            }
        }
    }

    // below (+)= gradients of the gates · weight_ih, for the tokens `i` … `i` + `m` - 1. For the lowest layer the result
    // is the gradient of the values, written directly or through a buffer of whole vectors.
    void input_gradient(const Vector<LayerSpan<T>>& spans, T* below, int64_t i, int m) {
        const int columns = sizes.inputs(spans[0].layer);
        const bool lowest = spans[0].layer == 0, through = lowest && columns % lanes<T>;
        const T* in[kTogether];
        T* out[kTogether];
        Buffer<T> rest;
        if (through) rest.resize(int64_t(kTogether) * ld);
        for (const LayerSpan<T>& span : spans) {
            for (int j = 0; j < m; ++j) {
                in[j] = grads_of(span, i + j) + sizes.input_block() * sizes.units;
                out[j] = through  ? rest.get() + j * ld
                         : lowest ? values_row(i + j)
                                  : below + place_of(span, i + j) * ld;
                if (through && span.direction) std::copy_n(values_row(i + j), columns, out[j]);
            }
            if (direct)
                for (int j = 0; j < m; ++j) direct_input(span, in[j], out[j], columns);
            else {
                const bool streams = lowest && !through && should_stream<T>(batch.tokens, columns) &&
                                     std::all_of(out, out + m, is_aligned);
                rows_times<T>(m, in, out, weights.at(span.layer, span.direction).in_back,
                              span.direction ? Start::old
                              : streams      ? Start::stream
                                             : Start::zero);
                if (streams) stream_fence();
            }
            for (int j = 0; j < m && through; ++j) std::copy_n(out[j], columns, values_row(i + j));
        }
    }

    // Adds to the gradients of some rows of a weight. The sums over all tokens have one order.
    void weight_gradient(const LayerSpan<T>& span, int which, int first_row, int last_row) {
        if (!tokens()) return;
        if (which == 0) input_weight(span, first_row, last_row);
        if (which == 1) recurrent_weight(span, first_row, last_row);
        if (which == 4) projection_weight(span, first_row, last_row);
    }

private:
    T* dh_of(int i) const { return dh + int64_t(i) * spec.batch * sizes.outs; }
    T* dc_of(int i) const { return dc + int64_t(i) * spec.batch * sizes.units; }
    int64_t token_of(int step, int row) const { return first[step - begin] + row - rows.begin; }
    int64_t place_of(const LayerSpan<T>& span, int64_t token) const {
        return batch.first[places[token].step] + places[token].row - span.origin;
    }
    T* grads_of(const LayerSpan<T>& span, int64_t token) {
        return grads[span.direction].get() + token * sizes.gate_stride;
    }
    T* hidden_of(const LayerSpan<T>& span, int64_t token) {
        return hidden[span.direction].get() + token * (sizes.units + sizes.outs);
    }

    // dh += gradients of the gates · weight_hh
    void back_products(DirectionWeights<T>& dir, const Rows<T>& in, const Vector<T*>& out, ThreadSlice slice,
                       bool down) {
        const int n = dir.recurrent_back.strips(), first = slice.meeting ? slice.begin : 0,
                  last = slice.meeting ? slice.end : n;
        for (int i = first; i < last; ++i) {
            const int strip = down ? first + last - 1 - i : i;  // alternates as in the forward pass
            if (in_tiles<T> || batch.rows > 1)
                strip_times<T>(in, out.data(), dir.recurrent_back, strip, side * lanes<T>, Start::old);
            else if (in.count) row_times<T>(*in.from(0), out[0], dir.recurrent_back, strip, strip + 1);
        }
    }
    void direct_back(DirectionWeights<T>& dir, const T* from, T* dh_, int begin, int end) {
        if (end <= begin) return;
        for (int block = 0; block < sizes.products; ++block)
            times_matrix<T>(sizes.hidden, from + block * sizes.units,
                            dir.hh + int64_t(sizes.recurrent_gate(block)) * sizes.hidden * sizes.out + begin, sizes.out,
                            end - begin, dh_ + begin);
    }

    // Returns the gradient of the output of a step, or null.
    const T* above_of(const LayerSpan<T>& span, int step, int row, const T* above) const {
        if (span.layer + 1 < spec.layers)
            return above + (batch.first[step] + row - span.origin) * ld + span.direction * sizes.out;
        return to.out.data
                   ? to.out.data + batch.order[row] * to.out.batch + step * to.out.time + span.direction * sizes.out
                   : nullptr;
    }

    // Adds the gradient from the layer above to dh and computes the gradients of the gates, for the units u0 … u1 - 1
    // of a row.
    void gate_gradients(const LayerSpan<T>& span, int step, int row, const T* above, int u0, int u1,
                        T* before_projection) {
        const int64_t token = token_of(step, row), seq = batch.order[row];
        const int index = span.layer * sizes.directions + span.direction, at = span.direction * sizes.out;
        T *dh_ = dh_of(index) + int64_t(row) * sizes.outs, *dc_ = dc_of(index) + int64_t(row) * sizes.units,
          *g = grads_of(span, token);
        if (const T* from = above_of(span, step, row, above))
            for (int u = u0; u < (sizes.projects ? sizes.outs : u1); u += lanes<T>) {
                Vec<T> arriving = load_part(from + u, sizes.out - u);
                if (forward.drops(span.layer))
                    for (int i = 0; i < lanes<T> && u + i < sizes.out; ++i)
                        arriving[i] *= forward.scale(span.layer, seq, step, at + u + i);
                store(dh_ + u, load(dh_ + u) + arriving);
            }
        const RowPointers<T> here = forward.row_pointers(span, step, row);
        if (!u0) {  // of the threads that share a row, one
            x_of[span.direction][token] = forward.input_row(span, step, row);
            h_of[span.direction][token] = here.h_before;
        }
        T* dhidden = dh_;
        if (sizes.projects) dhidden = before_projection, unproject(span, token, here, dh_, dhidden);
        with_kernel(spec.cell,
                    [&](auto kernel) { kernel.backward(spec.cell, here, g, dhidden, dc_, u0, u1, sizes.units); });
        if (u1 > sizes.hidden) {  // units that only fill up a vector have no gradient
            for (int block = 0; block < sizes.stored; ++block)
                std::fill(g + block * sizes.units + sizes.hidden, g + (block + 1) * sizes.units, T(0));
            std::fill(dhidden + sizes.hidden, dhidden + u1, T(0));
        }
    }

    // Computes the gradient of the hidden state before the projection from that after it. Keeps both for the gradient
    // of weight_hr.
    void unproject(const LayerSpan<T>& span, int64_t token, const RowPointers<T>& here, T* dh_, T* dhidden) {
        DirectionWeights<T>& dir = weights.at(span.layer, span.direction);
        T* kept = hidden_of(span, token);
        for (int u = 0; u < sizes.units; u += lanes<T>)
            store(kept + u, load(here.gates + u * sizes.stored + 3 * lanes<T>) * tanh(load(here.c + u)));
        std::copy_n(dh_, sizes.outs, kept + sizes.units);
        std::fill_n(dhidden, sizes.units, T(0));
        const T* from = kept + sizes.units;
        if (direct) times_matrix<T>(sizes.out, from, dir.hr, sizes.hidden, sizes.hidden, dhidden);
        else rows_times<T>(1, &from, &dhidden, dir.project_back, Start::zero);
        std::fill_n(dh_, sizes.outs, T(0));
    }

    void direct_input(const LayerSpan<T>& span, const T* from, T* target, int columns) {
        if (!span.direction) std::fill_n(target, columns, T(0));
        for (int gate = 0; gate < sizes.products; ++gate)
            times_matrix<T>(sizes.hidden, from + gate * sizes.units,
                            weights.at(span.layer, span.direction).ih + int64_t(gate) * sizes.hidden * columns, columns,
                            columns, target);
    }
    T* values_row(int64_t token) const {
        const auto [step, row] = places[token];
        return to.x.data + batch.order[row] * to.x.batch + step * to.x.time;
    }

    // The range of tokens without those of the first or last step if all of these start from zeros: zeros times finite
    // gradients are zeros. Returns all tokens if no others remain, because a sum needs a first value.
    std::pair<int64_t, int64_t> with_state(int direction) const {
        if (first.size() < 2 || forward.moving(direction, direction ? end - 1 : begin, rows)) return {0, tokens()};
        const int64_t from = direction ? 0 : first[1], until = direction ? first.back() : tokens();
        const auto finite = [&](int64_t token) {
            return all_finite(grads[direction].get() + token * sizes.gate_stride, sizes.products * sizes.units);
        };
        bool leave = from < until;
        for (int64_t i = 0; i < from && leave; ++i) leave = finite(i);
        for (int64_t i = until; i < tokens() && leave; ++i) leave = finite(i);
        return leave ? std::pair(from, until) : std::pair(int64_t(0), tokens());
    }

    // Calls f(block, first unit, last unit) for the blocks of gates in some rows of a weight.
    template <class F>
    void blocks(int first_row, int last_row, F f) const {
        for (int block = 0; block < sizes.products; ++block) {
            const int u0 = std::max(first_row - block * sizes.hidden, 0),
                      u1 = std::min(last_row - block * sizes.hidden, sizes.hidden);
            if (u0 < u1) f(block, u0, u1);
        }
    }
    int index_of(const LayerSpan<T>& span) const { return span.layer * sizes.directions + span.direction; }

    void recurrent_weight(const LayerSpan<T>& span, int first_row, int last_row) {
        const auto [from_, until] = with_state(span.direction);
        const int64_t from = from_;  // C++17 has no captures of structured bindings
        const Sum<T> hh = results.at(index_of(span), 1);
        const bool fresh = !results.begun[index_of(span)];
        const T* const g = grads_of(span, from);
        outer_sums(h_of[span.direction].data() + from, until - from, sizes.out,
                   [&](auto& sum, int64_t at, bool begins) {
                       blocks(first_row, last_row, [&](int block, int u0, int u1) {
                           add(sum, g + at * sizes.gate_stride, sizes.gate_stride, block * sizes.units, u0, u1, hh,
                               sizes.recurrent_gate(block), begins && fresh);
                       });
                   });
    }

    // Also the gradients of the biases.
    void input_weight(const LayerSpan<T>& span, int first_row, int last_row) {
        const int index = index_of(span);
        const Sum<T> ih = results.at(index, 0);
        const bool fresh = !results.begun[index];
        const T *const g = grads_of(span, 0), *const gi = g + sizes.input_block() * sizes.units;
        outer_sums(x_of[span.direction].data(), tokens(), sizes.inputs(span.layer),
                   [&](auto& sum, int64_t at, bool begins) {
                       blocks(first_row, last_row, [&](int block, int u0, int u1) {
                           add(sum, gi + at * sizes.gate_stride, sizes.gate_stride, block * sizes.units, u0, u1, ih,
                               block, begins && fresh);
                       });
                   });
        if (!spec.bias) return;
        T *const bi = results.at(index, 2).data, *const bh = results.at(index, 3).data;
        blocks(first_row, last_row, [&](int block, int u0, int u1) {
            T* to_ = bi + block * sizes.hidden;
            add_bias(gi, block * sizes.units, u0, u1, to_, fresh);
            if (sizes.gru)
                add_bias(g, block * sizes.units, u0, u1, bh + sizes.recurrent_gate(block) * sizes.hidden, fresh);
            else std::copy(to_ + u0, to_ + u1, bh + block * sizes.hidden + u0);
        });
    }

    void projection_weight(const LayerSpan<T>& span, int first_row, int last_row) {
        Vector<const T*> hidden_(tokens());
        for (int64_t i = 0; i < tokens(); ++i) hidden_[i] = hidden_of(span, i);
        const Sum<T> hr = results.at(index_of(span), 4);
        const bool fresh = !results.begun[index_of(span)];
        outer_sums(hidden_.data(), tokens(), sizes.hidden, [&](auto& sum, int64_t token, bool begins) {
            add(sum, hidden_of(span, token) + sizes.units, sizes.units + sizes.outs, 0, first_row, last_row, hr, 0,
                begins && fresh);
        });
    }

    // Calls f(sum, first token, whether it is the first call) for up to kChunk tokens at a time, after `sum` has packed
    // their x.
    template <class F>
    static void outer_sums(const T* const* x, int64_t tokens, int columns, F f) {
        OuterSum<T> sum;
        for (int64_t token = 0; token < tokens; token += kChunk) {
            sum.take(int(std::min<int64_t>(kChunk, tokens - token)), x + token, columns);
            f(sum, token, token == 0);
        }
    }
    // Rows u0 … u1 - 1 of a gate: the columns from at + u0 of g.
    void add(OuterSum<T>& sum, const T* g, int64_t stride, int at, int u0, int u1, Sum<T> result_, int gate,
             bool begin) {
        T* c = result_.data +
               (int64_t(gate) * sizes.hidden - at) * result_.ld;  // such that row `at` is the first of the gate
        sum.add(g, stride, at + u0, at + u1, c, result_.ld, begin);
    }
    void add_bias(const T* g, int at, int u0, int u1, T* result_, bool begin) {
        Vector<double> total(u1 - u0);  // a float sum would lose digits
        for (int64_t i = 0; i < tokens(); ++i)
            for (int u = u0; u < u1; ++u) total[u - u0] += g[i * sizes.gate_stride + at + u];
        for (int u = u0; u < u1; ++u) result_[u] = T(begin ? total[u - u0] : result_[u] + total[u - u0]);
    }
};

}  // namespace recurra::RECURRA_ISA
