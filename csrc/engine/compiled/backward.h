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
          rows_(layout, batch, call),
          tape_{layout, batch, call.tape},
          weights_(layout, call.weights, call.threads) {}

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
        for (int64_t row = batch_.rows; row < batch_.size; ++row) finish(int(row), nullptr, {0, 1 << 30});
        in_turn(rows_.shares(), rows_.threads, [&](int i) { walk(rows_.share(i)); });
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
    const CellTape<T> tape_;
    CellWeights<T> weights_;
    Buffer<T> grad_, dinput_, dparam_;
    Vector<int> step_of_, row_of_;  // by token

    // ---- the walk back through time

    struct Work {
        Buffer<T> scratch, tokens, carried, input;
        Vector<T*> dafter;         // by row: the gradients of its current states
        Vector<Frame<T>> frames;   // by token of some steps
        Vector<int> steps, first;  // step of each token; first token of each step
        Vector<const T*> from;
        Vector<T*> to;
    };

    void walk(const Share& share) const {
        const int count = share.rows.end - share.rows.begin, s = layout_.width(Space::dafter);
        if (!count) return;
        const int at_once = std::max(1, kCachedTokens / count), most = at_once * count;
        const Interpreter<T> code(layout_, program_.backward, share.units, call_.masks);
        Work work;
        work.scratch.resize(int64_t(std::max(count, code.kMostRows)) * layout_.width(Space::scratch) + lanes<T>);
        work.tokens.resize(int64_t(most) * layout_.width(Space::dtoken) + 1);
        work.input.resize(int64_t(most) * layout_.width(Space::input) + 1);
        work.carried.resize(int64_t(2 * count) * s);
        work.dafter.resize(count), work.frames.resize(most), work.from.resize(count), work.to.resize(count);
        for (int i = 0; i < count; ++i) start(i, share, work);
        for (int i = batch_.steps; i > 0; i -= at_once) {
            const int n = std::min(at_once, i);
            place(i, n, share, work);
            const int tokens = int(work.steps.size());
            for (const Phase& phase : layout_.backward.before) code.run(phase, work.frames.data(), tokens);
            for (int k = 0; k < n; ++k) step(k, code, share, work);
            for (const Phase& phase : layout_.backward.after) code.run(phase, work.frames.data(), tokens);
        }
        for (int i = 0; i < count; ++i) finish(share.rows.begin + i, work.dafter[i], share.units);
    }

    void start(int i, const Share& share, Work& work) const {
        const int row = share.rows.begin + i;
        work.dafter[i] = work.carried.get() + int64_t(2 * i) * layout_.width(Space::dafter);
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width;
            layout_.spread(state.segments, state.width, to_.last[k] ? to_.last[k] + batch_.order[row] * width : nullptr,
                           work.dafter[i], state.dafter, share.units);
        }
    }

    T* states_before(int step, int row) const {
        const int previous = call_.reverse ? step + 1 : step - 1;
        return previous >= 0 && previous < batch_.length[row] ? tape_.after(rows_.token(previous, row))
                                                              : tape_.initial(row);
    }

    // Sets the pointers of all tokens of the steps of number i - 1 … i - n, except those of the gradients of states.
    void place(int i, int n, const Share& share, Work& work) const {
        const int scratch_rows = std::max(share.rows.end - share.rows.begin, Interpreter<T>::kMostRows);
        work.steps.clear(), work.first.clear();
        for (int k = 0; k < n; ++k) {
            const int step = rows_.step(i - 1 - k), active = rows_.active(step, share.rows);
            work.first.push_back(int(work.steps.size()));
            for (int r = 0; r < active; ++r) {
                const int index = int(work.steps.size()), row = share.rows.begin + r;
                const int64_t token = rows_.token(step, row);
                const auto at = [&](const Buffer<T>& buffer, int64_t number, Space space) {
                    return buffer.get() + number * layout_.width(space);
                };
                Frame<T>& frame = work.frames[index];
                std::fill_n(frame.at, kSpaces, nullptr);
                frame.at[int(Space::scratch)] = at(work.scratch, index % scratch_rows, Space::scratch);
                frame.at[int(Space::dtoken)] = at(work.tokens, index, Space::dtoken);
                frame.at[int(Space::input)] = at(work.input, index, Space::input);
                frame.at[int(Space::param)] = weights_.params.get();
                frame.at[int(Space::dparam)] = at(dparam_, share.part, Space::dparam);
                frame.at[int(Space::kept)] = tape_.kept(token);
                frame.at[int(Space::before)] = states_before(step, row);
                frame.at[int(Space::after)] = tape_.after(token);
                frame.at[int(Space::grad)] = at(grad_, token, Space::grad);
                frame.at[int(Space::dinput)] = at(dinput_, token, Space::dinput);
                layout_.spread_input(rows_.x(step, row), frame, share.units);
                work.steps.push_back(step);
            }
        }
        work.first.push_back(int(work.steps.size()));
    }

    void step(int k, const Interpreter<T>& code, const Share& share, Work& work) const {
        const int first = work.first[k], active = work.first[k + 1] - first, s = layout_.width(Space::dafter);
        if (!active) return;
        Frame<T>* frames = work.frames.data() + first;
        for (int r = 0; r < active; ++r) {
            T* own = work.carried.get() + int64_t(2 * r) * s;  // two sets of gradients alternate
            frames[r].at[int(Space::dafter)] = work.dafter[r];
            frames[r].at[int(Space::dbefore)] = own + (work.dafter[r] == own ? s : 0);
            if (to_.out.data) add_output(work.steps[first], share.rows.begin + r, frames[r], share.units);
        }
        for (const Phase& phase : layout_.backward.recurrent) {
            if (phase.product) multiply(program_.backward.all[phase.begin], frames, active, work);
            else code.run(phase, frames, active);
        }
        for (int r = 0; r < active; ++r) work.dafter[r] = frames[r].at[int(Space::dbefore)];
    }
    // The hidden state is also the output of the step.
    void add_output(int step, int row, const Frame<T>& frame, Units units) const {
        const StateShape& state = program_.states[0];
        const T* from = to_.out.data + batch_.order[row] * to_.out.batch + step * to_.out.time;
        const int end = std::min(units.end, state.width);
        for (int s = 0; s < state.segments; ++s, from += state.width) {
            T* to = layout_.of(frame, state.dafter + s);
            for (int i = units.begin; i < end; i += lanes<T>)
                store(to + i, load(to + i) + load_part(from + i, state.width - i));
        }
    }
    void multiply(const Instruction& code, const Frame<T>* frames, int rows, Work& work) const {
        for (int r = 0; r < rows; ++r) {
            work.from[r] = layout_.of(frames[r], code.a);
            work.to[r] = layout_.of(frames[r], code.to);
        }
        rows_.multiply(rows, work.from.data(), work.to.data(), weights_.backward[code.b], nullptr);
    }

    // Writes the gradients of the initial states of a row.
    void finish(int row, const T* carried, Units units) const {
        for (size_t k = 0; k < program_.states.size(); ++k) {
            if (to_.states.empty() || !to_.states[k]) continue;
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width, at = batch_.order[row] * width;
            T* to = to_.states[k] + at;
            if (carried) layout_.collect(state, carried, state.dafter, to, units);
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
        const int threads = threads_for(batch_.tokens * int64_t(all) * product.depth, kMicrosecond<T>, call_.threads);
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
        if (space == int(Space::after)) return tape_.after(rows_.token(step, row)) + at;
        return tape_.kept(rows_.token(step, row)) + at;
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
        in_turn(int((batch_.tokens + kTokens - 1) / kTokens), rows_.threads, [&](int item) {
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
