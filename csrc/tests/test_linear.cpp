// The product of rows with a weight matrix against its definition, and its independence of rows and threads.
#include <cmath>
#include <limits>

#include "../engine/api.h"
#include "testing.h"

using namespace recurra::RECURRA_ISA;

namespace {

// A sanitizer puts branches between products and sums. The compiler then fuses only some of them, which changes the last
// bits. Without a sanitizer the bits are equal.
#ifdef RECURRA_SANITIZED
constexpr double kSame = 1e-5;
#else
constexpr double kSame = 0;
#endif

template <class T>
void compare(const recurra::Engine<T>& engine) {
    for (int rows : {0, 1, 2, 7, 33})
        for (int columns : {1, 3, 64, 65, 131})
            for (int depth : {0, 1, 5, 40}) {
                const int64_t stride = depth + 3;
                auto a = draw<T>(rows * stride + 1);
                const auto weight = draw<T>(columns * depth + 1), bias = draw<T>(columns);
                for (int row = 0; row < rows; ++row)  // numbers between the rows must not be read
                    for (int64_t k = depth; k < stride; ++k) a[row * stride + k] = std::numeric_limits<T>::quiet_NaN();
                std::vector<T> out(rows * columns + 1, T(7)), one(columns), none(rows * columns + 1, T(7));
                recurra::Linear<T> call{a.data(),      stride,      rows,       columns, depth,
                                        weight.data(), bias.data(), out.data(), 3};
                engine.linear(call);
                check(out.back() == T(7), "linear writes behind its end");
                for (int row = 0; row < rows; ++row) {
                    for (int column = 0; column < columns; ++column) {
                        double wanted = bias[column], size = std::abs(wanted);
                        for (int k = 0; k < depth; ++k) {
                            const double product = double(a[row * stride + k]) * weight[column * depth + k];
                            wanted += product, size += std::abs(product);
                        }
                        const double found = out[row * columns + column];
                        check(std::abs(found - wanted) <= 1e-6 * size, "linear", found - wanted);
                    }
                    recurra::Linear<T> alone{&a[row * stride], stride,      1,          columns, depth,
                                             weight.data(),    bias.data(), one.data(), 1};
                    engine.linear(alone);
                    for (int column = 0; column < columns; ++column) {
                        const double found = one[column], wanted = out[row * columns + column];
                        check(std::abs(found - wanted) <= kSame * (1 + std::abs(wanted)), "linear of one row",
                              found - wanted);
                    }
                }
                std::vector<T> turned(weight.size()), across(rows * columns + 1, T(7));
                for (int column = 0; column < columns; ++column)
                    for (int k = 0; k < depth; ++k) turned[k * columns + column] = weight[column * depth + k];
                call.across = true, call.weight = turned.data(), call.out = across.data();
                engine.linear(call);
                check(across == out, "linear with the weights across");
                call.across = false, call.weight = weight.data();
                call.bias = nullptr, call.out = none.data();
                engine.linear(call);
                for (int i = 0; i < rows * columns; ++i)
                    check(std::abs(double(none[i]) + bias[i % columns] - out[i]) <= 1e-5 * (1 + std::abs(out[i])),
                          "linear without bias");
            }
}

template <class T>
void compare_outer(const recurra::Engine<T>& engine) {
    for (int tokens : {0, 1, 33, 300})
        for (int rows : {1, 17, 300})
            for (int columns : {1, 16, 70}) {
                const int64_t g_stride = rows + 3, x_stride = columns + 1;
                const auto g = draw<T>(tokens * g_stride + 1), x = draw<T>(tokens * x_stride + 1);
                std::vector<T> out(rows * columns + 1, T(7)), alone(out);
                recurra::Outer<T> call{g.data(), g_stride, x.data(), x_stride, tokens, rows, columns, out.data(), 3};
                engine.outer(call);
                check(out.back() == T(7), "outer writes behind its end");
                call.out = alone.data(), call.threads = 1;
                engine.outer(call);
                check(out == alone, "outer on one thread");
                for (int row = 0; row < rows; ++row)
                    for (int column = 0; column < columns; ++column) {
                        double wanted = 0, size = 0;
                        for (int token = 0; token < tokens; ++token) {
                            const double product = double(g[token * g_stride + row]) * x[token * x_stride + column];
                            wanted += product, size += std::abs(product);
                        }
                        const double found = out[row * columns + column];
                        check(std::abs(found - wanted) <= 1e-6 * size, "outer", found - wanted);
                    }
            }
}

}  // namespace

void test_linear() {
    compare(floats());
    compare(doubles());
    compare_outer(floats());
    compare_outer(doubles());
}
