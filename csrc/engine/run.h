// What the bindings know of the engine: a description of a stack, and one run of it forward and backward.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace recurra {

enum class Cell { rnn_tanh, rnn_relu, lstm, gru };

struct Spec {
    Cell cell;
    int64_t steps, batch, input, hidden;
    int layers;
    bool bidirectional, bias;
    double dropout;  // between layers; 0 outside training
    uint64_t seed;
    int threads;
};

template <class T>
struct View {  // a tensor (batch, time, features) with contiguous features; null for none
    T* data;
    int64_t batch, time;  // strides in elements
};

template <class T>
struct Run {
    using Flat = std::vector<const T*>;
    virtual ~Run() = default;
    // States are (layers * directions, batch, hidden), contiguous; null initial states are zeros.
    virtual void forward(View<const T> x, const int64_t* lengths, const Flat& weights, const T* h0, const T* c0,
                         View<T> out, T* hn, T* cn) = 0;
    // Null gradients of outputs are zeros; null results are not wanted.
    virtual void backward(const Flat& weights, View<const T> gout, const T* ghn, const T* gcn, View<T> gx,
                          const std::vector<T*>& gweights, T* gh0, T* gc0) = 0;
};

// One per instruction set: `keep` stores what backward needs.
#define RECURRA_DECLARE(isa)                                                  \
    namespace isa {                                                           \
    std::unique_ptr<Run<float>> make_float(const Spec&, bool keep);           \
    std::unique_ptr<Run<double>> make_double(const Spec&, bool keep);         \
    }
RECURRA_DECLARE(avx512)
RECURRA_DECLARE(avx2)
RECURRA_DECLARE(baseline)
#undef RECURRA_DECLARE

}  // namespace recurra
