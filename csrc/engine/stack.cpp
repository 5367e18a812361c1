// The engine as the bindings see it. Compiled once per instruction set.
#include <chrono>
#include <stdexcept>

#include "attend.h"
#include "backward.h"
#include "fingerprint.h"
#include "look.h"
#include "session.h"
#include "step.h"

#if defined(__AVX512F__)
#define RECURRA_REGISTER(v) "v"(v)
#elif defined(__x86_64__)
#define RECURRA_REGISTER(v) "x"(v)
#else
#define RECURRA_REGISTER(v) "w"(v)
#endif

namespace recurra::RECURRA_ISA {
namespace {

template <class T>
int64_t tape_size(const Spec& s) {
    const Sizes<T> z(s);
    const int64_t tokens = s.steps * s.batch, carried = s.batch * (z.outs + (z.lstm ? z.units : 0));
    const int64_t outputs = joined_apart(s, z, 0) ? s.layers * tokens * z.joined : 0;
    if (!s.chunk) return s.layers * z.directions * tokens * Tape<T>::per_token(z) + outputs;
    return (s.steps + s.chunk - 1) / s.chunk * s.layers * z.directions * carried + (z.directions > 1 ? outputs : 0);
}

template <class T>
void infer(const Spec& s, const Inputs<T>& in, const Outputs<T>& out) {
    if (s.steps == 1 && s.batch && s.batch <= kDirect && !s.bidirectional && !in.lengths)
        return Step<T>(s, in, out).run();
    const Batch batch(s.batch, s.steps, in.lengths);
    Weights<T> weights(s, in.weights);
    Forward<T> forward(s, batch, weights, in, &out, false);
    if (!forward.direct) weights.pack_forward();
    forward.pass(nullptr);
}

template <class T>
void forward(const Spec& s, const Inputs<T>& in, const Outputs<T>& out, T* tape) {
    const Batch batch(s.batch, s.steps, in.lengths);
    Weights<T> weights(s, in.weights);
    Forward<T> forward(s, batch, weights, in, &out, false);
    if (!forward.direct) weights.pack_forward();
    s.chunk ? forward.pass(tape) : forward.keep(tape);
}

template <class T>
void backward(const Spec& s, const Inputs<T>& in, const Gradients<T>& to, const T* tape) {
    const Batch batch(s.batch, s.steps, in.lengths);
    Weights<T> weights(s, in.weights);
    Backward<T>(s, batch, weights, in, to).run(const_cast<T*>(tape));  // only read
}

template <class T>
bool finite(const Spec& s, const std::vector<const T*>& weights) {
    Weights<T> all(s, weights);
    all.check_finite();
    for (int l = 0; l < s.layers; ++l)
        for (int d = 0; d <= s.bidirectional; ++d)
            if (!all.at(l, d).finite) return false;
    return true;
}

template <class T>
bool few(const Spec& s) {
    return s.steps * s.batch <= kDirect;
}

template <class T>
class Packed final : public Ready<T> {
public:
    Packed(const Spec& s, const std::vector<const T*>& weights) : weights_(s, weights), print_(print(s, weights)) {
        weights_.pack_forward();
    }
    bool fits(const Spec& s, const std::vector<const T*>& weights) const override {
        return print(s, weights) == print_;
    }
    void infer(const Spec& s, const Inputs<T>& in, const Outputs<T>& out) const override {
        const Batch batch(s.batch, s.steps, in.lengths);
        Forward<T>(s, batch, weights_, in, &out, true).pass(nullptr);
    }

private:
    mutable Weights<T> weights_;  // only read
    const std::vector<uint32_t> print_;

    static std::vector<uint32_t> print(const Spec& s, const std::vector<const T*>& weights) {
        const Sizes<T> z(s);
        const int names = 2 + (s.bias ? 2 : 0) + (z.projects ? 1 : 0), rows = z.products * z.hidden;
        std::vector<Fingerprint::Piece> pieces;
        for (size_t i = 0; i < weights.size(); ++i) {
            const int layer = int(i) / names / z.directions, which = int(i) % names;
            const bool projects = z.projects && which + 1 == names;
            const int64_t numbers = projects ? int64_t(z.out) * z.hidden
                                             : int64_t(rows) * (which == 0   ? z.inputs(layer)
                                                                : which == 1 ? z.out
                                                                             : 1);
            pieces.push_back({weights[i], size_t(numbers) * sizeof(T) / 4});
        }
        return Fingerprint::of(pieces, s.threads);
    }
};
template <class T>
std::unique_ptr<Ready<T>> ready(const Spec& s, const std::vector<const T*>& weights) {
    return std::make_unique<Packed<T>>(s, weights);
}
template <class T>
std::unique_ptr<Steps<T>> steps(const Spec& s, const std::vector<const T*>& weights, bool half) {
    if constexpr (pairs<T>) throw std::logic_error("a session rounds its weights itself");
    else return std::make_unique<Session<T>>(s, weights, half);
}

typedef uint32_t Words __attribute__((vector_size(RECURRA_VECTOR_BYTES)));

// Numbers of 32 bits for neighbouring places, of which `at` is the first, by a hash of the seed and the place.
inline Words draw(Words lane, int64_t at, uint64_t seed) {
    Words x = (lane + uint32_t(at)) ^ uint32_t(seed);
    for (uint32_t factor : {0x7feb352du, 0x846ca68bu}) x = (x ^ x >> 16) * factor, x ^= x >> 15;
    x += uint32_t(seed >> 32) ^ uint32_t(at >> 32);
    for (uint32_t factor : {0x7feb352du, 0x846ca68bu}) x = (x ^ x >> 16) * factor, x ^= x >> 15;
    return x;
}

// Every number times 0 or 1 / (1 - dropped). A product, so that what is not a number stays none.
void drop(const float* from, float* to, int64_t n, double dropped, uint64_t seed, int threads) {
    constexpr int wide = lanes<float>;
    const uint32_t limit = uint32_t(std::min(dropped * 0x1p32, 0x1p32 - 1));
    const Vec<float> zero{}, scale = splat(dropped < 1 ? float(1 / (1 - dropped)) : 0.f);
    Words lane;
    for (int i = 0; i < wide; ++i) lane[i] = uint32_t(i);
    const int shares = int(std::clamp<int64_t>(n >> 15, 1, threads));
    parallel(shares, [&](int share) {
        const int64_t begin = n / wide * share / shares * wide, end = n / wide * (share + 1) / shares * wide;
        for (int64_t i = begin; i < end; i += wide)
            store(to + i, load(from + i) * (draw(lane, i, seed) < limit ? zero : scale));
        if (share + 1 < shares || end == n) return;
        const Vec<float> last = load_part(from + end, int(n - end)) * (draw(lane, end, seed) < limit ? zero : scale);
        std::memcpy(to + end, &last, (n - end) * sizeof(float));
    });
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
double peak(double seconds) {
    constexpr int n = RECURRA_VECTOR_BYTES >= 64 ? 16 : 12;  // enough sums that none waits for the one before
    Vec<T> acc[n], factor = splat(T(0.999));
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) acc[i] = splat(T(i));
    asm volatile("" : "+" RECURRA_REGISTER(factor));
    const double start = seconds_now();
    int64_t rounds = 0;
    while (seconds_now() - start < seconds) {
        for (int k = 0; k < 4096; ++k)
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) acc[i] = acc[i] * factor + factor;
        rounds += 4096;
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) asm volatile("" : "+" RECURRA_REGISTER(acc[i]));
    return double(rounds) * n * lanes<T> * 2 / (seconds_now() - start);
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
const Engine<T> engine = {lanes<T>, tape_size<T>, infer<T>, forward<T>, backward<T>,    look<T>, finite<T>,   few<T>,
                          ready<T>, steps<T>,     drop,     attend<T>,  attend_back<T>, peak<T>, bandwidth<T>};

}  // namespace

const Engine<float>& floats() { return engine<float>; }
const Engine<double>& doubles() { return engine<double>; }

}  // namespace recurra::RECURRA_ISA
