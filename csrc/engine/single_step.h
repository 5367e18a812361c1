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
    // Buffers of one row, each a whole number of vectors: input, previous states, states, gates.
    static constexpr int kHere = 8192 / sizeof(T);
    alignas(64) T here[kHere];
    Buffer<T> room;  // for larger layers
    T *x, *h_before, *c_before, *gates, *h, *c;

public:
    SingleStep(const Spec& spec_, const Inputs<T>& in_, const Outputs<T>& out_)
        : spec(spec_),
          sizes(spec),
          in(in_),
          out(out_) {
        const int wide = round_up(std::max({sizes.input, sizes.out, sizes.hidden}), lanes<T>);
        const int needed = 5 * wide + sizes.stored * sizes.units;
        if (needed > kHere) room.resize(needed);
        x = needed > kHere ? room.get() : here;
        h_before = x + wide, c_before = h_before + wide, h = c_before + wide, c = h + wide, gates = c + wide;
    }

    void run() {
        const int64_t cells = spec.batch * spec.layers, work = cells * sizes.work(0);
        const int n = threads_for(work, kStepMicrosecond<T>, std::min(spec.threads, sizes.units / lanes<T>), 2 * cells);
        Barrier meeting(n);
        if (n > 1 && together(n, [&](int share) { rows(share, n, &meeting); })) return;
        parallel(1, [&](int) { rows(0, 1, nullptr); });
    }

private:
    void rows(int share, int n, Barrier* meeting) {
        const int vectors = sizes.units / lanes<T>, begin = vectors * share / n * lanes<T>,
                  end = vectors * (share + 1) / n * lanes<T>;
        const bool recurrent = in.h0 || !(in.finite || finite(begin, std::min(end, sizes.hidden)));
        const auto meet = [&] {
            if (meeting) meeting->wait();
        };
        for (int64_t seq = 0; seq < spec.batch; ++seq)
            for (int layer = 0; layer < spec.layers; ++layer) {
                if (!share) read(seq, layer);
                meet();
                units(layer, begin, end, recurrent);
                meet();
                if (share) continue;
                if (sizes.projects) project(layer);
                write(seq, layer);
            }
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
    void read(int64_t seq, int layer) {
        const int64_t row = layer * spec.batch + seq;
        fill(x, layer ? h : in.x.data + seq * in.x.batch, sizes.inputs(layer));
        fill(h_before, in.h0 ? in.h0 + row * sizes.out : nullptr, sizes.out);
        if (sizes.lstm) fill(c_before, in.c0 ? in.c0 + row * sizes.hidden : nullptr, sizes.hidden);
    }
    void write(int64_t seq, int layer) {
        const int64_t row = layer * spec.batch + seq;
        std::copy_n(h, sizes.out, out.hn + row * sizes.out);
        if (sizes.lstm) std::copy_n(c, sizes.hidden, out.cn + row * sizes.hidden);
        if (layer + 1 == spec.layers) std::copy_n(h, sizes.out, out.out.data + seq * out.out.batch);
    }

    Vec<T> bias(int layer, int which, int gate, int u) const {
        return spec.bias ? load_part(weight(layer, which) + gate * sizes.hidden + u, sizes.hidden - u) : Vec<T>{};
    }

    void units(int layer, int begin, int end, bool recurrent) {
        const RowPointers<T> row{h_before, gates, h, c_before, c};
        // The order alternates: the weights used last are still in the L1 cache.
        static thread_local bool back = false;
        back = !back;
        for (int i = begin; i < end; i += lanes<T>) {
            const int u = back ? begin + end - lanes<T> - i : i;
            Vec<T> acc[1][4];
            for (int gate = 0; gate < sizes.products; ++gate) {
                Dots<T> dots;
                const int64_t first = int64_t(gate) * sizes.hidden;
                dots.add(weight(layer, 0) + first * sizes.inputs(layer), u, sizes.hidden, sizes.inputs(layer), x);
                Vec<T> total = bias(layer, 2, gate, u);
                acc[0][gate] = Vec<T>{};
                if (sizes.gru && gate == 2) total += dots.total(), dots = {};
                else total += bias(layer, 3, gate, u);
                if (recurrent) dots.add(weight(layer, 1) + first * sizes.out, u, sizes.hidden, sizes.out, h_before);
                if (sizes.gru && gate == 2) acc[0][gate] = dots.total();
                else total += dots.total();
                store(gates + u * sizes.stored + gate * lanes<T>, total);
            }
            finish(layer, row, u, acc);
        }
    }

    void finish(int layer, const RowPointers<T>& row, int u, Vec<T> (&acc)[1][4]) {
        with_kernel(spec.cell, [&](auto kernel) {
            constexpr int P = kernel.products;
            Vec<T> sums[1][P];
            for (int gate = 0; gate < P; ++gate) sums[0][gate] = acc[0][gate];
            if (sizes.gru) sums[0][P - 1] += bias(layer, 3, 2, u);
            kernel.forward(spec.cell, false, sums, &row, u, static_cast<const T*>(nullptr));
        });
    }

    void project(int layer) {
        fill(x, h, sizes.hidden);
        matrix_times<T>(sizes.out, weight(layer, names - 1), sizes.hidden, x, h);
    }
};

}  // namespace recurra::RECURRA_ISA
