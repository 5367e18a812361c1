// One time step of a stack in one direction, from the weights as they are, with as little ado as possible.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

template <class T>
class Step {
    const Spec& s;
    const Sizes<T> z;
    const Inputs<T>& in;
    const Outputs<T>& out;
    const int names = 2 + (s.bias ? 2 : 0) + (z.projects ? 1 : 0);
    // of one row: input and states in whole vectors, gates, and the states after
    static constexpr int kHere = 8192 / sizeof(T);
    alignas(64) T here[kHere];
    Buffer<T> room;  // for more than that
    T *x, *h_before, *c_before, *gates, *h, *c;

public:
    Step(const Spec& s_, const Inputs<T>& in_, const Outputs<T>& out_) : s(s_), z(s), in(in_), out(out_) {
        const int wide = round_up(std::max({z.input, z.out, z.hidden}), lanes<T>);
        const int needed = 5 * wide + z.stored * z.units;
        if (needed > kHere) room.resize(needed);
        x = needed > kHere ? room.get() : here;
        h_before = x + wide, c_before = h_before + wide, h = c_before + wide, c = h + wide, gates = c + wide;
    }

    void run() {
        const int64_t work = int64_t(z.products) * z.units * (z.input + z.out);
        const int n = int(std::clamp<int64_t>(work >> 16, 1, std::min(s.threads, z.units / lanes<T>)));
        Barrier meeting(n);
        if (n > 1 && together(n, [&](int share) { rows(share, n, &meeting); })) return;
        parallel(1, [&](int) { rows(0, 1, nullptr); });
    }

private:
    void rows(int share, int n, Barrier* meeting) {
        const int vectors = z.units / lanes<T>, begin = vectors * share / n * lanes<T>,
                  end = vectors * (share + 1) / n * lanes<T>;
        const bool recurrent = in.h0 || !(in.finite || finite(begin, std::min(end, z.hidden)));
        const auto meet = [&] {
            if (meeting) meeting->wait();
        };
        for (int64_t b = 0; b < s.batch; ++b)
            for (int l = 0; l < s.layers; ++l) {
                if (!share) read(b, l);
                meet();
                units(l, begin, end, recurrent);
                meet();
                if (share) continue;
                if (z.projects) project(l);
                write(b, l);
            }
    }

    const T* weight(int l, int which) const { return in.weights[l * names + which]; }

    // Whether weight_hh is finite in the rows of some units: only then are its products with zeros zeros.
    bool finite(int begin, int end) const {
        for (int l = 0; l < s.layers; ++l)
            for (int64_t gate = 0; gate < z.products && begin < end; ++gate)
                if (!all_finite(weight(l, 1) + (gate * z.hidden + begin) * z.out, int64_t(end - begin) * z.out))
                    return false;
        return true;
    }

    static void fill(T* to, const T* from, int n) {
        for (int i = 0; i < n; i += lanes<T>) store(to + i, from ? load_part(from + i, n - i) : Vec<T>{});
    }
    void read(int64_t b, int l) {
        const int64_t row = l * s.batch + b;
        fill(x, l ? h : in.x.data + b * in.x.batch, z.inputs(l));
        fill(h_before, in.h0 ? in.h0 + row * z.out : nullptr, z.out);
        if (z.lstm) fill(c_before, in.c0 ? in.c0 + row * z.hidden : nullptr, z.hidden);
    }
    void write(int64_t b, int l) {
        const int64_t row = l * s.batch + b;
        std::copy_n(h, z.out, out.hn + row * z.out);
        if (z.lstm) std::copy_n(c, z.hidden, out.cn + row * z.hidden);
        if (l + 1 == s.layers) std::copy_n(h, z.out, out.out.data + b * out.out.batch);
    }

    Vec<T> bias(int l, int which, int gate, int u) const {
        return s.bias ? load_part(weight(l, which) + gate * z.hidden + u, z.hidden - u) : Vec<T>{};
    }

    void units(int l, int begin, int end, bool recurrent) {
        const Row<T> row{h_before, gates, h, c_before, c};
        // There and back again in turn: the weights used last are still in the nearest cache.
        static thread_local bool back = false;
        back = !back;
        for (int i = begin; i < end; i += lanes<T>) {
            const int u = back ? begin + end - lanes<T> - i : i;
            Vec<T> acc[1][4];
            for (int gate = 0; gate < z.products; ++gate) {
                Dots<T> dots;
                const int64_t first = int64_t(gate) * z.hidden;
                dots.add(weight(l, 0) + first * z.inputs(l), u, z.hidden, z.inputs(l), x);
                Vec<T> total = bias(l, 2, gate, u);
                acc[0][gate] = Vec<T>{};
                if (z.gru && gate == 2) total += dots.total(), dots = {};
                else total += bias(l, 3, gate, u);
                if (recurrent) dots.add(weight(l, 1) + first * z.out, u, z.hidden, z.out, h_before);
                if (z.gru && gate == 2) acc[0][gate] = dots.total();
                else total += dots.total();
                store(gates + u * z.stored + gate * lanes<T>, total);
            }
            finish(l, row, u, acc);
        }
    }

    void finish(int l, const Row<T>& row, int u, Vec<T> (&acc)[1][4]) {
        if (z.lstm) finish_lstm<T, 1>(false, acc, &row, u);
        else if (z.gru) {
            Vec<T> three[1][3] = {{acc[0][0], acc[0][1], acc[0][2] + bias(l, 3, 2, u)}};
            finish_gru<T, 1>(false, three, &row, u, nullptr);
        } else {
            Vec<T> one[1][1] = {{acc[0][0]}};
            finish_rnn<T, 1, 1>(s.cell == Cell::rnn_relu, one, &row, u);
        }
    }

    void project(int l) {
        fill(x, h, z.hidden);
        matrix_times<T>(z.out, weight(l, names - 1), z.hidden, x, h);
    }
};

}  // namespace recurra::RECURRA_ISA
