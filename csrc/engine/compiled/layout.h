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
};

// Instructions on vectors, which run row by row, or one product, which runs for all rows.
struct Phase {
    int begin, end;
    bool product;
};

template <class T>
class CellLayout {
public:
    explicit CellLayout(const CellProgram& program_)
        : program(program_),
          offset(program.places.size()),
          size(program.places.size()),
          forward(phases(program.forward)),
          backward(phases(program.backward)) {
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
    Vector<Phase> forward, backward;

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

    // Copies a state or an input between contiguous numbers and its places.
    void spread(int segments, int width, const T* from, T* row, int place) const {
        for (int s = 0; s < segments; ++s) {
            T* to = row + offset[place + s];
            if (from) std::copy_n(from + s * width, width, to);
            else std::fill_n(to, width, T(0));
            std::fill(to + width, to + size[place + s], T(0));
        }
    }
    void collect(const StateShape& state, const T* row, int place, T* to) const {
        for (int s = 0; s < state.segments; ++s)
            std::copy_n(row + offset[place + s], state.width, to + s * state.width);
    }
    void spread_input(const T* from, const Frame<T>& frame) const {
        if (program.input_place < 0) return;
        spread(program.input_segments, program.input / program.input_segments, from, frame.at[int(Space::input)],
               program.input_place);
    }

private:
    static Vector<Phase> phases(const std::vector<Instruction>& of) {
        Vector<Phase> found;
        for (int i = 0; i < int(of.size()); ++i) {
            const bool product = of[i].op >= int(Op::product);
            if (product || found.empty() || found.back().product) found.push_back({i, i + 1, product});
            else found.back().end = i + 1;
        }
        return found;
    }
};

}  // namespace recurra::RECURRA_ISA
