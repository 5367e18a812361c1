// The engine's own tests, compiled once per instruction set: products against naive loops, activations against the C
// library, and the pool after fork. Prints what failed and returns the number of failures.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

#include "../engine/gemm.h"
#include "../engine/pool.h"
#include "../engine/run.h"

using namespace recurra::RECURRA_ISA;

namespace {

int failures = 0;

void check(bool good, const char* what, double value = 0) {
    if (good) return;
    ++failures;
    std::printf("FAILED %s (%g)\n", what, value);
}

std::mt19937 generator(0);

template <class T>
std::vector<T> draw(size_t n) {
    std::normal_distribution<double> normal;
    std::vector<T> found(n);
    for (T& x : found) {
        x = T(normal(generator));
        if constexpr (pairs<T>) {  // a bfloat16, so that products are as exact as those of float32
            uint32_t bits;
            std::memcpy(&bits, &x, sizeof bits);
            bits &= 0xffff0000u;
            std::memcpy(&x, &bits, sizeof bits);
        }
    }
    return found;
}

template <class T, class Source>
void pack_rows(PackedMatrix<T>& m, int depth, int columns, int side, Source source) {
    m.shape(depth, columns, side);
    for (int s = 0; s < m.strips(); ++s) m.pack_rows(s, columns, source);
}
template <class T, class Source>
void pack_columns(PackedMatrix<T>& m, int depth, int columns, int side, Source source) {
    m.shape(depth, columns, side);
    for (int s = 0; s < m.strips(); ++s) m.pack_columns(s, [&](int j) { return j < columns ? source(j) : nullptr; });
}

// c = a · B + bias for rows that lie one after the other
template <class T>
void multiply(int rows, const T* a, int lda, T* c, int ldc, const PackedMatrix<T>& b, Start start, const T* bias) {
    std::vector<const T*> in;
    std::vector<T*> out;
    for (int i = 0; i < rows; ++i) in.push_back(a + size_t(i) * lda), out.push_back(c + size_t(i) * ldc);
    rows_times<T>(rows, in.data(), out.data(), b, start, bias);
}

template <class T>
double tolerance() {
    return sizeof(T) == 4 ? 2e-5 : 1e-12;
}

template <class T>
void test_rows_times_matrix() {
    for (int rows : {1, 2, 5, 6, 7, 13, 100})
        for (int depth : {1, 3, 64})
            for (int columns : {1, 15, 16, 17, 64, 65, 150}) {
                const auto a = draw<T>(size_t(rows) * depth), b = draw<T>(size_t(depth) * columns);
                const int ld = round_up(columns, lanes<T>);
                std::vector<T> bias(ld, 0), c(size_t(rows) * ld, T(NAN));
                for (int j = 0; j < columns; ++j) bias[j] = T(j);
                PackedMatrix<T> packed;
                pack_rows(packed, depth, columns, kStrip, [&](int k) { return b.data() + size_t(k) * columns; });
                multiply<T>(rows, a.data(), depth, c.data(), ld, packed, Start::bias, bias.data());
                for (int i = 0; i < rows; ++i)
                    for (int j = 0; j < ld; ++j) {
                        double sum = bias[j];
                        for (int k = 0; k < depth && j < columns; ++k)
                            sum += double(a[i * depth + k]) * b[k * columns + j];
                        const double error = std::abs(c[size_t(i) * ld + j] - sum) / (1 + std::abs(sum));
                        check(error < tolerance<T>() * std::sqrt(depth), "rows times matrix", error);
                    }
            }
}

template <class T>
void test_packing_agrees_both_ways() {
    for (int depth : {5, 40})
        for (int columns : {7, 64, 100})
            for (int side : {3, 4}) {
                const auto b = draw<T>(size_t(depth) * columns);
                std::vector<T> transposed(b.size());
                for (int k = 0; k < depth; ++k)
                    for (int j = 0; j < columns; ++j) transposed[size_t(j) * depth + k] = b[size_t(k) * columns + j];
                PackedMatrix<T> rows, cols;
                pack_rows(rows, depth, columns, side, [&](int k) { return b.data() + size_t(k) * columns; });
                pack_columns(cols, depth, columns, side, [&](int j) { return transposed.data() + size_t(j) * depth; });
                const size_t size = size_t(rows.lines()) * rows.vectors * lanes<T> * sizeof(T);
                check(!std::memcmp(rows.data.get(), cols.data.get(), size), "packing both ways");
            }
}

template <class T>
void test_matrix_as_it_is() {
    for (int rows : {1, 7, 16, 33})
        for (int depth : {1, 15, 64, 70}) {
            const auto w = draw<T>(size_t(rows) * depth), x = draw<T>(depth);
            std::vector<T> out(round_up(rows, lanes<T>), T(NAN));
            matrix_times<T>(rows, w.data(), depth, x.data(), out.data());
            for (int i = 0; i < rows; ++i) {
                double sum = 0;
                for (int k = 0; k < depth; ++k) sum += double(w[size_t(i) * depth + k]) * x[k];
                check(std::abs(out[i] - sum) < tolerance<T>() * std::sqrt(depth), "matrix as it is", out[i] - sum);
            }
        }
}

template <class T>
void test_outer_sum() {
    for (int tokens : {0, 1, kFew, kFew + 1, kChunk, 700})
        for (int height : {1, 6, 17})
            for (int columns : {1, 16, 70}) {
                const int step = height + 3;
                const auto g = draw<T>(size_t(tokens) * step), x = draw<T>(size_t(tokens) * columns);
                std::vector<const T*> xs;
                for (int t = 0; t < tokens; ++t) xs.push_back(&x[size_t(t) * columns]);
                const int ld = round_up(columns, lanes<T>);
                std::vector<T> c(size_t(height) * ld, T(NAN));
                OuterSum<T> sum;
                for (int t = 0; t == 0 || t < tokens; t += kChunk) {
                    sum.take(std::min(kChunk, tokens - t), xs.data() + t, columns);
                    sum.add(g.data() + size_t(t) * step, step, 0, height, c.data(), ld, t == 0);
                }
                for (int m = 0; m < height; ++m)
                    for (int j = 0; j < columns; ++j) {
                        double expected = 0;
                        for (int t = 0; t < tokens; ++t) expected += double(g[size_t(t) * step + m]) * xs[t][j];
                        const double error = std::abs(c[size_t(m) * ld + j] - expected);
                        check(error < tolerance<T>() * (1 + std::sqrt(tokens)), "outer sum", error);
                    }
            }
}

// Distance in units of the last place of the exact value.
double ulps(float found, double exact) {
    const float nearest = float(exact);
    const double place = std::nextafter(std::abs(nearest), INFINITY) - std::abs(nearest);
    return std::abs(found - exact) / place;
}

void test_activations() {
    double worst_sigmoid = 0, worst_tanh = 0, sum_tanh = 0;
    int64_t n = 0;
    for (double x = -30; x < 30; x += 1.7e-4)
        for (double sign : {1.0, 1e-6}) {
            const float v = float(x * sign);
            worst_sigmoid = std::max(worst_sigmoid, ulps(sigmoid(splat(v))[0], 1 / (1 + std::exp(-double(v)))));
            const double off = ulps(recurra::RECURRA_ISA::tanh(splat(v))[0], std::tanh(double(v)));
            worst_tanh = std::max(worst_tanh, off), sum_tanh += off, ++n;
        }
    check(worst_sigmoid < 4, "sigmoid, ulps", worst_sigmoid);
    check(worst_tanh < 1.5, "tanh, ulps", worst_tanh);
    check(sum_tanh / n < 0.3, "tanh, ulps on average", sum_tanh / n);  // 0.25 are rounding alone
    Vec<float> several[3] = {splat(-0.f), splat(0.7f), splat(-3.f)};
    recurra::RECURRA_ISA::tanh(several);
    check(several[0][1] == 0 && std::signbit(several[0][1]), "the sign of zero stays");
    for (int i : {1, 2})
        check(several[i][0] == recurra::RECURRA_ISA::tanh(splat(i == 1 ? 0.7f : -3.f))[0], "several at once", i);
    for (float x : {-1e30f, -100.f, 100.f, 1e30f, INFINITY, -INFINITY}) {
        check(sigmoid(splat(x))[0] >= 0 && sigmoid(splat(x))[0] <= 1, "sigmoid of extremes", x);
        check(recurra::RECURRA_ISA::tanh(splat(x))[0] == (x > 0 ? 1 : -1), "tanh of extremes", x);
    }
    check(std::isnan(sigmoid(splat(NAN))[0]) && std::isnan(recurra::RECURRA_ISA::tanh(splat(NAN))[0]), "NaN stays");
}

void test_pool() {
    const auto count = [](int shares) {
        std::atomic<int> sum{0};
        recurra::parallel(shares, [&](int i) { sum += i + 1; });
        return sum == shares * (shares + 1) / 2;
    };
    for (int i = 0; i < 2000; ++i) check(count(1 + i % 5), "pool");
    bool thrown = false;
    try {
        recurra::parallel(3, [](int i) {
            if (i == 2) throw 7;
        });
    } catch (int seven) {
        thrown = seven == 7;
    }
    check(thrown && count(4), "an exception in a worker");
    const pid_t child = fork();
    if (!child) _exit(count(3) && count(2) ? 0 : 1);
    int status = 1;
    waitpid(child, &status, 0);
    check(status == 0, "pool after fork");
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int c = 0; c < 4; ++c)
        callers.emplace_back([&] {
            for (int i = 0; i < 500; ++i) wrong += !count(1 + i % 4);
        });
    for (auto& caller : callers) caller.join();
    check(wrong == 0, "pool from several threads", wrong);
}

// Whether what the tape shows of the top layer's hidden state is the output, and everything beyond the ends NaN.
bool shows(const recurra::Spec& s, const std::vector<int64_t>& lengths, const std::vector<float>& tape,
           const std::vector<float>& output) {
    const bool lstm = s.cell == recurra::Cell::lstm;
    const int64_t gates = lstm                           ? 4
                          : s.cell == recurra::Cell::gru ? 3
                                                         : 1,
                  d = s.bidirectional ? 2 : 1, out = s.projected ? s.projected : s.hidden;
    std::vector<std::vector<float>> arrays;
    std::vector<float*> to;
    for (int64_t i = 0; i < gates + 1 + lstm; ++i)
        arrays.emplace_back(s.layers * d * s.batch * s.steps * (i == gates ? out : s.hidden));
    for (auto& array : arrays) to.push_back(array.data());
    floats().look(s, lengths.data(), tape.data(), to);
    for (size_t i = 0; i < arrays.size(); ++i)
        for (int64_t row = 0, n = int64_t(i) == gates ? out : s.hidden; row < s.layers * d * s.batch * s.steps; ++row) {
            const int64_t t = row % s.steps, b = row / s.steps % s.batch, direction = row / s.steps / s.batch % d,
                          layer = row / s.steps / s.batch / d;
            for (int64_t u = 0; u < n; ++u) {
                const float value = arrays[i][row * n + u];
                if (std::isnan(value) != (t >= lengths[b])) return false;
                if (int64_t(i) == gates && layer == s.layers - 1 && t < lengths[b] &&
                    value != output[(b * s.steps + t) * d * out + direction * out + u])
                    return false;
            }
        }
    return true;
}

// Outputs and gradients of one random ragged call, every number in memory of its exact size so that a sanitizer sees each
// step beyond; on `threads` threads, stored whole or in chunks.
std::vector<std::vector<float>> run(recurra::Cell cell, int projected, int layers, bool both, int64_t batch,
                                    int threads, int64_t chunk) {
    generator.seed(7);
    const int64_t steps = 13, input = 5, hidden = 19, out = projected ? projected : hidden, d = both ? 2 : 1;
    const recurra::Spec spec{cell, steps,   batch, input, hidden, projected, layers, both, true, layers > 1 ? 0.3 : 0,
                             5,    threads, chunk, false};
    const int64_t gates = cell == recurra::Cell::lstm ? 4 : cell == recurra::Cell::gru ? 3 : 1;
    const bool lstm = cell == recurra::Cell::lstm;
    std::vector<int64_t> lengths;
    for (int64_t b = 0; b < batch; ++b) lengths.push_back(b == 1 ? 0 : 1 + (b * 7) % steps);
    const auto x = draw<float>(batch * steps * input), gout = draw<float>(batch * steps * d * out);
    const auto h0 = draw<float>(layers * d * batch * out), c0 = draw<float>(layers * d * batch * hidden);
    std::vector<std::vector<float>> weights, found(2);
    for (int64_t i = 0; i < layers * d; ++i) {
        const int64_t in = i < d ? input : d * out;
        for (int64_t n :
             {gates * hidden * in, gates * hidden * out, gates * hidden, gates * hidden, projected * hidden})
            if (n) weights.push_back(draw<float>(n));
    }
    recurra::Inputs<float> in{
        {x.data(), steps * input, input}, lengths.data(), {}, h0.data(), lstm ? c0.data() : nullptr};
    for (const auto& w : weights) in.weights.push_back(w.data());
    const auto& engine = floats();
    std::vector<float> hn(h0.size()), cn(c0.size()), tape(engine.tape_size(spec));
    for (auto& o : found) o.resize(gout.size());
    const recurra::View<float> first{found[0].data(), steps * d * out, d * out},
        second{found[1].data(), steps * d * out, d * out};
    engine.infer(spec, in, {first, hn.data(), cn.data()});
    engine.forward(spec, in, {second, hn.data(), cn.data()}, tape.data());
    if (!chunk) check(shows(spec, lengths, tape, found[1]), "what is stored can be looked at");
    recurra::Gradients<float> to{
        {gout.data(), steps * d * out, d * out}, hn.data(), lstm ? cn.data() : nullptr, {}, {}, nullptr, nullptr};
    for (size_t n : {x.size(), h0.size(), c0.size()}) found.emplace_back(n);
    for (const auto& w : weights) found.emplace_back(w.size());
    to.x = {found[2].data(), steps * input, input}, to.h0 = found[3].data(), to.c0 = lstm ? found[4].data() : nullptr;
    for (size_t i = 5; i < found.size(); ++i) to.weights.push_back(found[i].data());
    engine.backward(spec, in, to, tape.data());
    return found;
}

void test_stack() {
    using recurra::Cell;
    for (Cell cell : {Cell::rnn_tanh, Cell::lstm, Cell::gru})
        for (int projected : {0, 7})
            for (int layers : {1, 2, 3})
                for (bool both : {false, true})
                    for (int64_t batch : {1, 2, 9}) {
                        if (projected && cell != Cell::lstm) continue;
                        const auto one = run(cell, projected, layers, both, batch, 1, 0);
                        check(one[0] == one[1], "with and without a tape the same");
                        for (int threads : {2, 3})
                            check(one == run(cell, projected, layers, both, batch, threads, 0),
                                  "on any number of threads the same");
                        const auto chunks = run(cell, projected, layers, both, batch, 2, 4);
                        check(one[1] == chunks[1], "in chunks the same output");
                        double worst = 0, size = 0;
                        for (size_t i = 2; i < one.size(); ++i)
                            for (size_t j = 0; j < one[i].size(); ++j)
                                worst = std::max(worst, std::abs(double(one[i][j]) - chunks[i][j])),
                                size = std::max(size, std::abs(double(one[i][j])));
                        // a last digit in a gradient of the states may turn its rounding to bfloat16
                        check(worst < (pairs<float> ? 1e-2 : 1e-5) * size, "in chunks the same gradients",
                              worst / size);
                    }
}

// Attention pooling against the definition, and its gradients against what a little more of a number changes.
template <class T>
void test_attention(const recurra::Engine<T>& engine) {
    constexpr int batch = 7, steps = 19;
    const std::vector<int64_t> lengths{19, 0, 1, 7, 16, 17, 3};
    const auto agree = [](double found, double wanted, const char* what) {
        check(std::abs(found - wanted) < 1e-4 * (1 + std::abs(wanted)), what, found - wanted);
    };
    for (int features : {1, 8, 37, 129}) {
        auto rows = draw<T>(batch * steps * features), vector = draw<T>(features), bias = draw<T>(1);
        const auto gout = draw<T>(batch * features);
        std::vector<T> weights(batch * steps), out(gout), grows(rows), gvector(vector), gbias(1);
        const recurra::Attention<T> call{{rows.data(), steps * features, features},
                                         lengths.data(),
                                         batch,
                                         steps,
                                         features,
                                         vector.data(),
                                         bias.data(),
                                         weights.data(),
                                         3};
        std::vector<double> pooled(out.size());
        const auto loss = [&] {
            double total = 0;
            for (int b = 0; b < batch; ++b) {
                double* mean = &pooled[b * features];
                std::fill_n(mean, features, 0.0);
                double sum = 0;
                for (int t = 0; t < lengths[b]; ++t) {
                    const T* row = &rows[(b * steps + t) * features];
                    double score = double(bias[0]);
                    for (int i = 0; i < features; ++i) score += double(row[i]) * vector[i];
                    sum += std::exp(score);
                    for (int i = 0; i < features; ++i) mean[i] += std::exp(score) * row[i];
                }
                for (int i = 0; i < features; ++i) mean[i] /= sum ? sum : 1, total += mean[i] * gout[b * features + i];
            }
            return total;
        };
        engine.attend(call, out.data());
        engine.attend_back(call, gout.data(), grows.data(), gvector.data(), gbias.data());
        loss();
        for (size_t i = 0; i < out.size(); ++i) agree(out[i], pooled[i], "attention");
        const auto slope = [&](T& x) {
            const T before = x, above = before + T(1e-3), below = before - T(1e-3);
            x = above;
            const double more = loss();
            x = below;
            const double less = loss();
            x = before;
            return (more - less) / (double(above) - double(below));
        };
        for (int b : {0, 2, 4, 6}) {
            const size_t at = (b * steps + lengths[b] / 2) * features + features / 2;
            agree(grows[at], slope(rows[at]), "gradient of attention's rows");
        }
        for (int i : {0, features - 1}) agree(gvector[i], slope(vector[i]), "gradient of attention's vector");
        agree(gbias[0], 0, "softmax does not see a bias");
        for (int i = 0; i < steps * features; ++i) check(grows[steps * features + i] == 0, "gradient of padding");
    }
}

void measure() {
    const int tokens = 1536, depth = 256, columns = 1024;
    const auto a = draw<float>(size_t(tokens) * depth), b = draw<float>(size_t(depth) * columns);
    std::vector<float> c(size_t(tokens) * columns);
    PackedMatrix<float> packed;
    pack_rows(packed, depth, columns, kStrip, [&](int k) { return b.data() + size_t(k) * columns; });
    const auto time = [](auto f) {
        double best = 1e9;
        for (int i = 0; i < 20; ++i) {
            const auto start = std::chrono::steady_clock::now();
            f();
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        return best;
    };
    const double flop = 2.0 * tokens * depth * columns;
    std::printf("rows times matrix %.0f GF/s, ", flop / 1e9 / time([&] {
                                                     multiply<float>(tokens, a.data(), depth, c.data(), columns, packed,
                                                                     Start::zero, nullptr);
                                                 }));
    std::vector<const float*> xs;
    for (int t = 0; t < tokens; ++t) xs.push_back(&a[size_t(t) * depth]);
    std::vector<float> w(size_t(columns) * depth);
    OuterSum<float> sum;
    std::printf("outer sum %.0f GF/s, ", flop / 1e9 / time([&] {
                                             for (int t = 0; t < tokens; t += kChunk) {
                                                 sum.take(std::min(kChunk, tokens - t), xs.data() + t, depth);
                                                 sum.add(c.data() + size_t(t) * columns, columns, 0, columns, w.data(),
                                                         depth, t == 0);
                                             }
                                         }));
    auto v = draw<float>(1 << 14);
    std::printf("sigmoid %.2f ns\n", 1e9 / (1 << 14) * time([&] {
                                         for (size_t i = 0; i < v.size(); i += lanes<float>)
                                             store(&v[i], sigmoid(load(&v[i])));
                                     }));
}

}  // namespace

// Whether this processor can run what this file was compiled for.
bool runs_here() {
#ifdef RECURRA_PAIRS
    return __builtin_cpu_supports("avx512bf16");
#elif defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

int main(int count, char**) {
    if (!runs_here()) return 77;  // ctest's word for a skipped test
    test_rows_times_matrix<float>();
    test_rows_times_matrix<double>();
    test_packing_agrees_both_ways<float>();
    test_packing_agrees_both_ways<double>();
    test_matrix_as_it_is<float>();
    test_outer_sum<float>();
    test_matrix_as_it_is<double>();
    test_outer_sum<double>();
    test_activations();
    test_pool();
    test_stack();
    test_attention(floats());
    test_attention(doubles());
    if (count > 1) measure();
    std::printf("%d failed\n", failures);
    return failures != 0;
}
