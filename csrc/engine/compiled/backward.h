// The backward pass of a compiled cell.
//
// The walk back through time computes the gradients of products and states. The gradients of weights and inputs are
// large products over all tokens, computed afterwards. Each of their sums has one order for any number of threads.
#pragma once
#include "forward.h"

namespace recurra::RECURRA_ISA {

template <class T>
class CellBackward {
public:
    CellBackward(const CellLayout<T>& layout, const CellCall<T>& call, const CellGradients<T>& to, const Batch& batch)
        : layout_(layout),
          program_(layout.program),
          call_(call),
          to_(to),
          batch_(batch),
          rows_{batch, call},
          weights_(layout, call.weights, call.threads),
          code_(layout, layout.program.backward),
          threads_(rows_.threads(layout)) {}

    void run() {
        weights_.pack_backward(call_.weights, to_.x.data);
        step_of_.resize(batch_.tokens), row_of_.resize(batch_.tokens);
        for (int step = 0, token = 0; step < batch_.steps; ++step)
            for (int row = 0; row < batch_.active[step]; ++row, ++token) step_of_[token] = step, row_of_[token] = row;
        grad_.resize(batch_.tokens * layout_.width(Space::grad) + 1);
        dinput_.resize(batch_.tokens * layout_.width(Space::dinput) + 1);
        const int64_t sums = int64_t(rows_.parts()) * layout_.width(Space::dparam);
        dparam_.resize(sums + 1);
        std::fill_n(dparam_.get(), sums, T(0));
        for (int64_t row = batch_.rows; row < batch_.size; ++row) finish(int(row), nullptr);
        in_turn(rows_.parts(), threads_, [&](int part) { walk(part, rows_.part(part)); });
        if (!to_.weights.empty()) sum_weights();
        if (to_.x.data) inputs();
    }

private:
    const CellLayout<T>& layout_;
    const CellProgram& program_;
    const CellCall<T>& call_;
    const CellGradients<T>& to_;
    const Batch& batch_;
    const CellRows<T> rows_;
    CellWeights<T> weights_;
    const Interpreter<T> code_;
    const int threads_;
    Buffer<T> grad_, dinput_, dparam_;
    Vector<int> step_of_, row_of_;  // by token

    struct Work {
        Buffer<T> scratch, carried, input;
        Vector<Frame<T>> frames;
        Vector<const T*> from;
        Vector<T*> to;
    };

    // ---- the walk back through time

    void walk(int part, RowRange rows) {
        const int count = rows.end - rows.begin, s = layout_.width(Space::dafter);
        if (!count) return;
        Work work;
        work.scratch.resize(int64_t(count) * layout_.width(Space::scratch) + lanes<T>);
        work.carried.resize(int64_t(2 * count) * s);
        work.input.resize(int64_t(count) * layout_.width(Space::input) + 1);
        work.frames.resize(count), work.from.resize(count), work.to.resize(count);
        for (int i = 0; i < count; ++i) start(i, rows.begin + i, part, work);
        for (int i = batch_.steps; i-- > 0;) step(rows_.step(i), rows, work);
        for (int i = 0; i < count; ++i) finish(rows.begin + i, work.frames[i].at[int(Space::dafter)]);
    }

    void start(int i, int row, int part, Work& work) const {
        Frame<T>& frame = work.frames[i];
        const int s = layout_.width(Space::dafter);
        std::fill_n(frame.at, kSpaces, nullptr);
        frame.at[int(Space::scratch)] = work.scratch.get() + int64_t(i) * layout_.width(Space::scratch);
        frame.at[int(Space::param)] = weights_.params.get();
        frame.at[int(Space::input)] = work.input.get() + int64_t(i) * layout_.width(Space::input);
        frame.at[int(Space::dparam)] = dparam_.get() + int64_t(part) * layout_.width(Space::dparam);
        T* carried = work.carried.get() + int64_t(2 * i) * s;
        frame.at[int(Space::dafter)] = carried, frame.at[int(Space::dbefore)] = carried + s;
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width;
            layout_.spread(state.segments, state.width, to_.last[k] ? to_.last[k] + batch_.order[row] * width : nullptr,
                           carried, state.dafter);
        }
    }

    T* states_after(int step, int row) const {
        return call_.tape + rows_.token(step, row) * layout_.width(Space::after);
    }
    T* states_before(int step, int row) const {
        const int previous = call_.reverse ? step + 1 : step - 1;
        if (previous >= 0 && previous < batch_.length[row]) return states_after(previous, row);
        return call_.tape + batch_.tokens * (layout_.width(Space::after) + layout_.width(Space::kept)) +
               int64_t(row) * layout_.width(Space::before);
    }
    T* kept(int step, int row) const {
        return call_.tape + batch_.tokens * layout_.width(Space::after) +
               rows_.token(step, row) * layout_.width(Space::kept);
    }

    void step(int step, RowRange rows, Work& work) const {
        const int active = rows_.active(step, rows);
        for (int r = 0; r < active; ++r) {
            Frame<T>& frame = work.frames[r];
            const int row = rows.begin + r;
            const int64_t token = rows_.token(step, row);
            frame.at[int(Space::kept)] = kept(step, row);
            frame.at[int(Space::before)] = states_before(step, row);
            frame.at[int(Space::after)] = states_after(step, row);
            frame.at[int(Space::grad)] = grad_.get() + token * layout_.width(Space::grad);
            frame.at[int(Space::dinput)] = dinput_.get() + token * layout_.width(Space::dinput);
            layout_.spread_input(rows_.x(step, row), frame);
            if (to_.out.data) add_output(step, row, frame);
        }
        for (const Phase& phase : layout_.backward) {
            if (phase.product) multiply(program_.backward[phase.begin], active, work);
            else code_.run(phase, work.frames.data(), active);
        }
        for (int r = 0; r < active; ++r)
            std::swap(work.frames[r].at[int(Space::dafter)], work.frames[r].at[int(Space::dbefore)]);
    }
    // The hidden state is also the output of the step.
    void add_output(int step, int row, const Frame<T>& frame) const {
        const StateShape& state = program_.states[0];
        const T* from = to_.out.data + batch_.order[row] * to_.out.batch + step * to_.out.time;
        for (int s = 0; s < state.segments; ++s, from += state.width) {
            T* to = layout_.of(frame, state.dafter + s);
            for (int i = 0; i < state.width; i += lanes<T>)
                store(to + i, load(to + i) + load_part(from + i, state.width - i));
        }
    }
    void multiply(const Instruction& code, int rows, Work& work) const {
        for (int r = 0; r < rows; ++r) {
            work.from[r] = layout_.of(work.frames[r], code.a);
            work.to[r] = layout_.of(work.frames[r], code.to);
        }
        rows_.multiply(rows, work.from.data(), work.to.data(), weights_.backward[code.b], nullptr);
    }

    // Writes the gradients of the initial states of a row.
    void finish(int row, const T* carried) const {
        for (size_t k = 0; k < program_.states.size(); ++k) {
            if (to_.states.empty() || !to_.states[k]) continue;
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width, at = batch_.order[row] * width;
            T* to = to_.states[k] + at;
            if (carried) layout_.collect(state, carried, state.dafter, to);
            else if (to_.last[k]) std::copy_n(to_.last[k] + at, width, to);
            else std::fill_n(to, width, T(0));
        }
    }

    // ---- sums over all tokens

    void sum_weights() {
        for (size_t i = 0; i < to_.weights.size(); ++i) std::fill_n(to_.weights[i], program_.weight_sizes[i], T(0));
        for (const Product& product : program_.products)
            if (product.gradient >= 0) sum_product(product);
        for (const Param& param : program_.params) {
            if (param.gradient < 0) continue;
            T* to = to_.weights[param.weight] + param.first;
            for (int part = 0; part < rows_.parts(); ++part) {
                const T* from =
                    dparam_.get() + int64_t(part) * layout_.width(Space::dparam) + layout_.offset[param.gradient];
                for (int i = 0; i < layout_.program.places[param.place].width; ++i) to[i] += from[i];
            }
        }
    }

    // Adds the gradients of the weight and the bias of one product. Threads take rows of the weight.
    void sum_product(const Product& product) {
        const int ld = round_up(product.depth, lanes<T>), all = product.segments * product.width;
        const int64_t stride = layout_.width(Space::grad);
        constexpr int kPiece = kBlock;  // rows of the weight per item
        const int pieces = (product.width + kPiece - 1) / kPiece;
        const int threads = threads_for(batch_.tokens * int64_t(all) * product.depth, 1 << 16, call_.threads);
        Buffer<T> sums;
        sums.resize(int64_t(all) * ld + 1);
        OuterSum<T> outer;
        Vector<const T*> from(std::min<int64_t>(batch_.tokens, kChunk));
        for (int64_t begin = 0; begin < batch_.tokens; begin += kChunk) {
            const int n = int(std::min<int64_t>(kChunk, batch_.tokens - begin));
            for (int i = 0; i < n; ++i) from[i] = source(product, step_of_[begin + i], row_of_[begin + i]);
            outer.right.shape(n, product.depth);
            in_turn(outer.right.strips(), threads,
                    [&](int strip) { outer.right.pack_rows(strip, product.depth, [&](int k) { return from[k]; }); });
            in_turn(product.segments * pieces, threads, [&](int item) {
                const int segment = item / pieces, first = item % pieces * kPiece,
                          last = std::min(first + kPiece, product.width);
                const T* g = grad_.get() + begin * stride + layout_.offset[product.gradient + segment];
                outer.add(g, stride, first, last, sums.get() + int64_t(segment) * product.width * ld, ld, begin == 0);
            });
        }
        if (!batch_.tokens) return;
        for (int m = 0; m < all; ++m) {
            T* to =
                to_.weights[product.weight] + int64_t(product.first_row + m) * product.columns + product.first_column;
            const bool blocks = product.heads > 1;
            const T* sum =
                sums.get() + int64_t(m) * ld + (blocks ? m % product.width / product.columns * product.columns : 0);
            for (int j = 0; j < (blocks ? product.columns : product.depth); ++j) to[j] += sum[j];
        }
        if (product.bias >= 0) sum_bias(product);
    }
    const T* source(const Product& product, int step, int row) const {
        if (product.source < 0) return rows_.x(step, row);
        const int space = layout_.space(product.source), at = layout_.offset[product.source];
        if (space == int(Space::before)) return states_before(step, row) + at;
        if (space == int(Space::after)) return states_after(step, row) + at;
        return kept(step, row) + at;
    }
    void sum_bias(const Product& product) {
        const int64_t stride = layout_.width(Space::grad);
        for (int segment = 0; segment < product.segments; ++segment) {
            const T* g = grad_.get() + layout_.offset[product.gradient + segment];
            T* to = to_.weights[product.bias] + product.bias_row + segment * product.width;
            for (int i = 0; i < product.width; i += lanes<T>) {
                Vec<T> sum[2] = {};
                int64_t token = 0;
                for (; token + 2 <= batch_.tokens; token += 2)
                    for (int h = 0; h < 2; ++h) sum[h] += load(g + (token + h) * stride + i);
                if (token < batch_.tokens) sum[0] += load(g + token * stride + i);
                const Vec<T> total = sum[0] + sum[1];
                for (int j = 0; j < std::min(lanes<T>, product.width - i); ++j) to[i + j] += total[j];
            }
        }
    }

    // The gradients of the input: through the products of the input, and where the program reads the input itself.
    void inputs() {
        const int width = program_.input, wide = round_up(width, lanes<T>);
        for (int64_t row = 0; row < batch_.size; ++row)
            for (int64_t step = batch_.length[row]; step < call_.steps; ++step)
                std::fill_n(to_.x.data + batch_.order[row] * to_.x.batch + step * to_.x.time, width, T(0));
        constexpr int64_t kTokens = 48;
        in_turn(int((batch_.tokens + kTokens - 1) / kTokens), threads_, [&](int item) {
            const int64_t first = item * kTokens;
            const int n = int(std::min(kTokens, batch_.tokens - first));
            Buffer<T> sums;
            sums.resize(int64_t(kTokens) * wide);
            const T* from[kTokens];
            T* to[kTokens];
            for (int i = 0; i < n; ++i) to[i] = sums.get() + i * wide;
            bool begun = false;
            for (size_t p = 0; p < program_.products.size(); ++p) {
                const Product& product = program_.products[p];
                if (product.source >= 0 || product.gradient < 0) continue;
                for (int i = 0; i < n; ++i)
                    from[i] = grad_.get() + (first + i) * layout_.width(Space::grad) + layout_.offset[product.gradient];
                rows_times(n, from, to, weights_.backward[p], begun ? Start::old : Start::zero);
                begun = true;
            }
            for (int i = 0; i < n; ++i) {
                if (!begun) std::fill_n(to[i], wide, T(0));
                const int64_t token = first + i;
                T* out = to_.x.data + batch_.order[row_of_[token]] * to_.x.batch + step_of_[token] * to_.x.time;
                std::copy_n(to[i], width, out);
                if (program_.dinput_place < 0) continue;
                const int each = width / program_.input_segments;
                for (int j = 0; j < width; ++j)
                    out[j] += dinput_.get()[token * layout_.width(Space::dinput) +
                                            layout_.offset[program_.dinput_place + j / each] + j % each];
            }
        });
    }
};

}  // namespace recurra::RECURRA_ISA
