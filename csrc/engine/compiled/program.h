// The interface of the engine for compiled cells: the program of one time step, a call, and the functions that run it.
//
// Python traces the equations of a cell into a program (src/recurra/ops/native/compiled). A program works on values: vectors
// over the units of one row, and single numbers. A value has a place in one of the spaces. Each space is an array per
// row, per token, or for the whole layer.
//
// Instructions that do not depend on the recurrence run for many tokens at once, before or after it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "../api.h"

namespace recurra {

// `scratch`: per row, for a few instructions. `kept`: per token, stored for the backward pass. `token`: per token, for
// some steps: products of the input, and values of one stage that another one reads. `before`, `after`: states.
// `param`: weights and constants. `input`: the row of the input. The other spaces belong to the backward pass: `dtoken`
// is its `token`; gradients are `grad` of products, `dafter` and `dbefore` of states, `dinput` of the input, `dparam` of
// weights.
enum class Space : int {
    scratch,
    kept,
    token,
    before,
    after,
    param,
    input,
    grad,
    dafter,
    dbefore,
    dinput,
    dparam,
    dtoken,
    count
};

// Operations on whole vectors. src/recurra/ops/native/compiled/graph.py lists them in the same order.
enum class Op : int {
    move,
    add,
    sub,
    mul,
    div,
    fma,  // a * b + c
    neg,
    sigmoid,
    tanh,
    relu,
    exp,
    log,
    softplus,
    sqrt,
    abs,
    sign,
    min,
    max,
    greater,       // 1 if a > b, else 0
    where,         // b if a is not 0, else c
    dsigmoid,      // a * b * (1 - b)
    dtanh,         // a * (1 - b * b)
    chosen,        // a if b > c, 0 if b < c, half of a if both are equal
    sum,           // over the units; one number
    add_to,        // to += a
    clean,         // sets the numbers between the width and the end of the vectors to 0
    mask,          // random numbers: units from b on of mask a, whose width is c; for all steps the same if c < 0
    product,       // the product with number b of a
    product_back,  // its gradient: `a` is the first place of the gradients of its results
};

struct Place {
    int space, width;  // width 0: one number, equal for all units
};
struct Instruction {
    int op, to, a, b, c;  // places; -1 for none
};
// The instructions of a pass in three stages: for all tokens before the recurrence, step by step, and afterwards.
struct Code {
    std::vector<Instruction> all;
    int recurrent = 0, after = 0;  // first instructions of the second and third stage
};

// A product with rows [first_row, first_row + segments * width) and columns [first_column, first_column + depth) of a
// weight. Its results are `segments` consecutive places. Without a source place it is a product of the input.
struct Product {
    int weight, columns;  // number of the weight, and its number of columns
    int first_row, segments, width, first_column, depth;
    int bias, bias_row;            // number of the weight that is added, or -1; its first element
    int result, source, gradient;  // first places; gradient -1 if nothing needs it
    int heads;                     // diagonal blocks of the matrix. If there are several, `columns` is the width of one
};
struct Param {
    int weight, first, place, gradient;  // place of the gradient, or -1
};
struct Constant {
    double value;
    int place;
};
struct StateShape {  // consecutive places in `before`, `after`, `dbefore` and `dafter`
    int before, after, dafter, dbefore, segments, width;
};

struct CellProgram {
    std::vector<Place> places;
    Code forward, backward;
    std::vector<Product> products;
    std::vector<Param> params;
    std::vector<Constant> constants;
    std::vector<StateShape> states;
    // Size of the input; its first place and that of its gradient, or -1; number of its places.
    int input, input_place, dinput_place, input_segments;
    std::vector<int64_t> weight_sizes;  // numbers of each weight
};

// A random mask of a call: 0 with a probability, otherwise its inverse; see masks.h.
struct MaskDraw {
    uint64_t seed;
    double dropped;
};
// The masks of a call, and where its tokens are in the larger batch and sequences that decide the numbers.
struct Masks {
    std::vector<MaskDraw> draws;
    int64_t first_row = 0, first_step = 0, steps = 0;
};

// One layer in one direction. States are (batch, size). Null initial states are zeros.
template <class T>
struct CellCall {
    int64_t batch, steps;
    bool reverse, invariant;
    int threads;
    View<const T> x;
    const int64_t* lengths;
    std::vector<const T*> weights, states;
    View<T> out;           // zeros are written beyond the length of a sequence
    std::vector<T*> last;  // final states
    T* tape;               // null without a backward pass
    Masks masks{};
};
template <class T>
struct CellGradients {  // null for zeros, or if not needed
    View<const T> out;
    std::vector<const T*> last;
    View<T> x;
    std::vector<T*> weights, states;  // `weights` is empty if not needed; it is overwritten
};

// Packed weights of one layer in one direction, for many calls.
struct CellPack {
    virtual ~CellPack() = default;
};

template <class T>
struct CompiledCell {
    virtual ~CompiledCell() = default;
    virtual int64_t tape_size(int64_t batch, int64_t steps) const = 0;
    virtual std::unique_ptr<CellPack> pack(const std::vector<const T*>& weights, int threads) const = 0;
    // Returns whether the weights have not changed since.
    virtual bool fits(const CellPack&, const std::vector<const T*>& weights, int threads) const = 0;
    // Without `pack`, the weights are packed for this call.
    virtual void forward(const CellCall<T>&, const CellPack* pack) const = 0;
    virtual void backward(const CellCall<T>&, const CellGradients<T>&) const = 0;
};

// The program must live as long as the result.
#define RECURRA_DECLARE(isa)                                                   \
    namespace isa {                                                            \
    std::unique_ptr<CompiledCell<float>> compile_floats(const CellProgram&);   \
    std::unique_ptr<CompiledCell<double>> compile_doubles(const CellProgram&); \
    }
RECURRA_DECLARE(avx512)
RECURRA_DECLARE(avx2)
RECURRA_DECLARE(baseline)
#undef RECURRA_DECLARE

}  // namespace recurra
