// Forward through time.
//
// Every thread takes some sequences all the way, chunk of steps by chunk: the input products of the chunk, which stay in the
// cache, then the scan, in which a tile holds all gates of its units in registers and finishes them there. A single sequence
// is split by units instead, and the threads meet once a step.
#pragma once
#include <cmath>

#include "tape.h"

namespace recurra::RECURRA_ISA {

constexpr int kTogether = 96;  // tokens whose gates stay in the cache between product and scan
constexpr int kDirect = 12;  // so few tokens go through the weights as they are: packing would cost more than it saves

// What is as large as this goes past the caches, where it would not stay; so nothing is read only to be overwritten. Rows that
// are short are better gathered there.
template <class T>
bool goes_past(int64_t rows, int64_t columns) {
    return rows * columns * sizeof(T) > (1 << 20) && columns * sizeof(T) >= (1 << 10);
}

template <class T>
class Forward {
public:
    const Spec& s;
    const Sizes<T> z;
    const Batch& batch;
    Weights<T>& weights;
    const Inputs<T>& in;
    const Outputs<T>* const out;  // null: only what is stored is wanted
    const bool direct;
    const bool past;  // whether the output goes past the caches

    Forward(const Spec& s_, const Batch& batch_, Weights<T>& weights_, const Inputs<T>& in_, const Outputs<T>* out_,
            bool packed)
        : s(s_),
          z(s),
          batch(batch_),
          weights(weights_),
          in(in_),
          out(out_),
          direct(!packed && batch.tokens <= kDirect),
          past(goes_past<T>(batch.tokens, z.out)) {}

    // ---- what is stored

    bool joins(int l) const { return joined_apart(s, z, l); }
    int64_t carried() const { return batch.rows * int64_t(z.outs + (z.lstm ? z.units : 0)); }
    int chunks() const { return s.chunk ? int((batch.steps + s.chunk - 1) / s.chunk) : 1; }

    // Everything of a lane and its joined outputs, one after the other; see tape_size.
    Tape<T> stored(T* tape, int l, int d) const { return stored_tape(s, z, tape, l, d, batch.tokens); }
    T* stored_joined(T* tape, int l) const {
        return joins(l)
                   ? tape + stored_offset(s, z, l, batch.tokens) + z.directions * batch.tokens * Tape<T>::per_token(z)
                   : nullptr;
    }
    // In chunks: the states before each chunk, then, of a bidirectional stack, the joined outputs of all layers.
    T* stored_states(T* tape, int chunk, int l, int d) const {
        return tape + ((int64_t(chunk) * s.layers + l) * z.directions + d) * carried();
    }
    T* stored_outputs(T* tape, int l) const {
        return joins(l) ? stored_states(tape, chunks(), 0, 0) + l * batch.tokens * z.joined : nullptr;
    }

    // ---- ways through the stack

    // All steps at once, everything stored.
    void keep(T* tape) {
        check_finite();
        Buffer<T> states;
        states.resize(z.directions * carried() + 1);
        empty_rows();
        for (int l = 0; l < s.layers; ++l) {
            std::vector<Lane<T>> lanes_;
            for (int d = 0; d < z.directions; ++d) {
                T* start = states.get() + d * carried();
                initial(l, d, start);
                lanes_.push_back(lane(l, d, 0, batch.steps, stored(tape, l, d), start));
                lanes_.back().joined = stored_joined(tape, l);
                if (l) below(lanes_.back(), stored(tape, l - 1, 0).h, stored_joined(tape, l - 1));
            }
            deal(int(lanes_.size()), z.strips, {0, batch.rows}, int(s.threads),
                 [&](int i, Rows rows, Part part) { walk(lanes_[i], rows, part, true); });
        }
        clear_padding();
    }

    // Chunk by chunk; stores only the states before each chunk, if there is a tape.
    void pass(T* tape) {
        check_finite();
        empty_rows();
        z.directions == 1 ? pass_up(tape) : pass_across(tape);
        clear_padding();
    }

    Lane<T> lane(int l, int d, int begin, int end, Tape<T> tape, T* states) const {
        return {l, d, begin, end, batch.first[begin], tape, states, states + batch.rows * z.outs, nullptr, 0, nullptr};
    }
    // The layer below has its outputs in `joined`, or else as they are in `h`.
    void below(Lane<T>& lane, const T* h, const T* joined) const {
        lane.below = joined ? joined : h;
        lane.below_ld = joined ? z.joined : z.outs;
    }

    void initial(int l, int d, T* to) const {
        const int64_t index = (int64_t(l) * z.directions + d) * s.batch;
        for (int64_t r = 0; r < batch.rows; ++r) {
            T *h = to + r * z.outs, *c = to + batch.rows * z.outs + r * z.units;
            std::fill_n(h, z.outs, T(0));
            if (in.h0) std::copy_n(in.h0 + (index + batch.order[r]) * z.out, z.out, h);
            if (!z.lstm) continue;
            std::fill_n(c, z.units, T(0));
            if (in.c0) std::copy_n(in.c0 + (index + batch.order[r]) * z.hidden, z.hidden, c);
        }
    }

    // Deals the rows of all lanes to the threads, one by one so that each has long and short ones: f(lane, rows, part).
    // A single row is split by strips, if it may be: `strips` > 1.
    template <class F>
    void deal(int lanes_, int strips, Rows rows, int threads, F f) const {
        const int64_t work = batch.tokens * z.units * (z.out + z.input) * z.products * lanes_;
        const int most = int(std::clamp<int64_t>(work >> 16, 1, threads));
        if (batch.rows == 1 && lanes_ == 1 && !z.projects) {
            const int n = std::min(most, strips);
            Barrier meeting(n);
            if (n > 1 &&
                together(n, [&](int i) { f(0, Rows{0, 1}, Part{strips * i / n, strips * (i + 1) / n, i, &meeting}); }))
                return;
        }
        const int across = std::max(1, std::min(rows.end - rows.begin, lanes_ == 2 && most % 2 == 0 ? most / 2 : most));
        const int total = across * lanes_, n = std::min(most, total);
        parallel(n, [&](int share) {
            for (int i = share; i < total; i += n)
                f(i % lanes_, batch.run(rows, i / lanes_, across), Part{0, strips, i, nullptr});
        });
    }

    // One lane for some rows.
    void walk(const Lane<T>& lane, Rows rows, Part part, bool keep) {
        const Rows widest = batch.at(lane.begin, rows);
        const int mine = widest.end - widest.begin;
        if (!mine) return;
        const int sub = std::max(1, kTogether / mine);
        Work work(z, mine);
        for (int i = lane.begin; i < lane.end; i += sub) {
            const int n = std::min(sub, lane.end - i), low = lane.d ? lane.begin + lane.end - i - n : i;
            project(lane, low, low + n, rows, part, work);
            for (int k = 0; k < n; ++k) {
                const int t = lane.d ? low + n - 1 - k : low + k;
                step(lane, t, rows, part, work, keep);
                part.meet();
                emit(lane, t, rows, part);
            }
        }
        carry(lane, rows, part);
        if (past) passed();
        part.meet();
    }

    int64_t place(const Lane<T>& lane, int t, int r) const { return where(lane, t, r, lane.own.end > 0); }
    int64_t output_place(const Lane<T>& lane, int t, int r) const { return where(lane, t, r, lane.own_outputs); }
    int64_t where(const Lane<T>& lane, int t, int r, bool own) const {
        return own ? int64_t(t - lane.begin) * (lane.own.end - lane.own.begin) + r - lane.own.begin
                   : batch.first[t] + r - lane.origin;
    }

    Row<T> row(const Lane<T>& lane, int t, int r) const {
        const int64_t token = place(lane, t, r);
        const int before = lane.d ? t + 1 : t - 1;
        const bool starts = lane.d ? (before >= lane.end || r >= batch.active[before]) : before < lane.begin;
        const int64_t previous = starts ? 0 : place(lane, before, r);
        Row<T> found;
        found.h_before = starts ? lane.h0 + int64_t(r) * z.outs : lane.tape.h + previous * z.outs;
        found.gates = lane.tape.gates + token * lane.tape.row;
        found.h = lane.tape.h + token * z.outs;
        found.c_before = starts ? lane.c0 + int64_t(r) * z.units : lane.tape.c + previous * z.units;
        found.c = lane.tape.c + token * z.units;
        return found;
    }
    // Packed weights were checked when they were packed.
    void check_finite() {
        if (direct && !in.h0 && !in.finite) weights.check_finite();
    }
    // How many of the rows at a step come from a step before, or from given states. The others, which come last, start from zeros.
    int moving(int d, int t, Rows rows) const {
        const int n = std::max(0, batch.at(t, rows).end - rows.begin), before = d ? t + 1 : t - 1;
        return in.h0 ? n : before < 0 ? 0 : std::clamp(batch.active[before] - rows.begin, 0, n);
    }
    // How many of them are multiplied by weight_hh: a product with zeros is zero if the weights are finite.
    int multiplied(const Lane<T>& lane, int t, Rows rows) const {
        return weights.at(lane.l, lane.d).finite.load(std::memory_order_relaxed)
                   ? moving(lane.d, t, rows)
                   : std::max(0, batch.at(t, rows).end - rows.begin);
    }
    const T* input_row(const Lane<T>& lane, int t, int r) const {
        return lane.l ? lane.below + output_place(lane, t, r) * lane.below_ld
                      : in.x.data + batch.order[r] * in.x.batch + t * in.x.time;
    }

    // Dropout by a hash of (seed, layer, sequence, step, unit): the same mask in backward, on any number of threads.
    T scale(int l, int64_t b, int t, int j) const {
        const uint64_t place = (uint64_t(b) * s.steps + t) * z.joined + j;
        const uint64_t draw = mix(s.seed ^ mix(uint64_t(l) << 48 ^ place));
        return (draw >> 11) * 0x1p-53 < s.dropout ? T(0) : T(1 / (1 - s.dropout));
    }
    bool drops(int l) const { return s.dropout > 0 && l + 1 < s.layers; }

private:
    struct Work {  // of one thread
        std::vector<const T*> in;
        std::vector<T*> to;
        std::vector<Row<T>> rows;
        Buffer<T> hidden;  // before projection; products of a single row
        Work(const Sizes<T>& z, int rows_) { hidden.resize(std::max(rows_ * z.units, z.products * z.units)); }
    };

    static uint64_t mix(uint64_t x) {  // splitmix64
        x += 0x9e3779b97f4a7c15;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
        x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
        return x ^ (x >> 31);
    }

    // Memory for a chunk of steps, `size` numbers per token, in which every share of the work has a place of its own. Between
    // them lies so much room that a processor that reads ahead in regular steps does not take lines from another: where they
    // were side by side, input products took a third longer.
    struct Places {
        static constexpr int64_t kApart = int64_t(1) << 14;
        const int64_t chunk, size;
        Buffer<T> data;
        Places(int64_t chunk_, int64_t size_, int rows, int shares) : chunk(chunk_), size(size_) {
            data.resize(chunk * std::max(rows, shares) * size + shares * kApart);
        }
        T* of(int row, int share) const { return data.get() + chunk * row * size + share * kApart; }
    };
    Tape<T> tape_of(const Places& places, Rows rows, Part part) const {
        const auto at = [&](int row, int share) {
            return Tape<T>(z, places.of(row, share), places.chunk * (rows.end - rows.begin), Tape<T>::kSkew);
        };
        if (!part.meeting) return at(rows.begin, part.share);
        Tape<T> own = at(part.share, part.share);  // of a single row
        own.h = at(0, 0).h;                        // the others read it too
        if (z.products == 1) own.gates = own.h;
        return own;
    }

    // One direction: every thread takes its rows through all layers, a chunk at a time.
    void pass_up(T* tape) {
        Buffer<T> states;
        states.resize(s.layers * carried() + 1);
        for (int l = 0; l < s.layers; ++l) initial(l, 0, states.get() + l * carried());
        const int chunk = s.chunk && tape ? int(s.chunk) : chunk_for(s.threads);
        std::vector<Places> tapes, joined;
        for (int l = 0; l < s.layers; ++l) {
            tapes.emplace_back(chunk, Tape<T>::per_token(z), batch.rows, int(s.threads));
            joined.emplace_back(chunk, joins(l) ? z.joined : 0, batch.rows, int(s.threads));
        }
        deal(1, z.strips, {0, batch.rows}, int(s.threads), [&](int, Rows rows, Part part) {
            for (int begin = 0, i = 0; begin < batch.steps; begin += chunk, ++i)
                for (int l = 0; l < s.layers; ++l) {
                    T* states_ = states.get() + l * carried();
                    if (tape) copy_states(states_, stored_states(tape, i, l, 0), rows, part);
                    const auto outputs = [&](int layer) {
                        return joins(layer) ? joined[layer].of(rows.begin, part.meeting ? 0 : part.share) : nullptr;
                    };
                    Lane<T> here =
                        lane(l, 0, begin, std::min(begin + chunk, batch.steps), tape_of(tapes[l], rows, part), states_);
                    here.own = rows, here.own_outputs = true;
                    here.joined = outputs(l);
                    if (l) below(here, tape_of(tapes[l - 1], rows, part).h, outputs(l - 1));
                    walk(here, rows, part, false);
                }
        });
    }

    // Both directions: layer by layer, because the next one reads both ends.
    void pass_across(T* tape) {
        Buffer<T> states, outputs[2];
        states.resize(2 * carried() + 1);
        const int chunk = s.chunk && tape ? int(s.chunk) : chunk_for(std::max(1, s.threads / 2));
        const Places tapes[2] = {{chunk, Tape<T>::per_token(z), batch.rows, 2 * int(s.threads)},
                                 {chunk, Tape<T>::per_token(z), batch.rows, 2 * int(s.threads)}};
        if (!tape)
            for (int i = 0; i < std::min(2, s.layers - 1); ++i) outputs[i].resize(batch.tokens * z.joined + 1);
        const auto output = [&](int l) {
            return tape ? stored_outputs(tape, l) : joins(l) ? outputs[l % 2].get() : nullptr;
        };
        for (int l = 0; l < s.layers; ++l) {
            for (int d = 0; d < 2; ++d) initial(l, d, states.get() + d * carried());
            deal(2, z.strips, {0, batch.rows}, int(s.threads), [&](int d, Rows rows, Part part) {
                const int n = (batch.steps + chunk - 1) / chunk;
                for (int k = 0; k < n; ++k) {
                    const int i = d ? n - 1 - k : k, begin = i * chunk;
                    T* states_ = states.get() + d * carried();
                    if (tape) copy_states(states_, stored_states(tape, i, l, d), rows, part);
                    Lane<T> here =
                        lane(l, d, begin, std::min(begin + chunk, batch.steps), tape_of(tapes[d], rows, part), states_);
                    here.own = rows;
                    if (joins(l)) here.joined = output(l) + here.origin * z.joined;
                    if (l) below(here, nullptr, output(l - 1) + here.origin * z.joined);
                    walk(here, rows, part, false);
                }
            });
        }
    }

    int chunk_for(int threads) const {
        const int mine = (batch.rows + threads - 1) / std::max(1, std::min(threads, batch.rows));
        return std::max(1, std::min(batch.steps, kTogether / std::max(1, mine)));
    }

    int first_unit(const Part& part) const { return part.begin * z.unit_vectors * lanes<T>; }
    int last_unit(const Part& part) const { return std::min(part.end * z.unit_vectors * lanes<T>, z.units); }

    // gates = input · weight_ih' + bias, for the tokens of some steps
    void project(const Lane<T>& lane, int begin, int end, Rows rows, Part part, Work& work) {
        Direction<T>& dir = weights.at(lane.l, lane.d);
        const int apart = z.stored * lanes<T> * z.unit_vectors;
        const auto flush = [&] {
            rows_times<T>(int(work.in.size()), work.in.data(), work.to.data(), dir.in, part.begin, part.end, apart,
                          Start::bias, dir.bias.get());
            work.in.clear(), work.to.clear();
        };
        for (int t = begin; t < end; ++t)
            for (int r = rows.begin; r < batch.at(t, rows).end; ++r) {
                T* gates = lane.tape.gates + place(lane, t, r) * lane.tape.row;
                const T* x = input_row(lane, t, r);
                if (direct) {
                    direct_products(dir.ih, z.inputs(lane.l), x, part, work.hidden.get());
                    for_panels(part, [&](int u) {
                        for (int g = 0; g < z.products; ++g) {
                            T* to = gates + u * z.stored + g * lanes<T>;
                            const T* bias = dir.bias.get() + u * z.stored + g * lanes<T>;
                            store(to, load(bias) + load(work.hidden.get() + g * z.units + u));
                        }
                    });
                    continue;
                }
                work.in.push_back(x), work.to.push_back(gates);
                if (work.in.size() == kTogether) flush();
            }
        if (!work.in.empty()) flush();
    }

    template <class F>
    void for_panels(Part part, F f) const {
        for (int u = first_unit(part); u < last_unit(part); u += lanes<T>) f(u);
    }

    // Products of one row with a weight matrix as it is, gate after gate.
    void direct_products(const T* w, int depth, const T* x, Part part, T* to) const {
        const int begin = first_unit(part), end = last_unit(part), real = std::min(end, z.hidden);
        for (int gate = 0; gate < z.products; ++gate, to += z.units) {
            matrix_times<T>(real - begin, w + (int64_t(gate) * z.hidden + begin) * depth, depth, x, to + begin);
            std::fill(to + real, to + end, T(0));
        }
    }

    void step(const Lane<T>& lane, int t, Rows rows, Part part, Work& work, bool keep) {
        Direction<T>& dir = weights.at(lane.l, lane.d);
        work.rows.clear();
        for (int r = rows.begin; r < batch.at(t, rows).end; ++r) {
            work.rows.push_back(row(lane, t, r));
            if (z.projects) work.rows.back().h = work.hidden.get() + (work.rows.size() - 1) * z.units;
        }
        Row<T>* row_ = work.rows.data();
        const int n = int(work.rows.size()), moved = multiplied(lane, t, rows);
        const bool down = t % 2;  // there and back again: the strips used last are still in the nearest cache
        if (direct)
            for (int i = 0; i < n; ++i)
                step_direct(dir, row_[i], part, z.projects ? nullptr : work.hidden.get(), i >= moved, keep);
        else if (z.lstm) panels<4>(dir, row_, moved, n, part, down, keep);
        else if (z.gru) panels<3>(dir, row_, moved, n, part, down, keep);
        else panels<1>(dir, row_, moved, n, part, down, keep);
        if (z.projects) project_hidden(lane, dir, t, rows, work);
    }

    // Rows from `moved` on start from zeros and are not multiplied.
    template <int P>
    void panels(Direction<T>& dir, const Row<T>* rows, int moved, int n, Part part, bool down, bool keep) {
        for (int i = part.begin; i < part.end; ++i) {
            const int p = down ? part.begin + part.end - 1 - i : i;
            constant<kStrip>(dir.recurrent.width(p), [&](auto v) {
                constexpr int V = v();
                if constexpr (P == 1 || P == V)
                    for (int i = 0, r; i < n; i += r) {
                        r = std::min(rows_for(V), (i < moved ? moved : n) - i);
                        constant<rows_for(V)>(r,
                                              [&](auto r_) { panel<P, r_(), V>(dir, rows + i, i < moved, p, keep); });
                    }
            });
        }
    }

    template <int P, int R, int V>
    void panel(Direction<T>& dir, const Row<T>* rows, bool moved, int p, bool keep) {
        const T* before[R];
        for (int i = 0; i < R; ++i) before[i] = rows[i].h_before;
        Vec<T> acc[R][V];
        clear<T>(acc);
        const bool alone = R == 1 && batch.rows == 1;
        const int depth = moved ? z.out : 0;
        if (alone) {
            if constexpr (R == 1) tile_alone<T, V>(depth, before[0], dir.recurrent.strip(p), acc);
        } else tile<T, R, V>(depth, before, dir.recurrent.strip(p), acc);
        Vec<T> sums[R][V];  // what loops over rows read: `acc` itself would lie in memory from the start
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sums[i][v] = acc[i][v];
        finish<P, R, V>(dir, rows, p * z.unit_vectors * lanes<T>, sums, keep);
    }

    template <int P, int R, int V>
    void finish(Direction<T>& dir, const Row<T>* rows, int unit, Vec<T> (&acc)[R][V], bool keep) {
        if constexpr (P == 4) finish_lstm<T, R>(keep, acc, rows, unit);
        else if constexpr (P == 3) finish_gru<T, R>(keep, acc, rows, unit, dir.bias_hn.get());
        else finish_rnn<T, R, V>(s.cell == Cell::rnn_relu, acc, rows, unit);
    }

    void step_direct(Direction<T>& dir, const Row<T>& here, Part part, T* products, bool rests, bool keep) {
        Buffer<T> own;
        if (!products) own.resize(z.products * z.units), products = own.get();
        if (rests) std::fill_n(products, z.products * z.units, T(0));
        else direct_products(dir.hh, z.out, here.h_before, part, products);
        for_panels(part, [&](int u) {
            const auto product = [&](int gate) { return load(products + gate * z.units + u); };
            if (z.lstm) {
                Vec<T> acc[1][4] = {{product(0), product(1), product(2), product(3)}};
                finish<4, 1, 4>(dir, &here, u, acc, keep);
            } else if (z.gru) {
                Vec<T> acc[1][3] = {{product(0), product(1), product(2)}};
                finish<3, 1, 3>(dir, &here, u, acc, keep);
            } else {
                Vec<T> acc[1][1] = {{product(0)}};
                finish<1, 1, 1>(dir, &here, u, acc, keep);
            }
        });
    }

    // h = hidden · weight_hr'
    void project_hidden(const Lane<T>& lane, Direction<T>& dir, int t, Rows rows, Work& work) {
        work.in.clear(), work.to.clear();
        for (int r = rows.begin; r < batch.at(t, rows).end; ++r) {
            T* h = lane.tape.h + place(lane, t, r) * z.outs;
            const T* hidden = work.hidden.get() + work.in.size() * z.units;
            if (direct) {
                matrix_times<T>(z.out, dir.hr, z.hidden, hidden, h);
                std::fill(h + z.out, h + z.outs, T(0));
            }
            work.in.push_back(hidden), work.to.push_back(h);
        }
        if (!direct) rows_times<T>(int(work.in.size()), work.in.data(), work.to.data(), dir.project, Start::zero);
        work.in.clear(), work.to.clear();
    }

    // Hands on what step t gave: to the layer above or the output, and, at the end of a sequence, to the final states.
    void emit(const Lane<T>& lane, int t, Rows rows, Part part) {
        const bool top = lane.l + 1 == s.layers && out;
        const int u0 = first_unit(part), u1 = std::min(last_unit(part), z.hidden), end = z.projects ? z.out : u1;
        for (int r = rows.begin; r < batch.at(t, rows).end; ++r) {
            const int64_t token = place(lane, t, r), b = batch.order[r];
            const T *h = lane.tape.h + token * z.outs, *c = lane.tape.c + token * z.units;
            const int at = lane.d * z.out;
            if (lane.joined) {
                T* to = lane.joined + output_place(lane, t, r) * z.joined + at;
                std::copy(h + u0, h + end, to + u0);
                if (drops(lane.l))
                    for (int u = u0; u < end; ++u) to[u] *= scale(lane.l, b, t, at + u);
            }
            if (top) {
                T* to = out->out.data + b * out->out.batch + t * out->out.time + at + u0;
                if (past) copy_past(h + u0, h + end, to);
                else std::copy(h + u0, h + end, to);
            }
            if (!out || t != (lane.d ? 0 : batch.length[r] - 1)) continue;
            const int64_t index = (int64_t(lane.l) * z.directions + lane.d) * s.batch + b;
            std::copy(h + u0, h + end, out->hn + index * z.out + u0);
            if (z.lstm) std::copy(c + u0, c + u1, out->cn + index * z.hidden + u0);
        }
    }

    // The states after a stretch become those before the next.
    void carry(const Lane<T>& lane, Rows rows, Part part) {
        const int t = lane.d ? lane.begin : lane.end - 1;
        if (lane.d ? lane.begin == 0 : lane.end == batch.steps) return;  // backward wants the first ones as they were
        const int u0 = first_unit(part), u1 = last_unit(part), end = z.projects ? z.outs : u1;
        for (int r = rows.begin; r < batch.at(t, rows).end; ++r) {
            const int64_t token = place(lane, t, r);
            std::copy(lane.tape.h + token * z.outs + u0, lane.tape.h + token * z.outs + end,
                      lane.h0 + int64_t(r) * z.outs + u0);
            if (z.lstm)
                std::copy(lane.tape.c + token * z.units + u0, lane.tape.c + token * z.units + u1,
                          lane.c0 + int64_t(r) * z.units + u0);
        }
    }
    void copy_states(const T* states, T* to, Rows rows, Part part) const {
        const int u0 = first_unit(part), u1 = last_unit(part), end = z.projects ? z.outs : u1;
        const int64_t cells = int64_t(batch.rows) * z.outs;
        for (int64_t r = rows.begin; r < rows.end; ++r) {
            std::copy(states + r * z.outs + u0, states + r * z.outs + end, to + r * z.outs + u0);
            if (z.lstm)
                std::copy(states + cells + r * z.units + u0, states + cells + r * z.units + u1,
                          to + cells + r * z.units + u0);
        }
    }

    // Empty sequences pass their initial states through.
    void empty_rows() const {
        for (int64_t r = batch.rows; r < s.batch && out; ++r)
            for (int64_t i = 0; i < s.layers * z.directions; ++i) {
                const int64_t index = i * s.batch + batch.order[r];
                pass_state(in.h0, out->hn, index, z.out);
                if (z.lstm) pass_state(in.c0, out->cn, index, z.hidden);
            }
    }
    static void pass_state(const T* from, T* to, int64_t index, int size) {
        if (from) std::copy_n(from + index * size, size, to + index * size);
        else std::fill_n(to + index * size, size, T(0));
    }
    void clear_padding() const {
        for (int64_t r = 0; r < s.batch && out; ++r)
            for (int64_t t = batch.length[r]; t < s.steps; ++t)
                std::fill_n(out->out.data + batch.order[r] * out->out.batch + t * out->out.time, z.joined, T(0));
    }
};

}  // namespace recurra::RECURRA_ISA
