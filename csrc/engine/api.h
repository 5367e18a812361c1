// The interface of the engine: the description of a call, its tensors, and the functions that compute it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace recurra {

enum class Cell { rnn_tanh, rnn_relu, lstm, gru };

struct Spec {
    Cell cell;
    int64_t steps, batch, input, hidden;
    int64_t projected;  // size of an LSTM's projected hidden state, 0 without projection
    int layers;
    bool bidirectional, bias;
    double dropout;  // between layers; 0 outside training
    uint64_t seed;
    int threads;
    int64_t chunk;      // steps whose values training stores at a time, 0 for all steps
    bool bf16;          // train with products of bfloat16 where the processor has them
    bool invariant;     // sums have the same order whatever the number of sequences and steps; one sequence is slower
    int64_t first_row;  // number of the first sequence in a larger batch, which decides the masks of dropout
};

template <class T>
struct View {  // a tensor (batch, time, features) with contiguous features; null for no tensor
    T* data;
    int64_t batch, time;  // strides in elements
};

// States are contiguous, (layers * directions, batch, size). Null initial states are zeros. Weights have torch's order.
template <class T>
struct Inputs {
    View<const T> x;
    const int64_t* lengths;
    std::vector<const T*> weights;
    const T *h0, *c0;
    bool finite;  // every weight_hh is known to be finite
    // If not null, x is a table with `table_rows` rows, and a step is the row with this number. For packed weights.
    View<const int64_t> entries = {};
    int64_t table_rows = 0;
};
template <class T>
struct Outputs {
    View<T> out;
    T *hn, *cn;
};
template <class T>
struct Gradients {  // gradients of the outputs, null for zeros; then those of the inputs, null if not needed
    View<const T> out;
    const T *hn, *cn;
    View<T> x;
    std::vector<T*> weights;  // empty if not needed
    T *h0, *c0;
};

// Attention pooling over the steps of each sequence; see attention.h.
template <class T>
struct Attention {
    View<const T> rows;
    const int64_t* lengths;
    int64_t batch, steps, features;
    const T *vector, *bias;
    T* weights;  // (batch, steps): written by `attend`, read by `attend_back`
    int threads;
};

// The product of rows with a weight matrix; see linear.h. `weight` is (columns, depth), with `across` (depth, columns).
// `bias` may be null.
template <class T>
struct Linear {
    const T* rows_of;
    int64_t stride;  // between rows
    int64_t rows, columns, depth;
    const T *weight, *bias;
    T* out;  // (rows, columns)
    int threads;
    bool across = false;
};

// A sum over tokens of outer products, out (rows, columns) = g' · x; see linear.h.
template <class T>
struct Outer {
    const T* g;
    int64_t g_stride;  // between tokens
    const T* x;
    int64_t x_stride;
    int64_t tokens, rows, columns;
    T* out;
    int threads;
};

// The packed weights of a stack, for many calls.
template <class T>
struct PackedStack {
    virtual ~PackedStack() = default;
    // Returns whether the weights have not changed since.
    virtual bool fits(const Spec&, const std::vector<const T*>& weights) const = 0;
    virtual void infer(const Spec&, const Inputs<T>&, const Outputs<T>&) const = 0;
};

// A unidirectional stack that computes one step per call and keeps its states.
template <class T>
struct StepSession {
    virtual ~StepSession() = default;
    virtual void reset() = 0;
    virtual void step(const T* x, T* y) = 0;  // (batch, input) to (batch, size)
    virtual void read_state(T* h, T* c) const = 0;
    virtual void write_state(const T* h, const T* c) = 0;
};

enum class StepWeights { exact, bf16, int8 };  // how a session stores its weights

// The functions of one instruction set.
template <class T>
struct Engine {
    int lanes;
    // Returns an upper bound of the numbers that training stores between forward and backward.
    int64_t (*tape_size)(const Spec&);
    void (*infer)(const Spec&, const Inputs<T>&, const Outputs<T>&);
    void (*forward)(const Spec&, const Inputs<T>&, const Outputs<T>&, T* tape);
    void (*backward)(const Spec&, const Inputs<T>&, const Gradients<T>&, const T* tape);
    // Copies stored gates and states.
    void (*export_gates)(const Spec&, const int64_t* lengths, const T* tape, const std::vector<T*>& to);
    // Returns whether every weight_hh is finite.
    bool (*finite)(const Spec&, const std::vector<const T*>& weights);
    // Returns whether the call is too small for packed weights.
    bool (*is_small)(const Spec&);
    std::unique_ptr<PackedStack<T>> (*pack)(const Spec&, const std::vector<const T*>& weights);
    std::unique_ptr<StepSession<T>> (*open_session)(const Spec&, const std::vector<const T*>& weights, StepWeights);
    // Dropout.
    void (*drop)(const float* from, float* to, int64_t n, int64_t first, double dropped, uint64_t seed, int threads);
    void (*linear)(const Linear<T>&);
    void (*outer)(const Outer<T>&);
    void (*attend)(const Attention<T>&, T* out);
    // The same in float64, one step after the other, for sequences whose steps arrive in several calls. `states` is
    // (batch, 2 + features), zeros before the first call; null for whole sequences.
    void (*attend_steps)(const Attention<T>&, double* states, T* out);
    // The results are contiguous and never null.
    void (*attend_back)(const Attention<T>&, const T* gout, T* grows, T* gvector, T* gbias);
    // Returns the operations per second of multiply-add on one thread.
    double (*peak)(double seconds);
    // Returns the bytes per second of repeated reads on one thread.
    double (*bandwidth)(int64_t bytes, double seconds);
};

#define RECURRA_DECLARE(isa)         \
    namespace isa {                  \
    const Engine<float>& floats();   \
    const Engine<double>& doubles(); \
    }
RECURRA_DECLARE(avx512)
RECURRA_DECLARE(avx512_bf16)
RECURRA_DECLARE(avx512_amx)
RECURRA_DECLARE(avx2)
RECURRA_DECLARE(baseline)
#undef RECURRA_DECLARE

}  // namespace recurra
