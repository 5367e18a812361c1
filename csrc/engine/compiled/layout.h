// The layout of a program for one instruction set and type: where each place is, and which instructions run together.
#pragma once
#include "../gemm.h"
#include "../vector.h"
#include "program.h"

namespace recurra::RECURRA_ISA {

constexpr int kSpaces = int(Space::count);

// Pointers to the spaces of one row at one step.
template <class T>
struct Frame {
    T* at[kSpaces];
    int64_t sequence, step;  // they decide the masks
};

// Instructions on vectors, which run row by row, or one product, which runs for all rows.
struct Phase {
    int begin, end;
    bool product;
};

struct Stages {
    explicit Stages(const Code& code)
        : before(phases(code, 0, code.recurrent)),
          recurrent(phases(code, code.recurrent, code.after)),
          after(phases(code, code.after, int(code.all.size()))) {}
    const Vector<Phase> before, recurrent, after;

private:
    static Vector<Phase> phases(const Code& code, int begin, int end) {
        Vector<Phase> found;
        for (int i = begin; i < end; ++i) {
            const bool product = code.all[i].op >= int(Op::product);
            if (product || found.empty() || found.back().product) found.push_back({i, i + 1, product});
            else found.back().end = i + 1;
        }
        return found;
    }
};

// The units of a part: numbers [begin, end) of each vector of units.
struct Units {
    int begin, end;
};

template <class T>
class CellLayout {
public:
    explicit CellLayout(const CellProgram& program_)
        : program(program_),
          offset(program.places.size()),
          size(program.places.size()),
          forward(program.forward),
          backward(program.backward),
          by_unit(is_by_unit()) {
        std::fill_n(wide, kSpaces, 0);
        for (size_t i = 0; i < program.places.size(); ++i) {
            const Place& place = program.places[i];
            size[i] = round_up(std::max(place.width, 1), lanes<T>);
            offset[i] = wide[place.space];
            wide[place.space] += size[i];
        }
        // Strides of a power of two map rows to one set of the L1 cache.
        for (int& n : wide)
            if (n && n * sizeof(T) % 1024 == 0) n += lanes<T>;
    }

    const CellProgram& program;  // owned by the caller of `compile_floats`
    Vector<int> offset, size;    // by place
    int wide[kSpaces];           // numbers per row of each space
    const Stages forward, backward;
    const bool by_unit;  // whether no unit reads another one after the products of the input

    int width(Space space) const { return wide[int(space)]; }
    int space(int place) const { return program.places[place].space; }
    bool single(int place) const { return program.places[place].width == 0; }
    T* of(const Frame<T>& frame, int place) const { return frame.at[space(place)] + offset[place]; }
    int vectors(const Product& product) const {
        return product.segments * (round_up(product.width, lanes<T>) / lanes<T>);
    }

    // The tape: the states after each token, the kept values of each token, and the initial states of each row.
    int64_t tape_size(int64_t batch, int64_t steps) const {
        return steps * batch * (width(Space::after) + width(Space::kept)) + batch * width(Space::before);
    }

    // Copies the units of a state or an input between contiguous numbers and its places.
    void spread(int segments, int width, const T* from, T* row, int place, Units units) const {
        for (int s = 0; s < segments; ++s) {
            T* to = row + offset[place + s];
            const int begin = std::min(units.begin, width), end = std::min(units.end, width);
            if (from) std::copy(from + s * width + begin, from + s * width + end, to + begin);
            else std::fill(to + begin, to + end, T(0));
            if (units.end > width) std::fill(to + width, to + size[place + s], T(0));
        }
    }
    void collect(const StateShape& state, const T* row, int place, T* to, Units units) const {
        const int begin = std::min(units.begin, state.width), end = std::min(units.end, state.width);
        for (int s = 0; s < state.segments; ++s)
            std::copy(row + offset[place + s] + begin, row + offset[place + s] + end, to + s * state.width + begin);
    }
    void spread_input(const T* from, const Frame<T>& frame, Units units) const {
        if (program.input_place < 0) return;
        spread(program.input_segments, program.input / program.input_segments, from, frame.at[int(Space::input)],
               program.input_place, units);
    }

private:
    bool is_by_unit() const {
        for (const Code* code : {&program.forward, &program.backward})
            for (const Instruction& one : code->all)
                if (one.op == int(Op::sum) || one.op >= int(Op::product)) return false;
        const int hidden = program.states[0].width;
        for (const Place& place : program.places)
            if (place.width && place.width != hidden) return false;
        return hidden % (kStrip * lanes<T>) == 0;
    }
};

}  // namespace recurra::RECURRA_ISA
