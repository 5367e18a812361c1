// Matrix products against naive loops.
#include "../engine/gemm.h"

#include <chrono>
#include <cmath>

#include "testing.h"

using namespace recurra::RECURRA_ISA;

namespace {

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

// c = a · B + bias for contiguous rows.
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
        for (int depth : {1, 3, 64, 700})
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

}  // namespace

void test_gemm() {
    test_rows_times_matrix<float>();
    test_rows_times_matrix<double>();
    test_packing_agrees_both_ways<float>();
    test_packing_agrees_both_ways<double>();
    test_matrix_as_it_is<float>();
    test_outer_sum<float>();
    test_matrix_as_it_is<double>();
    test_outer_sum<double>();
}

void measure_gemm() {
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
