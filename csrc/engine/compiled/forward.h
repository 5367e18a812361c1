// The forward pass of a compiled cell.
//
// Each thread takes a part of the rows and computes all its steps. The products of the input are computed for some steps
// at once, so that they are in the cache when the recurrence reads them.
#pragma once
#include "../batch.h"
#include "interpreter.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

constexpr int kPartRows = 8;       // rows of a part. The parts decide the order of some sums: not by threads
constexpr int kCachedTokens = 96;  // tokens of a part whose input products are computed at once

// Where a row is in a pass.
template <class T>
struct CellRows {
    const Batch& batch;
    const CellCall<T>& call;

    int parts() const { return std::min(batch.rows, std::max(2, (batch.rows + kPartRows - 1) / kPartRows)); }
    RowRange part(int i) const { return batch.share_of({0, batch.rows}, i, parts()); }
    int active(int step, RowRange rows) const { return batch.active_rows(step, rows).end - rows.begin; }
    int64_t token(int step, int row) const { return batch.first[step] + row; }
    const T* x(int step, int row) const { return call.x.data + batch.order[row] * call.x.batch + step * call.x.time; }
    // The step of number i in the order of the recurrence.
    int step(int i) const { return call.reverse ? batch.steps - 1 - i : i; }
    int threads(const CellLayout<T>& layout) const {
        int64_t work = layout.width(Space::scratch);
        for (const Product& product : layout.program.products)
            work += int64_t(product.segments) * product.width * product.depth;
        return threads_for(batch.tokens * work, 1 << 16, call.threads);
    }
    // Runs a product of the input or of another value for some rows.
    void multiply(int rows, const T* const* from, T* const* to, const PackedMatrix<T>& by, const T* bias) const {
        const int across = by.side * lanes<T>;
        if (batch.rows == 1 && rows == 1 && !call.invariant) {
            if (bias) std::copy_n(bias, by.vectors * lanes<T>, to[0]);
            else std::fill_n(to[0], by.vectors * lanes<T>, T(0));
            return row_times(from[0], to[0], by, 0, by.strips());
        }
        rows_times(rows, from, to, by, 0, by.strips(), across, bias ? Start::bias : Start::zero, bias);
    }
};

template <class T>
class CellForward {
public:
    CellForward(const CellLayout<T>& layout, const CellCall<T>& call, const Batch& batch, const CellWeights<T>& weights)
        : layout_(layout),
          program_(layout.program),
          call_(call),
          batch_(batch),
          rows_{batch, call},
          weights_(weights),
          code_(layout, layout.program.forward) {}

    void run() {
        for (int64_t row = batch_.rows; row < batch_.size; ++row) finish(int(row), nullptr);
        clear_padding();
        in_turn(rows_.parts(), rows_.threads(layout_), [&](int part) { walk(rows_.part(part)); });
    }

private:
    const CellLayout<T>& layout_;
    const CellProgram& program_;
    const CellCall<T>& call_;
    const Batch& batch_;
    const CellRows<T> rows_;
    const CellWeights<T>& weights_;
    const Interpreter<T> code_;

    struct Work {
        Buffer<T> scratch, kept, tokens, states, input;
        Vector<Frame<T>> frames;
        Vector<const T*> from;
        Vector<T*> to;
    };

    void walk(RowRange rows) {
        const int count = rows.end - rows.begin;
        if (!count) return;
        const int s = layout_.width(Space::before), at_once = std::max(1, kCachedTokens / count);
        Work work;
        work.scratch.resize(int64_t(count) * layout_.width(Space::scratch) + lanes<T>);
        work.tokens.resize(int64_t(at_once) * count * layout_.width(Space::token) + 1);
        work.input.resize(int64_t(count) * layout_.width(Space::input) + 1);
        if (!call_.tape) {
            work.kept.resize(int64_t(count) * layout_.width(Space::kept) + 1);
            work.states.resize(int64_t(2 * count) * s);
        }
        work.frames.resize(count), work.from.resize(at_once * count), work.to.resize(at_once * count);
        for (int i = 0; i < count; ++i) start(i, rows.begin + i, work);
        for (int i = 0; i < batch_.steps; i += at_once) {
            const int n = std::min(at_once, batch_.steps - i);
            project(i, n, rows, work);
            for (int k = 0; k < n; ++k) step(rows_.step(i + k), k, rows, work);
        }
        for (int i = 0; i < count; ++i) finish(rows.begin + i, work.frames[i].at[int(Space::before)]);
    }

    // Sets the pointers of a row that stay, and its initial states.
    void start(int i, int row, Work& work) const {
        Frame<T>& frame = work.frames[i];
        const auto rows_of = [&](Buffer<T>& buffer, Space space) {
            return buffer.get() + int64_t(i) * layout_.width(space);
        };
        const int s = layout_.width(Space::before);
        std::fill_n(frame.at, kSpaces, nullptr);
        frame.at[int(Space::scratch)] = rows_of(work.scratch, Space::scratch);
        frame.at[int(Space::param)] = weights_.params.get();
        frame.at[int(Space::input)] = rows_of(work.input, Space::input);
        frame.at[int(Space::kept)] = call_.tape ? nullptr : rows_of(work.kept, Space::kept);
        T* initial = call_.tape ? initial_states() + int64_t(row) * s : work.states.get() + int64_t(2 * i) * s;
        frame.at[int(Space::before)] = initial;
        frame.at[int(Space::after)] = initial + s;  // without a tape the two alternate
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width;
            layout_.spread(state.segments, state.width,
                           call_.states[k] ? call_.states[k] + batch_.order[row] * width : nullptr, initial,
                           state.before);
        }
    }
    T* initial_states() const {
        return call_.tape + batch_.tokens * (layout_.width(Space::after) + layout_.width(Space::kept));
    }

    // Computes the products of the input for the steps of number i … i + n - 1.
    void project(int i, int n, RowRange rows, Work& work) const {
        const int count = rows.end - rows.begin;
        for (size_t p = 0; p < program_.products.size(); ++p) {
            const Product& product = program_.products[p];
            if (product.source >= 0) continue;
            const bool kept = layout_.space(product.result) == int(Space::kept) && call_.tape;
            int tokens = 0;
            for (int k = 0; k < n; ++k) {
                const int step = rows_.step(i + k), active = rows_.active(step, rows);
                for (int r = 0; r < active; ++r, ++tokens) {
                    T* row = kept ? kept_of(step, rows.begin + r) : token_of(k, r, count, work);
                    work.from[tokens] = rows_.x(step, rows.begin + r);
                    work.to[tokens] = row + layout_.offset[product.result];
                }
            }
            rows_.multiply(tokens, work.from.data(), work.to.data(), weights_.forward[p], weights_.bias[p].get());
        }
    }
    T* token_of(int k, int r, int count, Work& work) const {
        return work.tokens.get() + (int64_t(k) * count + r) * layout_.width(Space::token);
    }
    T* kept_of(int step, int row) const {
        return call_.tape + batch_.tokens * layout_.width(Space::after) +
               rows_.token(step, row) * layout_.width(Space::kept);
    }

    void step(int step, int k, RowRange rows, Work& work) const {
        const int active = rows_.active(step, rows), count = rows.end - rows.begin;
        for (int r = 0; r < active; ++r) {
            Frame<T>& frame = work.frames[r];
            const int row = rows.begin + r;
            frame.at[int(Space::token)] = token_of(k, r, count, work);
            if (call_.tape) {
                frame.at[int(Space::after)] = call_.tape + rows_.token(step, row) * layout_.width(Space::after);
                frame.at[int(Space::kept)] = kept_of(step, row);
            }
            layout_.spread_input(rows_.x(step, row), frame);
        }
        for (const Phase& phase : layout_.forward) {
            if (phase.product) multiply(program_.forward[phase.begin], active, work);
            else code_.run(phase, work.frames.data(), active);
        }
        for (int r = 0; r < active; ++r) {
            Frame<T>& frame = work.frames[r];
            layout_.collect(program_.states[0], frame.at[int(Space::after)], program_.states[0].after,
                            call_.out.data + batch_.order[rows.begin + r] * call_.out.batch + step * call_.out.time);
            std::swap(frame.at[int(Space::before)], frame.at[int(Space::after)]);
        }
    }
    void multiply(const Instruction& code, int rows, Work& work) const {
        for (int r = 0; r < rows; ++r) {
            work.from[r] = layout_.of(work.frames[r], code.a);
            work.to[r] = layout_.of(work.frames[r], code.to);
        }
        rows_.multiply(rows, work.from.data(), work.to.data(), weights_.forward[code.b], weights_.bias[code.b].get());
    }

    // Writes the final states of a row. An empty sequence passes its initial states through.
    void finish(int row, const T* states) const {
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width, at = batch_.order[row] * width;
            T* to = call_.last[k] + at;
            if (states) layout_.collect(state, states, state.after, to);
            else if (call_.states[k]) std::copy_n(call_.states[k] + at, width, to);
            else std::fill_n(to, width, T(0));
        }
    }
    void clear_padding() const {
        const int64_t width = int64_t(program_.states[0].segments) * program_.states[0].width;
        for (int64_t row = 0; row < batch_.size; ++row)
            for (int64_t step = batch_.length[row]; step < call_.steps; ++step)
                std::fill_n(call_.out.data + batch_.order[row] * call_.out.batch + step * call_.out.time, width, T(0));
    }
};

}  // namespace recurra::RECURRA_ISA
