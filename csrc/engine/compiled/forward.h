// The forward pass of a compiled cell.
//
// Each thread takes a part of the rows and computes all its steps. What does not depend on the recurrence is computed
// for some steps at once, so that it is in the cache when the recurrence reads it.
#pragma once
#include "../batch.h"
#include "interpreter.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

constexpr int kPartRows = 8;       // rows of a part. They decide the order of some sums, so threads do not decide them
constexpr int kCachedTokens = 96;  // tokens of a part that are computed at once

// A part of a pass: some rows, and, if no unit reads another one, some units.
struct Share {
    int part;
    RowRange rows;
    Units units;
};

// The division of a pass among threads, and where its rows are.
template <class T>
class CellRows {
public:
    const Batch& batch;
    const CellCall<T>& call;
    const int threads;

    CellRows(const CellLayout<T>& layout, const Batch& batch_, const CellCall<T>& call_)
        : batch(batch_),
          call(call_),
          threads(threads_of(layout)),
          units_(layout.program.states[0].width),
          unit_parts_(layout.by_unit && parts() < threads
                          ? std::min(units_ / (kStrip * lanes<T>), (threads + parts() - 1) / std::max(1, parts()))
                          : 1) {}

    int parts() const { return std::min(batch.rows, std::max(2, (batch.rows + kPartRows - 1) / kPartRows)); }
    int shares() const { return parts() * unit_parts_; }
    Share share(int i) const {
        constexpr int wide = kStrip * lanes<T>;
        const int part = i / unit_parts_, k = i % unit_parts_, strips = units_ / wide;
        const Units all{0, 1 << 30}, some{strips * k / unit_parts_ * wide, strips * (k + 1) / unit_parts_ * wide};
        return {part, batch.share_of({0, batch.rows}, part, parts()), unit_parts_ == 1 ? all : some};
    }
    int active(int step, RowRange rows) const { return batch.active_rows(step, rows).end - rows.begin; }
    int64_t token(int step, int row) const { return batch.first[step] + row; }
    const T* x(int step, int row) const { return call.x.data + batch.order[row] * call.x.batch + step * call.x.time; }
    // The step of number i in the order of the recurrence.
    int step(int i) const { return call.reverse ? batch.steps - 1 - i : i; }

    // Multiplies some rows. For a product whose results are computed by several parts, `units` are those of this part.
    void multiply(int rows, const T* const* from, T* const* to, const PackedMatrix<T>& by, const T* bias,
                  int segments = 1, Units units = {0, 1 << 30}) const {
        const int across = by.side * lanes<T>, each = by.strips() / segments;
        const bool all = units.end == 1 << 30;
        for (int s = 0; s < (all ? 1 : segments); ++s) {
            const int begin = all ? 0 : s * each + units.begin / across,
                      end = all ? by.strips() : s * each + units.end / across;
            if (batch.rows > 1 || rows > 1 || call.invariant) {
                rows_times(rows, from, to, by, begin, end, across, bias ? Start::bias : Start::zero, bias);
                continue;
            }
            const int first = begin * across, last = std::min(end * across, by.vectors * lanes<T>);
            if (bias) std::copy(bias + first, bias + last, to[0] + first);
            else std::fill(to[0] + first, to[0] + last, T(0));
            row_times(from[0], to[0], by, begin, end);
        }
    }

private:
    const int units_, unit_parts_;

    int threads_of(const CellLayout<T>& layout) const {
        int64_t work = layout.width(Space::scratch);
        for (const Product& product : layout.program.products)
            work += int64_t(product.segments) * product.width * product.depth;
        return threads_for(batch.tokens * work, kMicrosecond<T>, call.threads);
    }
};

// Where a tape has what; see `CellLayout::tape_size`.
template <class T>
struct CellTape {
    const CellLayout<T>& layout;
    const Batch& batch;
    T* const data;

    T* after(int64_t token) const { return data + token * layout.width(Space::after); }
    T* kept(int64_t token) const {
        return data + batch.tokens * layout.width(Space::after) + token * layout.width(Space::kept);
    }
    T* initial(int row) const { return kept(batch.tokens) + int64_t(row) * layout.width(Space::before); }
};

template <class T>
class CellForward {
public:
    CellForward(const CellLayout<T>& layout, const CellCall<T>& call, const Batch& batch, const CellWeights<T>& weights)
        : layout_(layout),
          program_(layout.program),
          call_(call),
          batch_(batch),
          rows_(layout, batch, call),
          tape_{layout, batch, call.tape},
          weights_(weights) {}

    void run() {
        const Units all{0, 1 << 30};
        for (int64_t row = batch_.rows; row < batch_.size; ++row) finish(int(row), nullptr, all);
        clear_padding();
        in_turn(rows_.shares(), rows_.threads, [&](int i) { walk(rows_.share(i)); });
    }

private:
    const CellLayout<T>& layout_;
    const CellProgram& program_;
    const CellCall<T>& call_;
    const Batch& batch_;
    const CellRows<T> rows_;
    const CellTape<T> tape_;
    const CellWeights<T>& weights_;

    struct Work {
        Buffer<T> scratch, tokens, states, input;
        Vector<T*> before;         // by row: its current states
        Vector<Frame<T>> frames;   // by token of some steps
        Vector<int> steps, first;  // step of each token; first token of each step
        Vector<const T*> from;
        Vector<T*> to;
    };

    void walk(const Share& share) const {
        const int count = share.rows.end - share.rows.begin, s = layout_.width(Space::before);
        if (!count) return;
        const int at_once = std::max(1, kCachedTokens / count), most = at_once * count;
        const Interpreter<T> code(layout_, program_.forward, share.units, call_.masks);
        Work work;
        work.scratch.resize(int64_t(std::max(count, code.kMostRows)) * layout_.width(Space::scratch) + lanes<T>);
        work.tokens.resize(int64_t(most) * layout_.width(Space::token) + 1);
        work.input.resize(int64_t(most) * layout_.width(Space::input) + 1);
        if (!call_.tape) work.states.resize(int64_t(2 * count) * s);
        work.before.resize(count), work.frames.resize(most), work.from.resize(most), work.to.resize(most);
        for (int i = 0; i < count; ++i) start(i, share, work);
        for (int i = 0; i < batch_.steps; i += at_once) {
            const int n = std::min(at_once, batch_.steps - i);
            place(i, n, share, work);
            project(share, work);
            for (const Phase& phase : layout_.forward.before)
                code.run(phase, work.frames.data(), int(work.steps.size()));
            for (int k = 0; k < n; ++k) step(k, code, share, work);
        }
        for (int i = 0; i < count; ++i) finish(share.rows.begin + i, work.before[i], share.units);
    }

    void start(int i, const Share& share, Work& work) const {
        const int row = share.rows.begin + i, s = layout_.width(Space::before);
        work.before[i] = call_.tape ? tape_.initial(row) : work.states.get() + int64_t(2 * i) * s;
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width;
            layout_.spread(state.segments, state.width,
                           call_.states[k] ? call_.states[k] + batch_.order[row] * width : nullptr, work.before[i],
                           state.before, share.units);
        }
    }

    // Sets the pointers of all tokens of the steps of number i … i + n - 1, except those of the states.
    void place(int i, int n, const Share& share, Work& work) const {
        const int scratch_rows = std::max(share.rows.end - share.rows.begin, Interpreter<T>::kMostRows);
        work.steps.clear(), work.first.clear();
        for (int k = 0; k < n; ++k) {
            const int step = rows_.step(i + k), active = rows_.active(step, share.rows);
            work.first.push_back(int(work.steps.size()));
            for (int r = 0; r < active; ++r) {
                const int token = int(work.steps.size()), row = share.rows.begin + r;
                const auto at = [&](const Buffer<T>& buffer, int index, Space space) {
                    return buffer.get() + int64_t(index) * layout_.width(space);
                };
                Frame<T>& frame = work.frames[token];
                std::fill_n(frame.at, kSpaces, nullptr);
                frame.at[int(Space::scratch)] = at(work.scratch, token % scratch_rows, Space::scratch);
                frame.at[int(Space::token)] = at(work.tokens, token, Space::token);
                frame.at[int(Space::input)] = at(work.input, token, Space::input);
                frame.at[int(Space::param)] = weights_.params.get();
                if (call_.tape) frame.at[int(Space::kept)] = tape_.kept(rows_.token(step, row));
                frame.sequence = call_.masks.first_row + batch_.order[row];
                frame.step = call_.masks.first_step + step;
                layout_.spread_input(rows_.x(step, row), frame, share.units);
                work.steps.push_back(step);
            }
        }
        work.first.push_back(int(work.steps.size()));
    }

    // Computes the products of the input.
    void project(const Share& share, Work& work) const {
        const int tokens = int(work.steps.size());
        for (size_t p = 0; p < program_.products.size(); ++p) {
            const Product& product = program_.products[p];
            if (product.source >= 0) continue;
            for (size_t k = 0; k + 1 < work.first.size(); ++k)
                for (int token = work.first[k]; token < work.first[k + 1]; ++token) {
                    work.from[token] = rows_.x(work.steps[token], share.rows.begin + token - work.first[k]);
                    work.to[token] = layout_.of(work.frames[token], product.result);
                }
            rows_.multiply(tokens, work.from.data(), work.to.data(), weights_.forward[p], weights_.bias[p].get(),
                           product.segments, share.units);
        }
    }

    void step(int k, const Interpreter<T>& code, const Share& share, Work& work) const {
        const int first = work.first[k], active = work.first[k + 1] - first;
        if (!active) return;
        const int step = work.steps[first];
        Frame<T>* frames = work.frames.data() + first;
        for (int r = 0; r < active; ++r) {
            frames[r].at[int(Space::before)] = work.before[r];
            frames[r].at[int(Space::after)] =
                call_.tape ? tape_.after(rows_.token(step, share.rows.begin + r)) : other_states(work, r);
        }
        for (const Phase& phase : layout_.forward.recurrent) {
            if (phase.product) multiply(program_.forward.all[phase.begin], frames, active, work);
            else code.run(phase, frames, active);
        }
        for (int r = 0; r < active; ++r) {
            work.before[r] = frames[r].at[int(Space::after)];
            layout_.collect(
                program_.states[0], work.before[r], program_.states[0].after,
                call_.out.data + batch_.order[share.rows.begin + r] * call_.out.batch + step * call_.out.time,
                share.units);
        }
    }
    // Without a tape, two sets of states of a row alternate.
    T* other_states(const Work& work, int r) const {
        const int s = layout_.width(Space::before);
        T* first = work.states.get() + int64_t(2 * r) * s;
        return work.before[r] == first ? first + s : first;
    }
    void multiply(const Instruction& code, const Frame<T>* frames, int rows, Work& work) const {
        for (int r = 0; r < rows; ++r) {
            work.from[r] = layout_.of(frames[r], code.a);
            work.to[r] = layout_.of(frames[r], code.to);
        }
        rows_.multiply(rows, work.from.data(), work.to.data(), weights_.forward[code.b], weights_.bias[code.b].get());
    }

    // Writes the final states of a row. An empty sequence passes its initial states through.
    void finish(int row, const T* states, Units units) const {
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const StateShape& state = program_.states[k];
            const int64_t width = int64_t(state.segments) * state.width, at = batch_.order[row] * width;
            T* to = call_.last[k] + at;
            if (states) layout_.collect(state, states, state.after, to, units);
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
