// The forward pass of a whole call.
//
// Each thread computes some sequences from the first step to the last, chunk by chunk. It computes the input products
// of a chunk, which stay in the cache, and then the recurrence: a tile has all gates of its units in registers and
// finishes them there. A single sequence is divided by units instead, and the threads wait for each other once per
// step.
#pragma once
#include <cmath>

#include "table_products.h"
#include "workspace.h"

namespace recurra::RECURRA_ISA {

constexpr int kTogether = 96;  // tokens whose gates stay in the cache between input products and recurrence

// Weights of more bytes leave the L2 cache. With few rows, reading them then takes longer than multiplying.
constexpr int64_t kNearBytes = int64_t(2) << 20;
template <class T>
constexpr int kFewRows = in_tiles<T> ? 64 : 16;

// Up to this number of tokens, packing the weights, or reading packed ones and those from which they were packed, costs
// more than it saves. Measured with LSTMs of 64 to 1,024 units on one and two threads. `work`: weights of a layer.
template <class T>
int direct_tokens(int64_t work) {
    const int64_t megabytes = work * int64_t(sizeof(T)) >> 20;
    return megabytes < 1 ? 12 : megabytes < 4 ? 24 : 36;
}

// Write large outputs with non-temporal stores. They would not stay in the cache, and a normal store would first read
// the line. Short rows are better written through the cache.
template <class T>
bool should_stream(int64_t rows, int64_t columns) {
    return rows * columns * sizeof(T) > (1 << 20) && columns * sizeof(T) >= (1 << 10);
}

template <class T>
class Forward {
public:
    const Spec& spec;
    const Sizes<T> sizes;
    const Batch& batch;
    Weights<T>& weights;
    const Inputs<T>& in;
    const Outputs<T>* const out;  // null if only the stored values are needed
    const bool direct;
    const bool streams;                          // whether the output is written with non-temporal stores
    const TableProducts<T>* products = nullptr;  // input products of the first layer, if they are known

    Forward(const Spec& spec_, const Batch& batch_, Weights<T>& weights_, const Inputs<T>& in_, const Outputs<T>* out_,
            bool packed)
        : spec(spec_),
          sizes(spec),
          batch(batch_),
          weights(weights_),
          in(in_),
          out(out_),
          direct(!packed && !spec.invariant && batch.tokens <= direct_tokens<T>(sizes.work(0))),
          streams(should_stream<T>(batch.tokens, sizes.out)) {}

    // ---- the tape

    bool joins(int layer) const { return joined_apart(spec, sizes, layer); }
    int64_t carried() const { return batch.rows * int64_t(sizes.outs + (sizes.lstm ? sizes.units : 0)); }
    int chunks() const { return spec.chunk ? int((batch.steps + spec.chunk - 1) / spec.chunk) : 1; }

    // All values of a span, then its joined outputs; see tape_size.
    Workspace<T> stored(T* tape, int layer, int direction) const {
        return stored_tape(spec, sizes, tape, layer, direction, batch.tokens);
    }
    T* stored_joined(T* tape, int layer) const {
        return joins(layer) ? tape + stored_offset(spec, sizes, layer, batch.tokens) +
                                  sizes.directions * batch.tokens * Workspace<T>::per_token(sizes)
                            : nullptr;
    }
    // With chunks: the states before each chunk, then, for a bidirectional stack, the joined outputs of all layers.
    T* stored_states(T* tape, int chunk, int layer, int direction) const {
        return tape + ((int64_t(chunk) * spec.layers + layer) * sizes.directions + direction) * carried();
    }
    T* stored_outputs(T* tape, int layer) const {
        return joins(layer) ? stored_states(tape, chunks(), 0, 0) + layer * batch.tokens * sizes.joined : nullptr;
    }

    // ---- orders of layers and steps

    // Computes all steps and stores all values.
    void keep(T* tape) {
        check_finite();
        Buffer<T> states;
        states.resize(sizes.directions * carried() + 1);
        empty_rows();
        for (int layer = 0; layer < spec.layers; ++layer) {
            Vector<LayerSpan<T>> spans;
            for (int direction = 0; direction < sizes.directions; ++direction) {
                T* start = states.get() + direction * carried();
                initial(layer, direction, start);
                spans.push_back(span(layer, direction, 0, batch.steps, stored(tape, layer, direction), start));
                spans.back().joined = stored_joined(tape, layer);
                if (layer) below(spans.back(), stored(tape, layer - 1, 0).h, stored_joined(tape, layer - 1));
            }
            deal(int(spans.size()), sizes.strips, {0, batch.rows}, spec.threads, load_of(int(spans.size()), layer),
                 [&](int i, RowRange rows, ThreadSlice slice) { walk(spans[i], rows, slice, true); });
        }
        clear_padding();
    }

    // Computes chunk by chunk. Stores the states before each chunk if there is a tape.
    void pass(T* tape) {
        check_finite();
        empty_rows();
        sizes.directions == 1 ? pass_up(tape) : pass_across(tape);
        clear_padding();
    }

    LayerSpan<T> span(int layer, int direction, int begin, int end, Workspace<T> tape, T* states) const {
        return {layer,   direction, begin,  end, batch.first[begin], tape, states, states + batch.rows * sizes.outs,
                nullptr, 0,         nullptr};
    }
    // Sets the input: `joined` if the outputs of the layer below are there, otherwise `h`.
    void below(LayerSpan<T>& span, const T* h, const T* joined) const {
        span.below = joined ? joined : h;
        span.below_ld = joined ? sizes.joined : sizes.outs;
    }

    void initial(int layer, int direction, T* to) const {
        const int64_t index = (int64_t(layer) * sizes.directions + direction) * spec.batch;
        for (int64_t row = 0; row < batch.rows; ++row) {
            T *h = to + row * sizes.outs, *c = to + batch.rows * sizes.outs + row * sizes.units;
            std::fill_n(h, sizes.outs, T(0));
            if (in.h0) std::copy_n(in.h0 + (index + batch.order[row]) * sizes.out, sizes.out, h);
            if (!sizes.lstm) continue;
            std::fill_n(c, sizes.units, T(0));
            if (in.c0) std::copy_n(in.c0 + (index + batch.order[row]) * sizes.hidden, sizes.hidden, c);
        }
    }

    // What is divided: multiply-adds of all tokens, and the steps after which threads meet that share a row. Threads
    // share a single row, and read unpacked or large weights once if they share all rows.
    struct Load {
        int64_t work, meetings;
        bool by_strips;
    };
    Load load_of(int spans, int layer, int layers = 1) const {
        int64_t work = 0;
        for (int i = layer; i < layer + layers; ++i) work += sizes.work(i);
        return {batch.tokens * work * spans, int64_t(batch.steps) * layers,
                batch.rows == 1 || direct || weights_are_far()};
    }
    // Whether reading the recurrent weights takes most of a step: each thread then reads its part, for all rows.
    bool weights_are_far() const {
        const int64_t bytes = int64_t(sizes.products) * sizes.units * sizes.outs * sizeof(T) / PackedMatrix<T>::kWord;
        return bytes > kNearBytes && batch.rows <= kFewRows<T>;
    }

    // Divides the rows of all spans among the threads: f(span, rows, slice). If the load is divided by strips, threads
    // share the rows of a single span, provided that a step has enough work.
    template <class F>
    void deal(int spans, int strips, RowRange rows, int threads, Load load, F f) const {
        if (load.by_strips && spans == 1 && !sizes.projects) {
            const int n = threads_for(load.work, kRowMicrosecond<T>, std::min(threads, strips), load.meetings);
            Barrier meeting(n);
            if (n > 1 &&
                together(n, [&](int i) { f(0, rows, ThreadSlice{strips * i / n, strips * (i + 1) / n, i, &meeting}); }))
                return;
        }
        const int64_t count = int64_t(std::max(1, rows.end - rows.begin)) * spans;
        const int most = threads_for(load.work, kMicrosecond<T>, std::min<int64_t>(threads, count));
        const int across = std::max(1, std::min(rows.end - rows.begin, spans == 2 && most % 2 == 0 ? most / 2 : most));
        const int total = across * spans, n = std::min(most, total);
        parallel(n, [&](int share) {
            for (int i = share; i < total; i += n)
                f(i % spans, batch.share_of(rows, i / spans, across), ThreadSlice{0, strips, i, nullptr});
        });
    }

    // Computes one span for some rows.
    void walk(const LayerSpan<T>& span, RowRange rows, ThreadSlice slice, bool keep) {
        const RowRange widest = batch.active_rows(span.begin, rows);
        const int mine = widest.end - widest.begin;
        if (!mine) return;
        const int sub = std::max(1, kTogether / mine);
        Work work(sizes, mine, direct ? int(batch.tokens) : 0);
        for (int i = span.begin; i < span.end; i += sub) {
            const int n = std::min(sub, span.end - i), low = span.direction ? span.begin + span.end - i - n : i;
            project(span, low, low + n, rows, slice, work);
            for (int k = 0; k < n; ++k) {
                const int step = span.direction ? low + n - 1 - k : low + k;
                run_step(span, step, rows, slice, work, keep);
                slice.meet();
                emit(span, step, rows, slice);
            }
        }
        carry(span, rows, slice);
        if (streams) stream_fence();
        slice.meet();
    }

    int64_t place(const LayerSpan<T>& span, int step, int row) const {
        return where(span, step, row, span.own.end > 0);
    }
    int64_t output_place(const LayerSpan<T>& span, int step, int row) const {
        return where(span, step, row, span.own_outputs);
    }
    int64_t where(const LayerSpan<T>& span, int step, int row, bool own) const {
        return own ? int64_t(step - span.begin) * (span.own.end - span.own.begin) + row - span.own.begin
                   : batch.first[step] + row - span.origin;
    }

    RowPointers<T> row_pointers(const LayerSpan<T>& span, int step, int row) const {
        const int64_t token = place(span, step, row);
        const int before = span.direction ? step + 1 : step - 1;
        const bool starts = span.direction ? (before >= span.end || row >= batch.active[before]) : before < span.begin;
        const int64_t previous = starts ? 0 : place(span, before, row);
        RowPointers<T> found;
        found.h_before = starts ? span.h0 + int64_t(row) * sizes.outs : span.tape.h + previous * sizes.outs;
        found.gates = products && !span.layer ? products->of(entry_at(step, row), span.direction)
                                              : span.tape.gates + token * span.tape.gate_stride;
        found.h = span.tape.h + token * sizes.outs;
        found.c_before = starts ? span.c0 + int64_t(row) * sizes.units : span.tape.c + previous * sizes.units;
        found.c = span.tape.c + token * sizes.units;
        return found;
    }
    // Packed weights are checked when they are packed.
    void check_finite() {
        if (direct && !in.h0 && !in.finite) weights.check_finite();
    }
    // The number of rows at a step that have a previous step or a given initial state. The other rows follow; they
    // start from zeros.
    int moving(int direction, int step, RowRange rows) const {
        const int n = std::max(0, batch.active_rows(step, rows).end - rows.begin),
                  before = direction ? step + 1 : step - 1;
        return in.h0 ? n : before < 0 ? 0 : std::clamp(batch.active[before] - rows.begin, 0, n);
    }
    // The number of rows that are multiplied by weight_hh: a product with zeros is zero if the weights are finite.
    int multiplied(const LayerSpan<T>& span, int step, RowRange rows) const {
        return weights.at(span.layer, span.direction).finite.load(std::memory_order_relaxed)
                   ? moving(span.direction, step, rows)
                   : std::max(0, batch.active_rows(step, rows).end - rows.begin);
    }
    const T* input_row(const LayerSpan<T>& span, int step, int row) const {
        if (span.layer) return span.below + output_place(span, step, row) * span.below_ld;
        if (in.entries.data) return in.x.data + entry_at(step, row) * in.x.batch;
        return in.x.data + batch.order[row] * in.x.batch + step * in.x.time;
    }
    int64_t entry_at(int step, int row) const {
        return in.entries.data[batch.order[row] * in.entries.batch + step * in.entries.time];
    }

    // Dropout by a hash of (seed, layer, sequence, step, unit): the mask is the same in backward and for any number of
    // threads.
    T scale(int layer, int64_t seq, int step, int j) const {
        const uint64_t place = (uint64_t(spec.first_row + seq) * spec.steps + step) * sizes.joined + j;
        const uint64_t draw = mix(spec.seed ^ mix(uint64_t(layer) << 48 ^ place));
        return (draw >> 11) * 0x1p-53 < spec.dropout ? T(0) : T(1 / (1 - spec.dropout));
    }
    bool drops(int layer) const { return spec.dropout > 0 && layer + 1 < spec.layers; }

private:
    struct Work {  // buffers of one thread
        Vector<const T*> in;
        Vector<T*> to;
        Vector<RowPointers<T>> rows;
        Vector<const T*> states;  // before a step
        Rows<T> moving, others;   // those that are multiplied, and those that are not
        Buffer<T> hidden;         // hidden states before the projection
        Buffer<T> products;       // of some tokens and unpacked weights
        Work(const Sizes<T>& sizes, int rows_, int tokens) {
            if (sizes.projects) hidden.resize(rows_ * sizes.units);
            products.resize(tokens * sizes.products * sizes.units);
        }
    };

    static uint64_t mix(uint64_t x) {  // splitmix64
        x += 0x9e3779b97f4a7c15;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
        x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
        return x ^ (x >> 31);
    }

    // Memory for a chunk of steps, `size` numbers per token, with a separate range for each share. Gaps between the
    // ranges keep the hardware prefetcher of one thread away from the lines of another. Without gaps, input products
    // took a third longer.
    struct ThreadScratch {
        static constexpr int64_t kApart = int64_t(1) << 14;
        const int64_t chunk, size;
        Buffer<T> data;
        ThreadScratch(int64_t chunk_, int64_t size_, int rows, int shares) : chunk(chunk_), size(size_) {
            data.resize(chunk * std::max(rows, shares) * size + shares * kApart);
        }
        T* of(int first_row, int share) const { return data.get() + chunk * first_row * size + share * kApart; }
    };
    Workspace<T> tape_of(const ThreadScratch& scratch, RowRange rows, ThreadSlice slice) const {
        const auto at = [&](int first_row, int share) {
            return Workspace<T>(sizes, scratch.of(first_row, share), scratch.chunk * (rows.end - rows.begin),
                                Workspace<T>::kSkew);
        };
        if (!slice.meeting) return at(rows.begin, slice.share);
        if (batch.rows > 1) return at(rows.begin, 0);
        Workspace<T> own = at(slice.share, slice.share);  // for a single row
        own.h = at(0, 0).h;                               // shared by all threads
        if (sizes.products == 1) own.gates = own.h;
        return own;
    }

    // One direction: each thread takes its rows through all layers, one chunk at a time.
    void pass_up(T* tape) {
        Buffer<T> states;
        states.resize(spec.layers * carried() + 1);
        for (int layer = 0; layer < spec.layers; ++layer) initial(layer, 0, states.get() + layer * carried());
        const int chunk = spec.chunk && tape ? int(spec.chunk) : chunk_for(spec.threads);
        Vector<ThreadScratch> tapes, joined;
        for (int layer = 0; layer < spec.layers; ++layer) {
            tapes.emplace_back(chunk, Workspace<T>::per_token(sizes), batch.rows, int(spec.threads));
            joined.emplace_back(chunk, joins(layer) ? sizes.joined : 0, batch.rows, int(spec.threads));
        }
        const Load load = load_of(1, 0, spec.layers);
        deal(1, sizes.strips, {0, batch.rows}, spec.threads, load, [&](int, RowRange rows, ThreadSlice slice) {
            for (int begin = 0, i = 0; begin < batch.steps; begin += chunk, ++i)
                for (int layer = 0; layer < spec.layers; ++layer) {
                    T* states_ = states.get() + layer * carried();
                    if (tape) copy_states(states_, stored_states(tape, i, layer, 0), rows, slice);
                    const auto outputs = [&](int of) {
                        return joins(of) ? joined[of].of(rows.begin, slice.meeting ? 0 : slice.share) : nullptr;
                    };
                    LayerSpan<T> here = span(layer, 0, begin, std::min(begin + chunk, batch.steps),
                                             tape_of(tapes[layer], rows, slice), states_);
                    here.own = rows, here.own_outputs = true;
                    here.joined = outputs(layer);
                    if (layer) below(here, tape_of(tapes[layer - 1], rows, slice).h, outputs(layer - 1));
                    walk(here, rows, slice, false);
                }
        });
    }

    // Both directions: layer by layer, because the next layer reads both.
    void pass_across(T* tape) {
        Buffer<T> states, outputs[2];
        states.resize(2 * carried() + 1);
        const int chunk = spec.chunk && tape ? int(spec.chunk) : chunk_for(std::max(1, spec.threads / 2));
        const ThreadScratch tapes[2] = {{chunk, Workspace<T>::per_token(sizes), batch.rows, 2 * int(spec.threads)},
                                        {chunk, Workspace<T>::per_token(sizes), batch.rows, 2 * int(spec.threads)}};
        if (!tape)
            for (int i = 0; i < std::min(2, spec.layers - 1); ++i) outputs[i].resize(batch.tokens * sizes.joined + 1);
        const auto output = [&](int layer) {
            return tape ? stored_outputs(tape, layer) : joins(layer) ? outputs[layer % 2].get() : nullptr;
        };
        for (int layer = 0; layer < spec.layers; ++layer) {
            for (int direction = 0; direction < 2; ++direction)
                initial(layer, direction, states.get() + direction * carried());
            deal(2, sizes.strips, {0, batch.rows}, spec.threads, load_of(2, layer),
                 [&](int direction, RowRange rows, ThreadSlice slice) {
                     const int n = (batch.steps + chunk - 1) / chunk;
                     for (int k = 0; k < n; ++k) {
                         const int i = direction ? n - 1 - k : k, begin = i * chunk;
                         T* states_ = states.get() + direction * carried();
                         if (tape) copy_states(states_, stored_states(tape, i, layer, direction), rows, slice);
                         LayerSpan<T> here = span(layer, direction, begin, std::min(begin + chunk, batch.steps),
                                                  tape_of(tapes[direction], rows, slice), states_);
                         here.own = rows;
                         if (joins(layer)) here.joined = output(layer) + here.origin * sizes.joined;
                         if (layer) below(here, nullptr, output(layer - 1) + here.origin * sizes.joined);
                         walk(here, rows, slice, false);
                     }
                 });
        }
    }

    int chunk_for(int threads) const {
        const int mine = (batch.rows + threads - 1) / std::max(1, std::min(threads, batch.rows));
        return std::max(1, std::min(batch.steps, kTogether / std::max(1, mine)));
    }

    int first_unit(const ThreadSlice& slice) const { return slice.begin * sizes.unit_vectors * lanes<T>; }
    int last_unit(const ThreadSlice& slice) const {
        return std::min(slice.end * sizes.unit_vectors * lanes<T>, sizes.units);
    }

    // gates = input · weight_ih' + bias, for the tokens of some steps.
    void project(const LayerSpan<T>& span, int begin, int end, RowRange rows, ThreadSlice slice, Work& work) {
        if (products && !span.layer) return;
        DirectionWeights<T>& dir = weights.at(span.layer, span.direction);
        const int apart = sizes.stored * lanes<T> * sizes.unit_vectors;
        const auto flush = [&] {
            if (direct) direct_input(dir, sizes.inputs(span.layer), slice, work);
            else
                rows_times<T>(int(work.in.size()), work.in.data(), work.to.data(), dir.in, slice.begin, slice.end,
                              apart, Start::bias, dir.bias.get());
            work.in.clear(), work.to.clear();
        };
        for (int step = begin; step < end; ++step)
            for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) {
                T* gates = span.tape.gates + place(span, step, row) * span.tape.gate_stride;
                const T* x = input_row(span, step, row);
                work.in.push_back(x), work.to.push_back(gates);
                if (work.in.size() == kTogether) flush();
            }
        if (!work.in.empty()) flush();
    }

    template <class F>
    void for_panels(ThreadSlice slice, F f) const {
        for (int u = first_unit(slice); u < last_unit(slice); u += lanes<T>) f(u);
    }

    // Products of some rows with an unpacked weight matrix, row by row and gate by gate.
    void direct_products(const T* w, int depth, const Vector<const T*>& rows, int n, ThreadSlice slice, T* to) const {
        const int begin = first_unit(slice), end = last_unit(slice), real = std::min(end, sizes.hidden);
        const int64_t apart = int64_t(sizes.products) * sizes.units;
        for (int gate = 0; gate < sizes.products; ++gate, to += sizes.units) {
            const T* from = w + (int64_t(gate) * sizes.hidden + begin) * depth;
            matrix_times<T>(real - begin, from, depth, rows.data(), n, to + begin, apart);
            for (int i = 0; i < n; ++i) std::fill(to + i * apart + real, to + i * apart + end, T(0));
        }
    }
    void direct_input(DirectionWeights<T>& dir, int inputs, ThreadSlice slice, Work& work) const {
        const int n = int(work.in.size());
        direct_products(dir.ih, inputs, work.in, n, slice, work.products.get());
        for (int i = 0; i < n; ++i)
            for_panels(slice, [&](int u) {
                for (int g = 0; g < sizes.products; ++g) {
                    const int at = u * sizes.stored + g * lanes<T>;
                    const T* product = work.products.get() + (int64_t(i) * sizes.products + g) * sizes.units + u;
                    store(work.to[i] + at, load(dir.bias.get() + at) + load(product));
                }
            });
    }

    void run_step(const LayerSpan<T>& span, int step, RowRange rows, ThreadSlice slice, Work& work, bool keep) {
        DirectionWeights<T>& dir = weights.at(span.layer, span.direction);
        work.rows.clear(), work.states.clear();
        for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) {
            work.rows.push_back(row_pointers(span, step, row));
            work.states.push_back(work.rows.back().h_before);
            if (sizes.projects) work.rows.back().h = work.hidden.get() + (work.rows.size() - 1) * sizes.units;
        }
        RowPointers<T>* row_ = work.rows.data();
        const int n = int(work.rows.size()), moved = multiplied(span, step, rows);
        const bool down = step % 2;  // alternates: the strips used last are still in the L1 cache
        if (direct) step_direct(dir, row_, moved, n, slice, work, keep);
        else with_kernel(spec.cell, [&](auto kernel) { panels(kernel, dir, moved, slice, work, down, keep); });
        if (sizes.projects) project_hidden(span, dir, step, rows, work);
    }

    // Rows from `moved` on start from zeros and are not multiplied.
    template <class Kernel>
    void panels(Kernel kernel, DirectionWeights<T>& dir, int moved, ThreadSlice slice, Work& work, bool down,
                bool keep) {
        const TileUse use;
        work.moving.take(moved, work.states.data(), sizes.out);
        work.others.take(int(work.rows.size()) - moved, work.states.data() + moved, 0);
        for (int i = slice.begin; i < slice.end; ++i) {
            const int p = down ? slice.begin + slice.end - 1 - i : i;
            constant<kStrip>(dir.recurrent.width(p), [&](auto v) {
                constexpr int V = v();
                if constexpr (Kernel::products == 1 || Kernel::products == V) {
                    const auto tiles = [&](const Rows<T>& states, const RowPointers<T>* rows) {
                        for_tiles<T, V>(states, dir.recurrent.strip(p), [&](auto r, int i, const Part<T>& part) {
                            panel<r(), V>(kernel, dir, rows + i, part, p, keep);
                        });
                    };
                    tiles(work.moving, work.rows.data());
                    tiles(work.others, work.rows.data() + moved);
                }
            });
        }
    }

    template <int R, int V, class Kernel>
    void panel(Kernel kernel, DirectionWeights<T>& dir, const RowPointers<T>* rows, const Part<T>& part, int p,
               bool keep) {
        const int unit = p * sizes.unit_vectors * lanes<T>;
        if (products && part.last) {  // the table is larger than the nearest caches
            constexpr int kLine = 64 / sizeof(T);
            for (int i = 0; i < R; ++i)
                for (int at = 0; at < V * lanes<T>; at += kLine)
                    __builtin_prefetch(rows[i].gates + unit * Kernel::stored + at);
        }
        Vec<T> acc[R][V];
        if (!in_tiles<T> && R == 1 && batch.rows == 1 && !spec.invariant) {
            clear<T>(acc);
            if constexpr (R == 1) tile_alone<T, V>(part.depth, part.rows[0], part.strip, acc);
        } else part.times(acc);
        if (!part.last) return;
        Vec<T> sums[R][V];  // a copy: loops over rows would keep `acc` itself in memory
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sums[i][v] = acc[i][v];
        kernel.forward(spec.cell, keep, sums, rows, unit, dir.bias_hn.get());
    }

    void step_direct(DirectionWeights<T>& dir, const RowPointers<T>* rows, int moved, int n, ThreadSlice slice,
                     Work& work, bool keep) {
        const int64_t apart = int64_t(sizes.products) * sizes.units;
        std::fill(work.products.get() + moved * apart, work.products.get() + n * apart, T(0));
        direct_products(dir.hh, sizes.out, work.states, moved, slice, work.products.get());
        for (int i = 0; i < n; ++i)
            for_panels(slice, [&](int u) {
                with_kernel(spec.cell, [&](auto kernel) {
                    constexpr int P = kernel.products;
                    Vec<T> acc[1][P];
                    for (int gate = 0; gate < P; ++gate)
                        acc[0][gate] = load(work.products.get() + i * apart + gate * sizes.units + u);
                    kernel.forward(spec.cell, keep, acc, rows + i, u, dir.bias_hn.get());
                });
            });
    }

    // h = hidden · weight_hr'.
    void project_hidden(const LayerSpan<T>& span, DirectionWeights<T>& dir, int step, RowRange rows, Work& work) {
        work.in.clear(), work.to.clear();
        for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) {
            T* h = span.tape.h + place(span, step, row) * sizes.outs;
            const T* hidden = work.hidden.get() + work.in.size() * sizes.units;
            if (direct) {
                matrix_times<T>(sizes.out, dir.hr, sizes.hidden, hidden, h);
                std::fill(h + sizes.out, h + sizes.outs, T(0));
            }
            work.in.push_back(hidden), work.to.push_back(h);
        }
        if (!direct) rows_times<T>(int(work.in.size()), work.in.data(), work.to.data(), dir.project, Start::zero);
        work.in.clear(), work.to.clear();
    }

    // Copies the results of a step to the layer above or to the output, and at the end of a sequence to the final
    // states.
    void emit(const LayerSpan<T>& span, int step, RowRange rows, ThreadSlice slice) {
        const bool top = span.layer + 1 == spec.layers && out;
        const int u0 = first_unit(slice), u1 = std::min(last_unit(slice), sizes.hidden),
                  end = sizes.projects ? sizes.out : u1;
        for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) {
            const int64_t token = place(span, step, row), seq = batch.order[row];
            const T *h = span.tape.h + token * sizes.outs, *c = span.tape.c + token * sizes.units;
            const int at = span.direction * sizes.out;
            if (span.joined) {
                T* to = span.joined + output_place(span, step, row) * sizes.joined + at;
                std::copy(h + u0, h + end, to + u0);
                if (drops(span.layer))
                    for (int u = u0; u < end; ++u) to[u] *= scale(span.layer, seq, step, at + u);
            }
            if (top) {
                T* to = out->out.data + seq * out->out.batch + step * out->out.time + at + u0;
                if (streams) stream_copy(h + u0, h + end, to);
                else std::copy(h + u0, h + end, to);
            }
            if (!out || step != (span.direction ? 0 : batch.length[row] - 1)) continue;
            const int64_t index = (int64_t(span.layer) * sizes.directions + span.direction) * spec.batch + seq;
            std::copy(h + u0, h + end, out->hn + index * sizes.out + u0);
            if (sizes.lstm) std::copy(c + u0, c + u1, out->cn + index * sizes.hidden + u0);
        }
    }

    // The states after a span become those before the next one.
    void carry(const LayerSpan<T>& span, RowRange rows, ThreadSlice slice) {
        const int step = span.direction ? span.begin : span.end - 1;
        if (span.direction ? span.begin == 0 : span.end == batch.steps) return;  // backward needs the initial states
        const int u0 = first_unit(slice), u1 = last_unit(slice), end = sizes.projects ? sizes.outs : u1;
        for (int row = rows.begin; row < batch.active_rows(step, rows).end; ++row) {
            const int64_t token = place(span, step, row);
            std::copy(span.tape.h + token * sizes.outs + u0, span.tape.h + token * sizes.outs + end,
                      span.h0 + int64_t(row) * sizes.outs + u0);
            if (sizes.lstm)
                std::copy(span.tape.c + token * sizes.units + u0, span.tape.c + token * sizes.units + u1,
                          span.c0 + int64_t(row) * sizes.units + u0);
        }
    }
    void copy_states(const T* states, T* to, RowRange rows, ThreadSlice slice) const {
        const int u0 = first_unit(slice), u1 = last_unit(slice), end = sizes.projects ? sizes.outs : u1;
        const int64_t cells = int64_t(batch.rows) * sizes.outs;
        for (int64_t row = rows.begin; row < rows.end; ++row) {
            std::copy(states + row * sizes.outs + u0, states + row * sizes.outs + end, to + row * sizes.outs + u0);
            if (sizes.lstm)
                std::copy(states + cells + row * sizes.units + u0, states + cells + row * sizes.units + u1,
                          to + cells + row * sizes.units + u0);
        }
    }

    // The final states of empty sequences are their initial states.
    void empty_rows() const {
        for (int64_t row = batch.rows; row < spec.batch && out; ++row)
            for (int64_t i = 0; i < spec.layers * sizes.directions; ++i) {
                const int64_t index = i * spec.batch + batch.order[row];
                pass_state(in.h0, out->hn, index, sizes.out);
                if (sizes.lstm) pass_state(in.c0, out->cn, index, sizes.hidden);
            }
    }
    static void pass_state(const T* from, T* to, int64_t index, int size) {
        if (from) std::copy_n(from + index * size, size, to + index * size);
        else std::fill_n(to + index * size, size, T(0));
    }
    void clear_padding() const {
        for (int64_t row = 0; row < spec.batch && out; ++row)
            for (int64_t step = batch.length[row]; step < spec.steps; ++step)
                std::fill_n(out->out.data + batch.order[row] * out->out.batch + step * out->out.time, sizes.joined,
                            T(0));
    }
};

}  // namespace recurra::RECURRA_ISA
