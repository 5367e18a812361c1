// Many single steps with packed weights and stored states: the lowest latency.
#pragma once
#include "step_matrices.h"

namespace recurra::RECURRA_ISA {

// `Matrix`: how the weights are stored and multiplied, see step_matrices.h and int8_matrix.h.
template <class T, class Matrix>
class PackedStepSession final : public StepSession<T> {
public:
    PackedStepSession(const Spec& spec_, const std::vector<const T*>& flat)
        : spec(spec_),
          sizes(spec),
          weights_(spec, flat) {
        weights_.pack_forward();
        for (int layer = 0; layer < spec.layers; ++layer) {
            matrices_.emplace_back();
            DirectionWeights<T>& dir = weights_.at(layer, 0);
            matrices_.back().in.pack(dir.in), matrices_.back().recurrent.pack(dir.recurrent);
            dir.in = {}, dir.recurrent = {};
        }
        const int64_t rows = spec.layers * spec.batch;
        room_.resize(2 * rows * (sizes.outs + sizes.units) + sizes.stored * sizes.units + sizes.units);
        h_ = room_.get(), c_ = h_ + 2 * rows * sizes.outs, gates_ = c_ + 2 * rows * sizes.units;
        hidden_ = gates_ + sizes.stored * sizes.units;
        reset();
    }

    void reset() override { std::fill_n(h_, 2 * spec.layers * spec.batch * (sizes.outs + sizes.units), T(0)); }

    void step(const T* x, T* y) override {
        const int64_t cells = spec.batch * spec.layers, work = cells * sizes.work(0) / Matrix::kFaster;
        const int n = sizes.projects ? 1
                                     : threads_for(work, kStepMicrosecond<T>, std::min(spec.threads, sizes.strips),
                                                   cells - 1, Team::brief);
        Barrier meeting(n);
        const auto share = [&](int i) {
            rows(x, sizes.strips * i / n, sizes.strips * (i + 1) / n, n > 1 ? &meeting : nullptr);
        };
        if (n == 1 || !together(n, share, Team::brief)) parallel(1, [&](int) { rows(x, 0, sizes.strips, nullptr); });
        turn_ = !turn_;
        for (int64_t seq = 0; seq < spec.batch; ++seq)
            std::copy_n(state(spec.layers - 1, seq), sizes.out, y + seq * sizes.out);
    }

    void read_state(T* h, T* c) const override {
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int64_t seq = 0; seq < spec.batch; ++seq) {
                std::copy_n(state(layer, seq), sizes.out, h + (layer * spec.batch + seq) * sizes.out);
                if (sizes.lstm)
                    std::copy_n(cell(layer, seq), sizes.hidden, c + (layer * spec.batch + seq) * sizes.hidden);
            }
    }
    void write_state(const T* h, const T* c) override {
        reset();
        for (int layer = 0; layer < spec.layers; ++layer)
            for (int64_t seq = 0; seq < spec.batch; ++seq) {
                std::copy_n(h + (layer * spec.batch + seq) * sizes.out, sizes.out, state(layer, seq));
                if (sizes.lstm)
                    std::copy_n(c + (layer * spec.batch + seq) * sizes.hidden, sizes.hidden, cell(layer, seq));
            }
    }

private:
    struct Matrices {
        Matrix in, recurrent;
    };
    const Spec spec;
    const Sizes<T> sizes;
    Weights<T> weights_;
    Vector<Matrices> matrices_;
    Buffer<T> room_;
    T *h_, *c_, *gates_, *hidden_;
    bool turn_ = false;  // the states before and after a step swap their memory after each step

    T* state(int layer, int64_t seq, bool after = false) const {
        return h_ + ((after != turn_) * spec.layers * spec.batch + layer * spec.batch + seq) * sizes.outs;
    }
    T* cell(int layer, int64_t seq, bool after = false) const {
        return c_ + ((after != turn_) * spec.layers * spec.batch + layer * spec.batch + seq) * sizes.units;
    }

    void rows(const T* x, int begin, int end, Barrier* meeting) {
        typename Matrix::Input input, before;  // local: as members they took 0.7 µs longer
        for (int64_t seq = 0; seq < spec.batch; ++seq)
            for (int layer = 0; layer < spec.layers; ++layer) {
                const T* in = layer ? state(layer - 1, seq, true) : x + seq * sizes.input;
                input.set(in, sizes.inputs(layer)), before.set(state(layer, seq), sizes.out);
                const RowPointers<T> row{state(layer, seq), gates_, sizes.projects ? hidden_ : state(layer, seq, true),
                                         cell(layer, seq), cell(layer, seq, true)};
                for (int i = begin; i < end; ++i)  // alternates: the strips used last are still in the L1 cache
                    panel(layer, turn_ ? begin + end - 1 - i : i, input, before, row);
                if (sizes.projects) project(layer, seq);
                if (meeting && (layer + 1 < spec.layers || seq + 1 < spec.batch)) meeting->wait();
            }
    }

    void panel(int layer, int p, const typename Matrix::Input& input, const typename Matrix::Input& before,
               const RowPointers<T>& row) {
        DirectionWeights<T>& dir = weights_.at(layer, 0);
        const Matrices& weights = matrices_[layer];
        const int unit = p * sizes.unit_vectors * lanes<T>;
        const int most = sizes.products == 1 ? kStrip : sizes.products;
        const int vectors = std::min(most, sizes.products * sizes.units / lanes<T> - p * kStrip);
        constant<kStrip>(sizes.products == 1 ? vectors : sizes.products, [&](auto v) {
            constexpr int V = v();
            Vec<T> acc[1][V], gates[1][V];
            for (int i = 0; i < V; ++i)
                gates[0][i] = load(dir.bias.get() + unit * sizes.stored + i * lanes<T>), acc[0][i] = Vec<T>{};
            weights.in.template times<V>(p, input, sizes.gru ? gates : acc);
            weights.recurrent.template times<V>(p, before, acc);
            for (int i = 0; i < V; ++i) store(row.gates + unit * sizes.stored + i * lanes<T>, gates[0][i]);
            // Not with_kernel: the compiler would fuse other products and sums, and results would change in the last bit.
            if constexpr (V == LstmKernel::products) {
                if (sizes.lstm) return lstm_pointwise<T, 1>(false, acc, &row, unit);
            }
            if constexpr (V == GruKernel::products) {
                if (sizes.gru) return gru_pointwise<T, 1>(false, acc, &row, unit, dir.bias_hn.get());
            }
            rnn_pointwise<T, 1, V>(spec.cell == Cell::rnn_relu, acc, &row, unit);
        });
    }

    void project(int layer, int64_t seq) {
        T* to = state(layer, seq, true);
        std::fill_n(to, sizes.outs, T(0));
        row_times<T>(hidden_, to, weights_.at(layer, 0).project, 0, weights_.at(layer, 0).project.strips());
    }
};

}  // namespace recurra::RECURRA_ISA
