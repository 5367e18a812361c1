// Attention pooling: the mean of the rows of each sequence, weighted by the softmax of their products with one vector.
// Padding is not read; its gradients are zeros. One thread computes a whole sequence, so each sum has one order.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "api.h"
#include "memory.h"
#include "pool.h"
#include "simd.h"

namespace recurra::RECURRA_ISA {

// exp(x) for x <= 0; NaN gives NaN.
inline Vec<float> exp_of_negative(Vec<float> x) {
    Vec<float> scale, q;
    exp_parts(at_least(x, -87.f), scale, q);
    return x < -87.f ? splat(0.f) : scale + scale * q;
}
inline Vec<double> exp_of_negative(Vec<double> x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::exp(x[i]);
    return x;
}

template <class T>
T product(const T* a, const T* b, int64_t n) {
    constexpr int wide = lanes<T>;
    Vec<T> even{}, odd{};
    int64_t i = 0;
    for (; i + 2 * wide <= n; i += 2 * wide) {
        even += load(a + i) * load(b + i);
        odd += load(a + i + wide) * load(b + i + wide);
    }
    for (; i < n; i += wide) even += load_part(a + i, int(n - i)) * load_part(b + i, int(n - i));
    T part[wide];
    store(part, even + odd);
    for (int half = wide / 2; half; half /= 2)
        for (int j = 0; j < half; ++j) part[j] += part[j + half];
    return part[0];
}

template <class T>
class Attend {
public:
    explicit Attend(const Attention<T>& a) : a_(a) {}

    void forward(T* out) const {
        each([&](int64_t seq, int64_t steps) {
            weigh(seq, steps);
            const T* weight = a_.weights + seq * a_.steps;
            T* __restrict to = out + seq * a_.features;
            std::fill_n(to, a_.features, T(0));
            for (int64_t step = 0; step < steps; ++step) {
                const T* __restrict row = at(seq, step), w = weight[step];
                for (int64_t i = 0; i < a_.features; ++i) to[i] += w * row[i];
            }
        });
    }

    // As `forward`, one step after the other: further steps may follow in other calls. `states` has for each sequence
    // the greatest score, the sum of the weights relative to it, and the weighted sum of the rows; zeros before the
    // first step. It may be null.
    void advance(double* states, T* out) const {
        const int64_t n = a_.features, width = 2 + n;
        Buffer<double> own;
        if (!states) {
            own.resize(a_.batch * width);
            states = own.get();
            std::fill_n(states, a_.batch * width, 0.0);
        }
        each([&](int64_t seq, int64_t steps) {
            double* state = states + seq * width;
            double* __restrict total = state + 2;
            double top = state[0], sum = state[1];
            for (int64_t step = 0; step < steps; ++step) {
                const T* __restrict row = at(seq, step);
                const double score = product(row, a_.vector, n) + *a_.bias;
                if (sum == 0) top = score;  // the first step
                if (score > top) {
                    const double scale = std::exp(top - score);
                    for (int64_t i = 0; i < n; ++i) total[i] *= scale;
                    sum *= scale;
                    top = score;
                }
                const double weight = std::exp(score - top);
                for (int64_t i = 0; i < n; ++i) total[i] += weight * row[i];
                sum += weight;
            }
            state[0] = top, state[1] = sum;
            T* to = out + seq * n;
            for (int64_t i = 0; i < n; ++i) to[i] = sum == 0 ? T(0) : T(total[i] / sum);
        });
    }

    void backward(const T* gout, T* grows, T* gvector, T* gbias) const {
        const int64_t n = a_.features, width = n + 1;
        Buffer<T> parts;  // gradients of vector and bias, by sequence
        parts.resize(a_.batch * width);
        each([&](int64_t seq, int64_t steps) {
            const T* __restrict g = gout + seq * n, *weight = a_.weights + seq * a_.steps;
            T* __restrict part = parts.get() + seq * width, *to = grows + seq * a_.steps * n, mean = 0;
            std::fill_n(part, width, T(0));
            // The first number of each row of `to` temporarily holds a part of the gradient of the score.
            for (int64_t step = 0; step < steps; ++step)
                mean += weight[step] * (to[step * n] = product(at(seq, step), g, n));
            for (int64_t step = 0; step < steps; ++step) {
                T* __restrict grow = to + step * n;
                const T* __restrict row = at(seq, step), w = weight[step], score = w * (*grow - mean);
                for (int64_t i = 0; i < n; ++i) {
                    grow[i] = w * g[i] + score * a_.vector[i];
                    part[i] += score * row[i];
                }
                part[n] += score;
            }
            std::fill_n(to + steps * n, (a_.steps - steps) * n, T(0));
        });
        std::fill_n(gvector, n, T(0));
        *gbias = 0;
        for (int64_t seq = 0; seq < a_.batch; ++seq) {
            const T* part = parts.get() + seq * width;
            for (int64_t i = 0; i < n; ++i) gvector[i] += part[i];
            *gbias += part[n];
        }
    }

private:
    const Attention<T>& a_;

    const T* at(int64_t seq, int64_t step) const { return a_.rows.data + seq * a_.rows.batch + step * a_.rows.time; }

    // Calls work(sequence, its number of steps) for all sequences, a few of them at a time.
    template <class F>
    void each(const F& work) const {
        constexpr int64_t few = 4;
        const int64_t total = a_.batch * a_.steps * a_.features;
        const int threads = threads_for(total, 1 << 16, a_.threads);
        in_turn(int((a_.batch + few - 1) / few), threads, [&](int64_t group) {
            for (int64_t seq = group * few; seq < std::min(group * few + few, a_.batch); ++seq)
                work(seq, std::clamp<int64_t>(a_.lengths[seq], 0, a_.steps));
        });
    }

    // Computes the softmax of the scores.
    void weigh(int64_t seq, int64_t steps) const {
        constexpr int wide = lanes<T>;
        T *weight = a_.weights + seq * a_.steps, top = -std::numeric_limits<T>::infinity(), sum = 0;
        for (int64_t step = 0; step < steps; ++step) {
            weight[step] = product(at(seq, step), a_.vector, a_.features) + *a_.bias;
            top = std::max(top, weight[step]);
        }
        for (int64_t step = 0; step < steps; step += wide) {
            const int n = int(std::min<int64_t>(wide, steps - step));
            const Vec<T> powers = exp_of_negative(load_part(weight + step, n) - top);
            std::memcpy(weight + step, &powers, n * sizeof(T));
        }
        for (int64_t step = 0; step < steps; ++step) sum += weight[step];
        for (int64_t step = 0; step < steps; ++step) weight[step] /= sum;
    }
};

template <class T>
void attend(const Attention<T>& a, T* out) {
    Attend<T>(a).forward(out);
}
template <class T>
void attend_steps(const Attention<T>& a, double* states, T* out) {
    Attend<T>(a).advance(states, out);
}
template <class T>
void attend_back(const Attention<T>& a, const T* gout, T* grows, T* gvector, T* gbias) {
    Attend<T>(a).backward(gout, grows, gvector, gbias);
}

}  // namespace recurra::RECURRA_ISA
