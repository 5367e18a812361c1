// Runs the instructions of a program for some rows at one step.
#pragma once
#include "../masks.h"
#include "layout.h"
#include "math.h"

namespace recurra::RECURRA_ISA {

template <class T>
class Interpreter {
public:
    Interpreter(const CellLayout<T>& layout, const Code& code, Units units, const Masks& masks)
        : layout_(layout),
          code_(code.all),
          units_(units),
          masks_(masks) {}

    static constexpr int kMostRows = 8;  // rows of a block

    // Runs instructions on vectors. A block of rows runs each instruction before the next one: its values stay in the
    // cache, and choosing an instruction costs little.
    void run(const Phase& phase, const Frame<T>* frames, int rows) const {
        constexpr int64_t kCache = 16384;  // bytes of scratch in the L1 cache
        const int64_t bytes = int64_t(layout_.width(Space::scratch)) * sizeof(T);
        const int block = int(std::clamp<int64_t>(kCache / std::max<int64_t>(bytes, 1), 1, kMostRows));
        for (int row = 0; row < rows; row += block)
            for (int i = phase.begin; i < phase.end; ++i) step(code_[i], frames + row, std::min(block, rows - row));
    }

private:
    const CellLayout<T>& layout_;
    const std::vector<Instruction>& code_;
    const Units units_;
    const Masks& masks_;

    using V = Vec<T>;

    struct Operand {
        int space, offset, stride;  // stride 0: one number for all units
        const T* of(const Frame<T>& frame) const { return frame.at[space] + offset; }
    };
    // The numbers of a place that this part computes.
    Units range(int place) const {
        if (layout_.single(place)) return {0, lanes<T>};
        return {std::min(units_.begin, layout_.size[place]), std::min(units_.end, layout_.size[place])};
    }
    Operand operand(int place) const {
        if (place < 0) return {int(Space::scratch), 0, 0};
        return {layout_.space(place), layout_.offset[place], layout_.single(place) ? 0 : 1};
    }

    template <class F>
    inline __attribute__((always_inline)) void each(const Instruction& code, const Frame<T>* frames, int rows,
                                                    F f) const {
        const Operand a = operand(code.a), b = operand(code.b), c = operand(code.c), to = operand(code.to);
        const auto [begin, end] = range(code.to);
        for (int row = 0; row < rows; ++row) {
            const T *x = a.of(frames[row]), *y = b.of(frames[row]), *z = c.of(frames[row]);
            T* out = frames[row].at[to.space] + to.offset;
            for (int i = begin; i < end; i += lanes<T>)
                store(out + i, f(out + i, x + i * a.stride, y + i * b.stride, z + i * c.stride));
        }
    }
    template <class F>
    inline __attribute__((always_inline)) void one(const Instruction& code, const Frame<T>* frames, int rows,
                                                   F f) const {
        each(code, frames, rows, [&](T*, const T* a, const T*, const T*) { return f(load(a)); });
    }
    template <class F>
    inline __attribute__((always_inline)) void two(const Instruction& code, const Frame<T>* frames, int rows,
                                                   F f) const {
        each(code, frames, rows, [&](T*, const T* a, const T* b, const T*) { return f(load(a), load(b)); });
    }
    template <class F>
    inline __attribute__((always_inline)) void three(const Instruction& code, const Frame<T>* frames, int rows,
                                                     F f) const {
        each(code, frames, rows, [&](T*, const T* a, const T* b, const T* c) { return f(load(a), load(b), load(c)); });
    }

    void step(const Instruction& code, const Frame<T>* frames, int rows) const {
        const V nil{}, unit = splat(T(1));
        switch (Op(code.op)) {
            case Op::move: return one(code, frames, rows, [](V a) { return a; });
            case Op::add: return two(code, frames, rows, [](V a, V b) { return a + b; });
            case Op::sub: return two(code, frames, rows, [](V a, V b) { return a - b; });
            case Op::mul: return two(code, frames, rows, [](V a, V b) { return a * b; });
            case Op::div: return two(code, frames, rows, [](V a, V b) { return a / b; });
            case Op::fma: return three(code, frames, rows, [](V a, V b, V c) { return a * b + c; });
            case Op::neg: return one(code, frames, rows, [](V a) { return -a; });
            case Op::sigmoid: return one(code, frames, rows, [](V a) { return sigmoid(a); });
            case Op::tanh: return tanh_of(code, frames, rows);
            case Op::relu: return one(code, frames, rows, [&](V a) { return a < T(0) ? nil : a; });
            case Op::exp: return one(code, frames, rows, [](V a) { return exp(a); });
            case Op::log: return one(code, frames, rows, [](V a) { return log(a); });
            case Op::softplus: return one(code, frames, rows, [](V a) { return softplus<T>(a); });
            case Op::sqrt: return one(code, frames, rows, [](V a) { return sqrt(a); });
            case Op::abs: return one(code, frames, rows, [](V a) { return absolute<T>(a); });
            case Op::sign: return one(code, frames, rows, [&](V a) { return a > T(0) ? unit : a < T(0) ? -unit : a; });
            // NaN in one of the two gives NaN, as in torch
            case Op::min: return two(code, frames, rows, [](V a, V b) { return a == a ? (a < b ? a : b) : a; });
            case Op::max: return two(code, frames, rows, [](V a, V b) { return a == a ? (a > b ? a : b) : a; });
            case Op::greater: return two(code, frames, rows, [&](V a, V b) { return a > b ? unit : nil; });
            case Op::where: return three(code, frames, rows, [](V a, V b, V c) { return a != T(0) ? b : c; });
            case Op::dsigmoid: return two(code, frames, rows, [&](V a, V b) { return a * b * (unit - b); });
            case Op::dtanh: return two(code, frames, rows, [&](V a, V b) { return a * (unit - b * b); });
            case Op::chosen:
                return three(code, frames, rows, [&](V a, V b, V c) { return b > c ? a : b < c ? nil : a * T(0.5); });
            case Op::sum: return sum(code, frames, rows);
            case Op::add_to:
                return each(code, frames, rows,
                            [](T* to, const T* a, const T*, const T*) { return load(to) + load(a); });
            case Op::clean: return clean(code, frames, rows);
            case Op::mask: return mask(code, frames, rows);
            case Op::product:
            case Op::product_back: return;  // run by the passes
        }
    }

    void tanh_of(const Instruction& code, const Frame<T>* frames, int rows) const {
        const auto [begin, end] = range(code.to);
        if (layout_.single(code.a)) return one(code, frames, rows, [](V a) { return tanh(a); });
        constexpr int kTogether = 4;  // one vector alone would wait for its own results
        for (int row = 0; row < rows; ++row) {
            const T* from = layout_.of(frames[row], code.a);
            T* to = layout_.of(frames[row], code.to);
            int i = begin;
            for (; i + kTogether * lanes<T> <= end; i += kTogether * lanes<T>) {
                V x[kTogether];
                for (int v = 0; v < kTogether; ++v) x[v] = load(from + i + v * lanes<T>);
                tanh(x);
                for (int v = 0; v < kTogether; ++v) store(to + i + v * lanes<T>, x[v]);
            }
            for (; i < end; i += lanes<T>) store(to + i, tanh(load(from + i)));
        }
    }
    void sum(const Instruction& code, const Frame<T>* frames, int rows) const {
        const int n = layout_.program.places[code.a].width;
        for (int row = 0; row < rows; ++row) {
            const T* from = layout_.of(frames[row], code.a);
            V acc[2] = {};
            int i = 0;
            for (; i + 2 * lanes<T> <= n; i += 2 * lanes<T>)
                acc[0] += load(from + i), acc[1] += load(from + i + lanes<T>);
            for (; i < n; i += lanes<T>) acc[0] += load_part(from + i, n - i);
            const V both = acc[0] + acc[1];
            T total = 0;
            for (int j = 0; j < lanes<T>; ++j) total += both[j];
            store(layout_.of(frames[row], code.to), splat(total));
        }
    }
    void mask(const Instruction& code, const Frame<T>* frames, int rows) const {
        const DropMask mask(masks_.draws[code.a].dropped, masks_.draws[code.a].seed);
        const auto [begin, end] = range(code.to);
        for (int row = 0; row < rows; ++row) {
            const auto& [at, sequence, step] = frames[row];
            const int64_t first =
                (code.c < 0 ? sequence * -code.c : (sequence * masks_.steps + step) * code.c) + code.b;
            T* to = layout_.of(frames[row], code.to);
            for (int i = begin; i < end; i += lanes<T>) store(to + i, mask.at(first + i, T()));
        }
    }
    void clean(const Instruction& code, const Frame<T>* frames, int rows) const {
        const int from = layout_.program.places[code.to].width, n = layout_.size[code.to];
        if (from == n) return;
        for (int row = 0; row < rows; ++row) {
            T* to = layout_.of(frames[row], code.to);
            std::fill(to + from, to + n, T(0));
        }
    }
};

}  // namespace recurra::RECURRA_ISA
