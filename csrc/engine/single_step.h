// One time step of a unidirectional stack with unpacked weights and little overhead.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

template <class T>
class SingleStep {
    const Spec& spec;
    const Sizes<T> sizes;
    const Inputs<T>& in;
    const Outputs<T>& out;
    const int names = sizes.weights_per_direction(spec.bias);
    struct Row {  // buffers of one sequence, each a whole number of vectors
        T *x, *h_before, *c_before, *h, *c, *gates;
    };
    const int wide = round_up(std::max({sizes.input, sizes.out, sizes.hidden}), lanes<T>);
    const int row_size = 5 * wide + sizes.stored * sizes.units;
    static constexpr int kHere = 8192 / sizeof(T);
    alignas(64) T here[kHere];
    Buffer<T> room;  // for larger layers and batches
    T* buffers = here;

public:
    SingleStep(const Spec& spec_, const Inputs<T>& in_, const Outputs<T>& out_)
        : spec(spec_),
          sizes(spec),
          in(in_),
          out(out_) {
        if (spec.batch * row_size <= kHere) return;
        room.resize(spec.batch * row_size);
        buffers = room.get();
    }

    void run() {
        const int64_t work = spec.batch * spec.layers * sizes.work(0);
        const int n = threads_for(work, kStepMicrosecond<T>, std::min(spec.threads, sizes.units / lanes<T>),
                                  2 * (spec.layers - 1) + (sizes.projects ? spec.layers : 0), Team::brief);
        Barrier meeting(n);
        read(0);
        if (n == 1 || !together(n, [&](int share) { rows(share, n, &meeting); }, Team::brief))
            parallel(1, [&](int) { rows(0, 1, nullptr); });
        write(spec.layers - 1);
    }

private:
    void rows(int share, int n, Barrier* meeting) {
        const int vectors = sizes.units / lanes<T>, begin = vectors * share / n * lanes<T>,
                  end = vectors * (share + 1) / n * lanes<T>;
        const bool recurrent = in.h0 || !(in.finite || finite(begin, std::min(end, sizes.hidden)));
        const auto meet = [&] {
            if (meeting) meeting->wait();
        };
        for (int layer = 0; layer < spec.layers; ++layer) {
            if (layer) {
                meet();
                if (!share) write(layer - 1), read(layer);
                meet();
            }
            if (spec.batch == 1) units<OneRow>(layer, begin, end, recurrent);
            else units<ManyDots<T>>(layer, begin, end, recurrent);
            if (!sizes.projects) continue;
            meet();
            for (int64_t seq = 0; seq < spec.batch && !share; ++seq) project(seq, layer);
        }
    }
    Row row(int64_t seq) const {
        T* at = buffers + seq * row_size;
        return {at, at + wide, at + 2 * wide, at + 3 * wide, at + 4 * wide, at + 5 * wide};
    }

    const T* weight(int layer, int which) const { return in.weights[layer * names + which]; }

    // Returns whether weight_hh is finite in the rows of some units. Only then are its products with zeros zero.
    bool finite(int begin, int end) const {
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int64_t gate = 0; gate < sizes.products && begin < end; ++gate)
                if (!all_finite(weight(layer, 1) + (gate * sizes.hidden + begin) * sizes.out,
                                int64_t(end - begin) * sizes.out))
                    return false;
        return true;
    }

    static void fill(T* to, const T* from, int n) {
        for (int i = 0; i < n; i += lanes<T>) store(to + i, from ? load_part(from + i, n - i) : Vec<T>{});
    }
    void read(int layer) {
        for (int64_t seq = 0; seq < spec.batch; ++seq) read(seq, layer);
    }
    void read(int64_t seq, int layer) {
        const int64_t index = layer * spec.batch + seq;
        const Row to = row(seq);
        fill(to.x, layer ? to.h : in.x.data + seq * in.x.batch, sizes.inputs(layer));
        fill(to.h_before, in.h0 ? in.h0 + index * sizes.out : nullptr, sizes.out);
        if (sizes.lstm) fill(to.c_before, in.c0 ? in.c0 + index * sizes.hidden : nullptr, sizes.hidden);
    }
    void write(int layer) {
        for (int64_t seq = 0; seq < spec.batch; ++seq) write(seq, layer);
    }
    void write(int64_t seq, int layer) {
        const int64_t index = layer * spec.batch + seq;
        const Row from = row(seq);
        std::copy_n(from.h, sizes.out, out.hn + index * sizes.out);
        if (sizes.lstm) std::copy_n(from.c, sizes.hidden, out.cn + index * sizes.hidden);
        if (layer + 1 == spec.layers) std::copy_n(from.h, sizes.out, out.out.data + seq * out.out.batch);
    }

    Vec<T> bias(int layer, int which, int gate, int u) const {
        return spec.bias ? load_part(weight(layer, which) + gate * sizes.hidden + u, sizes.hidden - u) : Vec<T>{};
    }

    // Products with one sequence, with the names of `ManyDots`.
    struct OneRow {
        static constexpr int kMost = 1;
        Dots<T> dots;
        inline __attribute__((always_inline)) void add(const T* w, int first, int rows, int depth, const T* const* x,
                                                       int) {
            dots.add(w, first, rows, depth, *x);
        }
        inline __attribute__((always_inline)) Vec<T> total(int) { return dots.total(); }
    };

    template <class Products>
    void units(int layer, int begin, int end, bool recurrent) {
        // The order alternates: the weights used last are still in the L1 cache.
        static thread_local bool back = false;
        back = !back;
        for (int i = begin; i < end; i += lanes<T>)
            for (int seq = 0; seq < spec.batch; seq += Products::kMost)
                unit<Products>(layer, back ? begin + end - lanes<T> - i : i, seq, recurrent);
    }

    // Computes a vector of units for some sequences.
    template <class Products>
    void unit(int layer, int u, int seq, bool recurrent) {
        constexpr int most = Products::kMost;
        const int n = most == 1 ? 1 : int(std::min<int64_t>(most, spec.batch - seq));
        Row at[most];
        const T *x[most], *before[most];
        for (int i = 0; i < n; ++i) at[i] = row(seq + i), x[i] = at[i].x, before[i] = at[i].h_before;
        Vec<T> acc[most][4];
        for (int gate = 0; gate < sizes.products; ++gate) {
            Products dots;
            const bool apart = sizes.gru && gate == 2;  // its two products stay apart
            const int64_t first = int64_t(gate) * sizes.hidden;
            dots.add(weight(layer, 0) + first * sizes.inputs(layer), u, sizes.hidden, sizes.inputs(layer), x, n);
            Vec<T> total = bias(layer, 2, gate, u);
            if (!apart) total += bias(layer, 3, gate, u);
            Vec<T> totals[most];
            for (int i = 0; i < n; ++i) totals[i] = apart ? total + dots.total(i) : total;
            if (apart) dots = {};
            if (recurrent) dots.add(weight(layer, 1) + first * sizes.out, u, sizes.hidden, sizes.out, before, n);
            for (int i = 0; i < n; ++i) {
                const Vec<T> sum = dots.total(i);
                acc[i][gate] = apart ? sum : Vec<T>{};
                store(at[i].gates + u * sizes.stored + gate * lanes<T>, apart ? totals[i] : totals[i] + sum);
            }
        }
        for (int i = 0; i < n; ++i) finish(layer, at[i], u, acc[i]);
    }

    void finish(int layer, const Row& at, int u, const Vec<T> (&acc)[4]) {
        const RowPointers<T> row{at.h_before, at.gates, at.h, at.c_before, at.c};
        with_kernel(spec.cell, [&](auto kernel) {
            constexpr int P = kernel.products;
            Vec<T> sums[1][P];
            for (int gate = 0; gate < P; ++gate) sums[0][gate] = acc[gate];
            if (sizes.gru) sums[0][P - 1] += bias(layer, 3, 2, u);
            kernel.forward(spec.cell, false, sums, &row, u, static_cast<const T*>(nullptr));
        });
    }

    void project(int64_t seq, int layer) {
        const Row at = row(seq);
        fill(at.x, at.h, sizes.hidden);
        matrix_times<T>(sizes.out, weight(layer, names - 1), sizes.hidden, at.x, at.h);
    }
};

}  // namespace recurra::RECURRA_ISA
