// The functions of the engine for one instruction set. This file is compiled once per instruction set.
#include <chrono>
#include <stdexcept>

#include "attention.h"
#include "backward.h"
#include "export_gates.h"
#include "fingerprint.h"
#include "linear.h"
#include "masks.h"
#include "single_step.h"
#include "step_session.h"

#if defined(__AVX512F__)
#define RECURRA_REGISTER(v) "v"(v)
#elif defined(__x86_64__)
#define RECURRA_REGISTER(v) "x"(v)
#elif defined(__wasm__)
#define RECURRA_REGISTER(v) "r"(v)
#else
#define RECURRA_REGISTER(v) "w"(v)
#endif

namespace recurra::RECURRA_ISA {
namespace portable {
std::unique_ptr<StepSession<float>> open_int8(const Spec&, const std::vector<const float*>& weights);  // int8.cpp
}
namespace {

template <class T>
int64_t tape_size(const Spec& spec) {
    const Sizes<T> sizes(spec);
    const int64_t tokens = spec.steps * spec.batch,
                  carried = spec.batch * (sizes.outs + (sizes.lstm ? sizes.units : 0));
    const int64_t outputs = joined_apart(spec, sizes, 0) ? spec.layers * tokens * sizes.joined : 0;
    if (!spec.chunk) return spec.layers * sizes.directions * tokens * Workspace<T>::per_token(sizes) + outputs;
    return (spec.steps + spec.chunk - 1) / spec.chunk * spec.layers * sizes.directions * carried +
           (sizes.directions > 1 ? outputs : 0);
}

template <class T>
bool is_small(const Spec& spec) {
    return !spec.invariant && spec.steps * spec.batch <= direct_tokens<T>(Sizes<T>(spec).work(0));
}

template <class T>
void infer(const Spec& spec, const Inputs<T>& in, const Outputs<T>& out) {
    if (is_small<T>(spec) && spec.steps == 1 && spec.batch && !spec.bidirectional && !in.lengths)
        return SingleStep<T>(spec, in, out).run();
    const Batch batch(spec.batch, spec.steps, in.lengths);
    Weights<T> weights(spec, in.weights);
    Forward<T> forward(spec, batch, weights, in, &out, false);
    if (!forward.direct) weights.pack_forward();
    forward.pass(nullptr);
}

template <class T>
void forward(const Spec& spec, const Inputs<T>& in, const Outputs<T>& out, T* tape) {
    const Batch batch(spec.batch, spec.steps, in.lengths);
    Weights<T> weights(spec, in.weights);
    Forward<T> forward(spec, batch, weights, in, &out, false);
    if (!forward.direct) weights.pack_forward();
    spec.chunk ? forward.pass(tape) : forward.keep(tape);
}

template <class T>
void backward(const Spec& spec, const Inputs<T>& in, const Gradients<T>& to, const T* tape) {
    const Batch batch(spec.batch, spec.steps, in.lengths);
    Weights<T> weights(spec, in.weights);
    Backward<T>(spec, batch, weights, in, to).run(const_cast<T*>(tape));  // not written
}

template <class T>
bool finite(const Spec& spec, const std::vector<const T*>& weights) {
    Weights<T> all(spec, weights);
    all.check_finite();
    for (int layer = 0; layer < spec.layers; ++layer)
        for (int direction = 0; direction <= spec.bidirectional; ++direction)
            if (!all.at(layer, direction).finite) return false;
    return true;
}

template <class T>
class PackedStackOf final : public PackedStack<T> {
public:
    PackedStackOf(const Spec& spec, const std::vector<const T*>& weights)
        : weights_(spec, weights),
          products_(spec),
          print_(print(spec, weights)) {
        weights_.pack_forward();
    }
    bool fits(const Spec& spec, const std::vector<const T*>& weights) const override {
        return print(spec, weights) == print_;
    }
    void infer(const Spec& spec, const Inputs<T>& in, const Outputs<T>& out) const override {
        const Batch batch(spec.batch, spec.steps, in.lengths);
        Forward<T> forward(spec, batch, weights_, in, &out, true);
        const typename TableProducts<T>::Use use(in.entries.data ? &products_ : nullptr);
        if (use.mine() && products_.take(batch, in, weights_, spec.threads)) forward.products = &products_;
        forward.pass(nullptr);
    }

private:
    mutable Weights<T> weights_;  // not written
    mutable TableProducts<T> products_;
    const Vector<uint32_t> print_;

    static Vector<uint32_t> print(const Spec& spec, const std::vector<const T*>& weights) {
        const Sizes<T> sizes(spec);
        const int names = sizes.weights_per_direction(spec.bias), rows = sizes.products * sizes.hidden;
        Vector<Fingerprint::Piece> pieces;
        for (size_t i = 0; i < weights.size(); ++i) {
            const int layer = int(i) / names / sizes.directions, which = int(i) % names;
            const bool projects = sizes.projects && which + 1 == names;
            const int64_t numbers = projects ? int64_t(sizes.out) * sizes.hidden
                                             : int64_t(rows) * (which == 0   ? sizes.inputs(layer)
                                                                : which == 1 ? sizes.out
                                                                             : 1);
            pieces.push_back({weights[i], size_t(numbers) * sizeof(T) / 4});
        }
        return Fingerprint::of(pieces, spec.threads);
    }
};
template <class T>
std::unique_ptr<PackedStack<T>> pack(const Spec& spec, const std::vector<const T*>& weights) {
    return std::make_unique<PackedStackOf<T>>(spec, weights);
}
template <class T>
std::unique_ptr<StepSession<T>> open_session(const Spec& spec, const std::vector<const T*>& weights, StepWeights as) {
    if constexpr (is_bf16<T>) throw std::logic_error("a session rounds its weights itself");
    else {
        if constexpr (sizeof(T) == 4) {
            if (as == StepWeights::int8) return portable::open_int8(spec, weights);
            if (as == StepWeights::bf16) return std::make_unique<PackedStepSession<T, Bf16Matrix>>(spec, weights);
        }
        return std::make_unique<PackedStepSession<T, ExactMatrix<T>>>(spec, weights);
    }
}

// Multiplies each number by 0 or 1 / (1 - dropped). A product keeps NaN. `first` is the number of the first one in a
// larger tensor, which decides the mask.
void drop(const float* from, float* to, int64_t n, int64_t first, double dropped, uint64_t seed, int threads) {
    constexpr int wide = lanes<float>;
    const DropMask mask(dropped, seed);
    const int shares = threads_for(n, 1 << 15, threads);
    parallel(shares, [&](int share) {
        const int64_t begin = n / wide * share / shares * wide, end = n / wide * (share + 1) / shares * wide;
        for (int64_t i = begin; i < end; i += wide) store(to + i, load(from + i) * mask.at(first + i, 0.f));
        if (share + 1 < shares || end == n) return;
        const Vec<float> last = load_part(from + end, int(n - end)) * mask.at(first + end, 0.f);
        std::memcpy(to + end, &last, (n - end) * sizeof(float));
    });
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(RECURRA_AMX)
double tile_peak(double seconds) {
    const TileUse use;
    const double start = seconds_now();
    int64_t rounds = 0;
    for (; seconds_now() - start < seconds; rounds += 256)
        for (int k = 0; k < 256; ++k)
            tile_multiply<0, 4, 6>(), tile_multiply<1, 4, 7>(), tile_multiply<2, 5, 6>(), tile_multiply<3, 5, 7>();
    return double(rounds) * 4 * kTileSize * kTileWords * 4 / (seconds_now() - start);
}
#endif

template <class T>
double peak(double seconds) {
#if defined(RECURRA_AMX)
    if constexpr (in_tiles<T>) return tile_peak(seconds);
#endif
    constexpr int n = RECURRA_VECTOR_BYTES >= 64 ? 16 : 12;  // enough sums to hide the latency
    Vec<T> acc[n], factor = splat(T(0.999));
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) acc[i] = splat(T(i));
    asm volatile("" : "+" RECURRA_REGISTER(factor));
    const double start = seconds_now();
    int64_t rounds = 0;
    while (seconds_now() - start < seconds) {
        for (int k = 0; k < 1024; ++k)
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) {
                if constexpr (is_bf16<T>) acc[i] = add_products(acc[i], factor, kPairOfOnes);
                else acc[i] = acc[i] * factor + factor;
            }
        rounds += 1024;
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) asm volatile("" : "+" RECURRA_REGISTER(acc[i]));
    return double(rounds) * n * lanes<T> * (is_bf16<T> ? 4 : 2) / (seconds_now() - start);
}

template <class T>
double bandwidth(int64_t bytes, double seconds) {
    Buffer<T> data;
    constexpr int wide = 8 * lanes<T>;
    const int64_t n = std::max<int64_t>(bytes / int64_t(sizeof(T)) / wide * wide, wide);
    data.resize(n);
    std::fill_n(data.get(), n, T(1));
    Vec<T> acc[8] = {};
    const double start = seconds_now();
    int64_t rounds = 0;
    while (seconds_now() - start < seconds) {
        for (int64_t i = 0; i < n; i += wide)
            for (int v = 0; v < 8; ++v) acc[v] += load(data.get() + i + v * lanes<T>);
#pragma GCC unroll 8
        for (int v = 0; v < 8; ++v) asm volatile("" : "+" RECURRA_REGISTER(acc[v]));
        ++rounds;
    }
    return double(rounds) * n * sizeof(T) / (seconds_now() - start);
}

template <class T>
const Engine<T> engine = {lanes<T>,  tape_size<T>, infer<T>,        forward<T>,      backward<T>, export_gates<T>,
                          finite<T>, is_small<T>,  pack<T>,         open_session<T>, drop,        linear<T>,
                          outer<T>,  attend<T>,    attend_steps<T>, attend_back<T>,  peak<T>,     bandwidth<T>};

}  // namespace

const Engine<float>& floats() { return engine<float>; }
const Engine<double>& doubles() { return engine<double>; }

}  // namespace recurra::RECURRA_ISA
