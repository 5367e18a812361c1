// What the bindings know of the engine: a description of a call, and the functions that serve it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace recurra {

enum class Cell { rnn_tanh, rnn_relu, lstm, gru };

struct Spec {
    Cell cell;
    int64_t steps, batch, input, hidden, projected;  // projected: size of an LSTM's projected hidden state, 0 for none
    int layers;
    bool bidirectional, bias;
    double dropout;  // between layers; 0 outside training
    uint64_t seed;
    int threads;
    int64_t chunk;  // for training: steps that are stored at a time, 0 for all
    bool bf16;      // for training: products of bfloat16 where the processor has them
};

template <class T>
struct View {  // a tensor (batch, time, features) with contiguous features; null for none
    T* data;
    int64_t batch, time;  // strides in elements
};

// States are (layers * directions, batch, size), contiguous; null initial states are zeros. Weights as torch orders them.
template <class T>
struct Inputs {
    View<const T> x;
    const int64_t* lengths;
    std::vector<const T*> weights;
    const T *h0, *c0;
    bool finite;  // every weight_hh is known to contain only finite numbers
};
template <class T>
struct Outputs {
    View<T> out;
    T *hn, *cn;
};
template <class T>
struct Gradients {  // of the outputs, null for zeros; and of the inputs, null where not wanted
    View<const T> out;
    const T *hn, *cn;
    View<T> x;
    std::vector<T*> weights;  // empty, or all
    T *h0, *c0;
};

// Attention over the steps of each sequence, see attend.h.
template <class T>
struct Attention {
    View<const T> rows;
    const int64_t* lengths;
    int64_t batch, steps, features;
    const T *vector, *bias;
    T* weights;  // (batch, steps): what forward leaves to backward
    int threads;
};

// Weights packed for many calls.
template <class T>
struct PackedStack {
    virtual ~PackedStack() = default;
    virtual bool fits(const Spec&, const std::vector<const T*>& weights) const = 0;  // whether they are still the same
    virtual void infer(const Spec&, const Inputs<T>&, const Outputs<T>&) const = 0;
};

// A stack in one direction that runs step by step and keeps its states.
template <class T>
struct StepSession {
    virtual ~StepSession() = default;
    virtual void reset() = 0;
    virtual void step(const T* x, T* y) = 0;  // (batch, input) to (batch, size)
    virtual void read_state(T* h, T* c) const = 0;
    virtual void write_state(const T* h, const T* c) = 0;
};

// One per instruction set.
template <class T>
struct Engine {
    int lanes;
    int64_t (*tape_size)(const Spec&);  // numbers that training keeps between forward and backward, at most
    void (*infer)(const Spec&, const Inputs<T>&, const Outputs<T>&);
    void (*forward)(const Spec&, const Inputs<T>&, const Outputs<T>&, T* tape);
    void (*backward)(const Spec&, const Inputs<T>&, const Gradients<T>&, const T* tape);
    void (*export_gates)(const Spec&, const int64_t* lengths, const T* tape,
                         const std::vector<T*>& to);  // gates and states, stored
    bool (*finite)(const Spec&,
                   const std::vector<const T*>& weights);  // whether every weight_hh contains only finite numbers
    bool (*is_small)(const Spec&);                         // so little work that packing weights would not pay
    std::unique_ptr<PackedStack<T>> (*pack)(const Spec&, const std::vector<const T*>& weights);
    std::unique_ptr<StepSession<T>> (*open_session)(const Spec&, const std::vector<const T*>& weights, bool bf16);
    void (*drop)(const float* from, float* to, int64_t n, double dropped, uint64_t seed, int threads);  // dropout
    void (*attend)(const Attention<T>&, T* out);
    void (*attend_back)(const Attention<T>&, const T* gout, T* grows, T* gvector,
                        T* gbias);                       // all are wanted, contiguous
    double (*peak)(double seconds);                      // operations per second of multiply-add, one thread
    double (*bandwidth)(int64_t bytes, double seconds);  // bytes per second read again and again, one thread
};

#define RECURRA_DECLARE(isa)         \
    namespace isa {                  \
    const Engine<float>& floats();   \
    const Engine<double>& doubles(); \
    }
RECURRA_DECLARE(avx512)
RECURRA_DECLARE(avx512_bf16)
RECURRA_DECLARE(avx2)
RECURRA_DECLARE(baseline)
#undef RECURRA_DECLARE

}  // namespace recurra
