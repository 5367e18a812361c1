// A whole stack, forward and backward through time, over a ragged batch. Compiled once per instruction set.
//
// Inside, sequences are sorted by length, longest first, and only real tokens are stored, step after step: token(t, row) =
// first[t] + row for the rows that are still active at t. So padding costs nothing, and active rows are always a prefix.
#include <algorithm>
#include <numeric>

#include "cells.h"
#include "pool.h"

namespace recurra::RECURRA_ISA {
namespace {

template <class T>
struct Direction {  // one layer in one direction
    PackedMatrix<T> recurrent, recurrent_back;
    std::vector<PackedMatrix<T>> in;       // weight_ih by the directions of the layer below
    const T *ih, *hh;                      // the weights as they are, during a forward call
    std::vector<PackedMatrix<T>> in_back;  // weight_ih by blocks of gates, for the gradient of the input
    Buffer<T> bias, bias_hn, gates, c, h0, c0, grads;
};

template <class T>
struct Layer {
    Direction<T> direction[2];
    Buffer<T> h;       // (tokens, directions * units)
    Buffer<T> masked;  // the same after dropout, what the next layer reads
};

inline uint64_t mix(uint64_t x) {  // splitmix64
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

template <class T>
class Stack final : public Run<T> {
    using Flat = typename Run<T>::Flat;
    const Spec s;
    const bool keep;
    const int D, hidden, units, width;  // width: features between layers
    const Layout form;
    int64_t tokens = 0;
    int steps = 0, rows = 0;  // longest length, sequences that are not empty
    std::vector<int64_t> order, length, first;
    std::vector<int> active;  // rows at each step
    std::vector<int> step_of;
    Buffer<T> x;
    std::vector<Layer<T>> layers;

public:
    Stack(const Spec& spec, bool keep_)
        : s(spec),
          keep(keep_),
          D(spec.bidirectional ? 2 : 1),
          hidden(int(spec.hidden)),
          units(round_up(hidden, lanes<T>)),
          width(D * units),
          form(layout(spec.cell)),
          layers(spec.layers) {}

    void forward(View<const T> values, const int64_t* lengths, const Flat& weights, const T* h0, const T* c0,
                 View<T> out, T* hn, T* cn) override {
        sort(lengths);
        x.resize(std::max<int64_t>(tokens * s.input, 1));
        each_token([&](int64_t token, int t, int64_t b) {
            std::copy_n(values.data + b * values.batch + t * values.time, s.input, x.get() + token * s.input);
        });
        for (int l = 0; l < s.layers; ++l) {
            prepare(l, weights, h0, c0);
            project(l);
            scan(l);
            drop(l);
            final_states(l, hn, cn);
        }
        write_output(out);
    }

    void backward(const Flat& weights, View<const T> gout, const T* ghn, const T* gcn, View<T> gx,
                  const std::vector<T*>& gweights, T* gh0, T* gc0) override {
        Buffer<T> above, below;  // gradient of a layer's output and of its input
        above.resize(std::max<int64_t>(tokens * width, 1));
        each_token([&](int64_t token, int t, int64_t b) {
            T* to = above.get() + token * width;
            std::fill_n(to, width, T(0));
            if (!gout.data) return;
            for (int d = 0; d < D; ++d)
                std::copy_n(gout.data + b * gout.batch + t * gout.time + d * hidden, hidden, to + d * units);
        });
        for (int l = s.layers - 1; l >= 0; --l) {
            undrop(l, above.get());
            prepare_back(l, weights);
            scan_back(l, above.get(), ghn, gcn, gh0, gc0);
            const bool wanted = l > 0 || gx.data;
            const int columns = l ? width : int(s.input);
            const int ld = round_up(columns, lanes<T>);
            if (wanted) {
                below.resize(std::max<int64_t>(tokens * ld, 1));
                input_gradient(l, below.get(), ld);
            }
            if (!gweights.empty()) weight_gradients(l, gweights);
            if (l) std::swap(above, below);
        }
        if (gx.data) write_input_gradient(gx, below.get(), round_up(int(s.input), lanes<T>));
    }

private:
    // Single vectors go through the weights as they are: packing them would cost more than the products.
    bool direct_input() const { return tokens <= 8; }
    bool direct_scan() const { return rows <= 1; }

    int names() const { return s.bias ? 4 : 2; }
    const T* weight(const Flat& w, int l, int d, int which) const { return w[(l * D + d) * names() + which]; }
    int inputs(int l) const { return l ? D * hidden : int(s.input); }
    const T* input(int l) { return l == 0 ? x.get() : (s.dropout > 0 ? layers[l - 1].masked : layers[l - 1].h).get(); }
    int64_t input_ld(int l) const { return l ? width : s.input; }
    // where the columns of weight_ih stand among a layer's input features: directions lie `units` apart
    std::vector<Segment> features(int l) const {
        if (!l) return {{0, int(s.input), 0}};
        std::vector<Segment> found;
        for (int d = 0; d < D; ++d) found.push_back({d * units, hidden, d * hidden});
        return found;
    }

    // Shares: tokens or rows are split into as many parts as there are threads, if each has enough to do.
    int shares(int64_t work, int64_t least) const {
        return int(std::clamp<int64_t>(work / std::max<int64_t>(least, 1), 1, s.threads));
    }

    template <class F>
    void each_token(F f) {
        const int n = shares(tokens * std::max<int64_t>(s.input, width), 1 << 15);
        parallel(n, [&](int share) {
            for (int64_t i = tokens * share / n; i < tokens * (share + 1) / n; ++i) {
                const int t = step_of[i];
                f(i, t, order[i - first[t]]);
            }
        });
    }

    void sort(const int64_t* lengths) {
        order.resize(s.batch);
        std::iota(order.begin(), order.end(), 0);
        if (lengths)
            std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return lengths[a] > lengths[b]; });
        length.resize(s.batch);
        for (int64_t r = 0; r < s.batch; ++r) length[r] = lengths ? lengths[order[r]] : s.steps;
        steps = s.batch ? int(length[0]) : 0;
        rows = int(std::count_if(length.begin(), length.end(), [](auto n) { return n > 0; }));
        first.assign(steps + 1, 0);
        active.assign(steps + 1, 0);
        int n = rows;
        for (int t = 0; t < steps; ++t) {
            while (n && length[n - 1] <= t) --n;
            active[t] = n;
            first[t + 1] = first[t] + n;
        }
        tokens = first[steps];
        step_of.resize(tokens);
        for (int t = 0; t < steps; ++t) std::fill(&step_of[0] + first[t], &step_of[0] + first[t + 1], t);
    }

    void prepare(int l, const Flat& w, const T* h0, const T* c0) {
        const int gates = form.products;
        for (int d = 0; d < D; ++d) {
            Direction<T>& dir = layers[l].direction[d];
            const T *ih = weight(w, l, d, 0), *hh = weight(w, l, d, 1);
            const T *bi = s.bias ? weight(w, l, d, 2) : nullptr, *bh = s.bias ? weight(w, l, d, 3) : nullptr;
            dir.ih = ih, dir.hh = hh;
            const auto parts = features(l);
            dir.in.resize(parts.size());
            for (size_t i = 0; i < parts.size() && !direct_input(); ++i)
                dir.in[i].pack_columns(parts[i].count, gates * units, {{0, parts[i].count, 0}}, [&](int column) {
                    const int u = column % units;
                    const int64_t row = int64_t(column / units) * hidden + u;
                    return u < hidden ? ih + row * inputs(l) + parts[i].from : nullptr;
                });
            // recurrent strips hold all gates of some units, so that a tile can finish them
            dir.recurrent.side = gates == 1 ? kStrip : gates;
            if (!direct_scan()) dir.recurrent.pack_columns(hidden, gates * units, {{0, hidden, 0}}, [&](int column) {
                const int panel = column / (gates * lanes<T>), j = column % (gates * lanes<T>);
                const int u = panel * lanes<T> + j % lanes<T>, gate = j / lanes<T>;
                return u < hidden ? hh + (int64_t(gate) * hidden + u) * hidden : nullptr;
            });
            dir.bias.resize(gates * units);
            dir.bias_hn.resize(units);
            std::fill_n(dir.bias.get(), gates * units, T(0));
            std::fill_n(dir.bias_hn.get(), units, T(0));
            if (s.bias)
                for (int gate = 0; gate < gates; ++gate)
                    for (int u = 0; u < hidden; ++u) {
                        const bool apart = s.cell == Cell::gru && gate == 2;  // inside the reset gate's product
                        dir.bias.get()[gate * units + u] = bi[gate * hidden + u] + (apart ? 0 : bh[gate * hidden + u]);
                        if (apart) dir.bias_hn.get()[u] = bh[gate * hidden + u];
                    }
            initial(dir.h0, h0, l * D + d);
            if (s.cell == Cell::lstm) initial(dir.c0, c0, l * D + d);
            dir.gates.resize(std::max<int64_t>(tokens * form.stored * units, 1));
            if (s.cell == Cell::lstm) dir.c.resize(std::max<int64_t>(tokens * units, 1));
        }
        layers[l].h.resize(std::max<int64_t>(tokens * width, 1));
    }

    void initial(Buffer<T>& to, const T* from, int index) {
        to.resize(std::max<int64_t>(s.batch * units, 1));
        std::fill_n(to.get(), s.batch * units, T(0));
        if (from)
            for (int64_t r = 0; r < s.batch; ++r)
                std::copy_n(from + (int64_t(index) * s.batch + order[r]) * hidden, hidden, to.get() + r * units);
    }

    // gates = input · weight_ih' + bias, for all tokens at once
    void project(int l) {
        const int n = shares(tokens * input_ld(l) * units, 1 << 16);
        parallel(n, [&](int share) {
            for (int d = 0; d < D; ++d) {
                Direction<T>& dir = layers[l].direction[d];
                if (direct_input()) {
                    for (int64_t i = tokens * share / n; i < tokens * (share + 1) / n; ++i) project_one(l, dir, i);
                    continue;
                }
                // padding between directions is left out: 0 times an infinite value would not be 0
                const auto parts = features(l);
                for (size_t i = 0; i < parts.size(); ++i)
                    block_times<T>(tokens * share / n, tokens * (share + 1) / n, input(l) + parts[i].to, input_ld(l),
                                   dir.gates.get(), form.stored * units, dir.in[i], i ? Start::old : Start::bias,
                                   dir.bias.get());
            }
        });
    }

    void project_one(int l, Direction<T>& dir, int64_t token) {
        std::vector<T> x(inputs(l)), product(hidden);
        for (const Segment& part : features(l)) std::copy_n(input(l) + token * input_ld(l) + part.to, part.count, &x[part.from]);
        for (int gate = 0; gate < form.products; ++gate) {
            T* to = dir.gates.get() + token * form.stored * units + gate * units;
            std::copy_n(dir.bias.get() + gate * units, units, to);
            matrix_times<T>(hidden, dir.ih + int64_t(gate) * hidden * inputs(l), inputs(l), inputs(l), x.data(), product.data());
            for (int u = 0; u < hidden; ++u) to[u] += product[u];
        }
    }

    Row<T> row(Layer<T>& layer, int d, int t, int r) {
        Direction<T>& dir = layer.direction[d];
        const int64_t token = first[t] + r;
        const int before = d ? t + 1 : t - 1;
        const bool starts = d ? (before >= steps || r >= active[before]) : before < 0;
        const int64_t previous = starts ? 0 : first[before] + r;
        Row<T> found;
        found.h_before = starts ? dir.h0.get() + int64_t(r) * units : layer.h.get() + previous * width + d * units;
        found.gates = dir.gates.get() + token * form.stored * units;
        found.h = layer.h.get() + token * width + d * units;
        if (s.cell == Cell::lstm) {
            found.c_before = (starts ? dir.c0.get() + int64_t(r) * units : dir.c.get() + previous * units);
            found.c = dir.c.get() + token * units;
        }
        return found;
    }

    // Rows are dealt out one by one, so that every share has long and short sequences.
    template <class F>
    void each_scan(F f) {
        const int n = std::max(1, std::min({s.threads, D * rows, int(tokens * units * hidden / 20000) + 1}));
        const int across = std::max(1, std::min(rows, D == 2 && n % 2 == 0 ? n / 2 : n));  // shares of the rows
        const int total = across * D;
        parallel(std::min(n, total), [&](int share) {
            for (int i = share; i < total; i += std::min(n, total)) f(i % D, i / D, across);
        });
    }

    // One long sequence: its units are split among the threads, which meet once a step. False if they are not free.
    template <class F>
    bool each_unit(F f) {
        const int64_t work = int64_t(form.products) * hidden * hidden;
        const int vectors = units / (4 * lanes<T>), n = int(std::min<int64_t>({s.threads, vectors, work >> 14}));
        if (!direct_scan() || D > 1 || n < 2 || steps < 2) return false;
        Barrier meeting(n);
        return together(n, [&](int share) {
            const int begin = vectors * share / n * 4 * lanes<T>;
            f(begin, share + 1 == n ? units : vectors * (share + 1) / n * 4 * lanes<T>, meeting);
        });
    }

    void scan(int l) {
        Layer<T>& layer = layers[l];
        if (each_unit([&](int begin, int end, Barrier& meeting) {
                Buffer<T> products;
                products.resize(form.products * units);
                for (int t = 0; t < steps; ++t) {
                    step_one(layer.direction[0], row(layer, 0, t, 0), products.get(), begin, end);
                    meeting.wait();
                }
            }))
            return;
        each_scan([&](int d, int from, int stride) {
            std::vector<Row<T>> mine;
            Buffer<T> products;
            if (direct_scan()) products.resize(form.products * units);
            for (int i = 0; i < steps; ++i) {
                const int t = d ? steps - 1 - i : i;
                if (direct_scan()) {
                    if (active[t]) step_one(layer.direction[d], row(layer, d, t, 0), products.get(), 0, units);
                    continue;
                }
                mine.clear();
                for (int r = from; r < active[t]; r += stride) mine.push_back(row(layer, d, t, r));
                step(layer.direction[d], mine);
            }
        });
    }

    // Units begin … end, in whole vectors, of the only row.
    void step_one(Direction<T>& dir, Row<T> here, T* products, int begin, int end) {
        const int real = std::min(end, hidden);
        for (int gate = 0; gate < form.products; ++gate) {
            T* to = products + gate * units;
            std::fill(to + real, to + end, T(0));
            const T* w = dir.hh + (int64_t(gate) * hidden + begin) * hidden;
            matrix_times<T>(real - begin, w, hidden, hidden, here.h_before, to + begin);
        }
        for (int u = begin; u < end; u += lanes<T>) {
            const auto product = [&](int gate) { return load(products + gate * units + u); };
            if (s.cell == Cell::lstm) {
                Vec<T> acc[1][4] = {{product(0), product(1), product(2), product(3)}};
                finish_lstm<T, 1>(acc, &here, u, units);
            } else if (s.cell == Cell::gru) {
                Vec<T> acc[1][3] = {{product(0), product(1), product(2)}};
                finish_gru<T, 1>(acc, &here, u, units, dir.bias_hn.get());
            } else {
                Vec<T> acc[1][1] = {{product(0)}};
                finish_rnn<T, 1, 1>(s.cell == Cell::rnn_relu, acc, &here, u);
            }
        }
    }

    void step(Direction<T>& dir, std::vector<Row<T>>& mine) {
        for (int p = 0; p < dir.recurrent.strips(); ++p) {
            const int vectors = dir.recurrent.width(p);
            const T* b = dir.recurrent.strip(p);
            for (size_t i = 0; i < mine.size(); i += kRows) {
                const int r = int(std::min<size_t>(kRows, mine.size() - i));
                constant<kRows>(r, [&](auto n) { panel<n()>(dir, &mine[i], p, vectors, b); });
            }
        }
    }

    template <int R>
    void panel(Direction<T>& dir, Row<T>* mine, int p, int vectors, const T* b) {
        const T* before[R];
        for (int i = 0; i < R; ++i) before[i] = mine[i].h_before;
        if (s.cell == Cell::lstm) {
            Vec<T> acc[R][4] = {};
            tile<T, R, 4, false>(hidden, before, b, acc);
            finish_lstm<T, R>(acc, mine, p * lanes<T>, units);
        } else if (s.cell == Cell::gru) {
            Vec<T> acc[R][3] = {};
            tile<T, R, 3, false>(hidden, before, b, acc);
            finish_gru<T, R>(acc, mine, p * lanes<T>, units, dir.bias_hn.get());
        } else {
            constant<kStrip>(vectors, [&](auto v) {
                Vec<T> acc[R][v()] = {};
                tile<T, R, v(), false>(hidden, before, b, acc);
                finish_rnn<T, R, v()>(s.cell == Cell::rnn_relu, acc, mine, p * kStrip * lanes<T>);
            });
        }
    }

    // Dropout by a hash of (seed, layer, sequence, step, unit): the same mask in backward, on any number of threads.
    T scale(int l, int64_t b, int t, int j) const {
        const uint64_t place = (uint64_t(b) * s.steps + t) * width + j;
        const uint64_t draw = mix(s.seed ^ mix(uint64_t(l) << 48 ^ place));
        return (draw >> 11) * 0x1p-53 < s.dropout ? T(0) : T(1 / (1 - s.dropout));
    }
    void drop(int l) {
        if (!(s.dropout > 0) || l + 1 == s.layers) return;
        layers[l].masked.resize(std::max<int64_t>(tokens * width, 1));
        each_token([&](int64_t token, int t, int64_t b) {
            for (int j = 0; j < width; ++j)
                layers[l].masked.get()[token * width + j] = layers[l].h.get()[token * width + j] * scale(l, b, t, j);
        });
    }
    void undrop(int l, T* grads) {
        if (!(s.dropout > 0) || l + 1 == s.layers) return;
        each_token([&](int64_t token, int t, int64_t b) {
            for (int j = 0; j < width; ++j) grads[token * width + j] *= scale(l, b, t, j);
        });
    }

    void final_states(int l, T* hn, T* cn) {
        for (int d = 0; d < D; ++d)
            for (int64_t r = 0; r < s.batch; ++r) {
                const int64_t to = (int64_t(l * D + d) * s.batch + order[r]) * hidden;
                Direction<T>& dir = layers[l].direction[d];
                const bool empty = length[r] == 0;
                const int64_t token = empty ? 0 : first[d ? 0 : length[r] - 1] + r;
                const T* h = empty ? dir.h0.get() + r * units : layers[l].h.get() + token * width + d * units;
                std::copy_n(h, hidden, hn + to);
                if (s.cell == Cell::lstm)
                    std::copy_n(empty ? dir.c0.get() + r * units : dir.c.get() + token * units, hidden, cn + to);
            }
    }

    void write_output(View<T> out) {
        const T* h = layers.back().h.get();
        each_token([&](int64_t token, int t, int64_t b) {
            for (int d = 0; d < D; ++d)
                std::copy_n(h + token * width + d * units, hidden, out.data + b * out.batch + t * out.time + d * hidden);
        });
        clear_padding(out, D * hidden);
    }
    void clear_padding(View<T> to, int64_t features) {
        for (int64_t r = 0; r < s.batch; ++r)
            for (int64_t t = length[r]; t < s.steps; ++t)
                std::fill_n(to.data + order[r] * to.batch + t * to.time, features, T(0));
    }

    // ---- backward

    void prepare_back(int l, const Flat& w) {
        for (int d = 0; d < D; ++d) {
            Direction<T>& dir = layers[l].direction[d];
            const T *ih = weight(w, l, d, 0), *hh = weight(w, l, d, 1);
            dir.ih = ih, dir.hh = hh;
            if (!direct_scan()) dir.recurrent_back.pack_rows(form.products * units, units, {{0, hidden, 0}}, [&](int k) {
                const int u = k % units;
                return u < hidden ? hh + (int64_t(k / units) * hidden + u) * hidden : nullptr;
            });
            // a GRU's candidate has its own block of gradients on the input side
            const int blocks = s.cell == Cell::gru ? 2 : 1;
            dir.in_back.resize(blocks);
            for (int i = 0; i < blocks && !direct_input(); ++i) {
                const int gate = i ? 2 : 0, gates = s.cell == Cell::gru ? (i ? 1 : 2) : form.products;
                dir.in_back[i].pack_rows(gates * units, l ? width : int(s.input), features(l), [&](int k) {
                    const int u = k % units;
                    return u < hidden ? ih + (int64_t(gate + k / units) * hidden + u) * inputs(l) : nullptr;
                });
            }
            dir.grads.resize(std::max<int64_t>(tokens * form.stored * units, 1));
        }
    }

    void scan_back(int l, const T* above, const T* ghn, const T* gcn, T* gh0, T* gc0) {
        Layer<T>& layer = layers[l];
        Buffer<T> dh, dc;
        const int64_t size = int64_t(D) * s.batch * units;
        dh.resize(std::max<int64_t>(size, 1));
        dc.resize(std::max<int64_t>(size, 1));
        for (int d = 0; d < D; ++d) {
            load_states(dh.get() + d * s.batch * units, ghn, l * D + d);
            load_states(dc.get() + d * s.batch * units, gcn, l * D + d);
        }
        if (each_unit([&](int begin, int end, Barrier& meeting) {
                for (int t = steps - 1; t >= 0; --t) {
                    T* grads = dir_grads(l, 0, t, 0);
                    back_one(layer, 0, t, 0, above, grads, dh.get(), dc.get(), begin, end);
                    meeting.wait();
                    recurrent_back(layer.direction[0], grads, dh.get(), begin, std::min(end, hidden));
                }
            })) {
            save_states(dh.get(), gh0, l);
            save_states(dc.get(), gc0, l);
            return;
        }
        each_scan([&](int d, int from, int stride) {
            T *my_dh = dh.get() + d * s.batch * units, *my_dc = dc.get() + d * s.batch * units;
            Direction<T>& dir = layer.direction[d];
            std::vector<const T*> in;
            std::vector<T*> to;
            for (int i = 0; i < steps; ++i) {
                const int t = d ? i : steps - 1 - i;
                in.clear(), to.clear();
                for (int r = from; r < active[t]; r += stride) {
                    T *h = my_dh + int64_t(r) * units, *c = my_dc + int64_t(r) * units;
                    T* grads = dir_grads(l, d, t, r);
                    back_one(layer, d, t, r, above, grads, h, c, 0, units);
                    in.push_back(grads), to.push_back(h);
                }
                if (!direct_scan())
                    rows_times<T>(int(in.size()), in.data(), to.data(), dir.recurrent_back, Start::old, nullptr);
                else if (!in.empty())
                    recurrent_back(dir, in[0], to[0], 0, hidden);
            }
        });
        for (int d = 0; d < D; ++d) {
            save_states(dh.get() + d * s.batch * units, gh0, l * D + d);
            save_states(dc.get() + d * s.batch * units, gc0, l * D + d);
        }
    }
    T* dir_grads(int l, int d, int t, int r) {
        return layers[l].direction[d].grads.get() + (first[t] + r) * form.stored * units;
    }
    // Adds the gradient from above to dh, and turns it into the gradients of the gates, for units begin … end of a row.
    void back_one(Layer<T>& layer, int d, int t, int r, const T* above, T* grads, T* dh, T* dc, int begin, int end) {
        const T* from = above + (first[t] + r) * width + d * units;
        for (int u = begin; u < end; u += lanes<T>) store(dh + u, load(dh + u) + load(from + u));
        const Row<T> here = row(layer, d, t, r);
        if (s.cell == Cell::lstm) back_lstm(here, grads, dh, dc, begin, end, units);
        else if (s.cell == Cell::gru) back_gru(here, grads, dh, begin, end, units);
        else back_rnn(s.cell == Cell::rnn_relu, here, grads, dh, begin, end);
        if (end > hidden)  // units that only fill up a vector have no say, whatever they came to
            for (int block = 0; block < form.stored; ++block)
                std::fill(grads + block * units + hidden, grads + (block + 1) * units, T(0));
    }
    void recurrent_back(Direction<T>& dir, const T* grads, T* dh, int begin, int end) {
        for (int gate = 0; gate < form.products; ++gate)
            times_matrix<T>(hidden, grads + gate * units, dir.hh + int64_t(gate) * hidden * hidden + begin, hidden,
                            end - begin, dh + begin);
    }
    void load_states(T* to, const T* from, int index) {
        std::fill_n(to, s.batch * units, T(0));
        if (from)
            for (int64_t r = 0; r < s.batch; ++r)
                std::copy_n(from + (int64_t(index) * s.batch + order[r]) * hidden, hidden, to + r * units);
    }
    void save_states(const T* from, T* to, int index) {
        if (to)
            for (int64_t r = 0; r < s.batch; ++r)
                std::copy_n(from + r * units, hidden, to + (int64_t(index) * s.batch + order[r]) * hidden);
    }

    void input_gradient(int l, T* below, int ld) {
        const int n = shares(tokens * ld * units, 1 << 16);
        parallel(n, [&](int share) {
            const int64_t begin = tokens * share / n, end = tokens * (share + 1) / n;
            for (int d = 0; d < D; ++d) {
                Direction<T>& dir = layers[l].direction[d];
                if (direct_input()) {
                    for (int64_t i = begin; i < end; ++i) input_gradient_one(l, dir, i, below + i * ld, d == 0);
                    continue;
                }
                for (size_t i = 0; i < dir.in_back.size(); ++i)
                    block_times<T>(begin, end, dir.grads.get() + (i ? 3 * units : 0), form.stored * units, below, ld,
                                   dir.in_back[i], d || i ? Start::old : Start::zero);
            }
        });
    }

    void input_gradient_one(int l, Direction<T>& dir, int64_t token, T* below, bool begins) {
        if (begins) std::fill_n(below, l ? width : int(s.input), T(0));
        for (int gate = 0; gate < form.products; ++gate) {
            const int block = s.cell == Cell::gru && gate == 2 ? 3 : gate;
            const T* grads = dir.grads.get() + (token * form.stored + block) * units;
            for (const Segment& part : features(l))
                times_matrix<T>(hidden, grads, dir.ih + int64_t(gate) * hidden * inputs(l) + part.from, inputs(l),
                                part.count, below + part.to);
        }
    }

    // Sums over all tokens in one order; the rows of the results are dealt out to the threads.
    void weight_gradients(int l, const std::vector<T*>& to) {
        const int in = l ? width : int(s.input), in_ld = round_up(in, lanes<T>), gates = form.products;
        std::vector<const T*> xs(tokens), hs(tokens), gs(tokens), gi(tokens);
        for (int64_t i = 0; i < tokens; ++i) xs[i] = input(l) + i * input_ld(l);
        for (int d = 0; d < D; ++d) {
            Direction<T>& dir = layers[l].direction[d];
            for (int64_t i = 0; i < tokens; ++i) {
                const int t = step_of[i];
                hs[i] = row(layers[l], d, t, int(i - first[t])).h_before;
                gs[i] = dir.grads.get() + i * form.stored * units;
                gi[i] = gs[i] + units;  // block 3 seen from block 2
            }
            T* const* result = to.data() + (l * D + d) * names();
            // sums go straight into the results where those have whole vectors, else through padded copies
            const bool straight = units == hidden && (l || in == in_ld);
            Buffer<T> padded, padded_in;
            if (!straight) padded.resize(int64_t(gates) * units * units), padded_in.resize(int64_t(gates) * units * in_ld);
            T *sums = straight ? result[1] : padded.get(), *sums_in = straight ? result[0] : padded_in.get();
            const int total = gates * units, tiles = (total + kRows - 1) / kRows;
            const int n = shares(tokens * total * (in + hidden), 1 << 17);
            parallel(n, [&](int share) {
                const int begin = std::min(tiles * share / n * kRows, total);
                const int end = std::min(tiles * (share + 1) / n * kRows, total);
                OuterSum<T> sum;
                sum.run(tokens, gs.data(), hs.data(), begin, end, hidden, sums, units);
                // the GRU's candidate takes its input side from the block after
                const int apart = s.cell == Cell::gru ? std::clamp(2 * units, begin, end) : end;
                sum.run(tokens, gs.data(), xs.data(), begin, apart, in, sums_in, in_ld);
                if (apart < end) sum.run(tokens, gi.data(), xs.data(), apart, end, in, sums_in, in_ld);
                std::vector<T> bias(end - begin), bias_in(end - begin);
                for (int64_t i = 0; i < tokens; ++i)
                    for (int m = begin; m < end; ++m) {
                        bias[m - begin] += gs[i][m];
                        bias_in[m - begin] += m < apart ? gs[i][m] : gi[i][m];
                    }
                for (int m = begin; m < end; ++m) {
                    const int u = m % units;
                    if (u >= hidden) continue;
                    const int64_t out = int64_t(m / units) * hidden + u;
                    if (s.bias) result[2][out] = bias_in[m - begin], result[3][out] = bias[m - begin];
                    if (straight) continue;
                    for (const Segment& part : features(l))
                        std::copy_n(sums_in + int64_t(m) * in_ld + part.to, part.count,
                                    result[0] + out * inputs(l) + part.from);
                    std::copy_n(sums + int64_t(m) * units, hidden, result[1] + out * hidden);
                }
            });
        }
    }

    void write_input_gradient(View<T> gx, const T* below, int ld) {
        each_token([&](int64_t token, int t, int64_t b) {
            std::copy_n(below + token * ld, s.input, gx.data + b * gx.batch + t * gx.time);
        });
        clear_padding(gx, s.input);
    }
};

}  // namespace

std::unique_ptr<Run<float>> make_float(const Spec& spec, bool keep) { return std::make_unique<Stack<float>>(spec, keep); }
std::unique_ptr<Run<double>> make_double(const Spec& spec, bool keep) {
    return std::make_unique<Stack<double>>(spec, keep);
}

}  // namespace recurra::RECURRA_ISA
