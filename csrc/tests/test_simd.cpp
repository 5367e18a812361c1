// Activations against the C library.
#include "../engine/simd.h"

#include <cmath>

#include "testing.h"

using namespace recurra::RECURRA_ISA;

namespace {

// Error in units of the last place of the exact value.
double ulps(float found, double exact) {
    const float nearest = float(exact);
    const double place = std::nextafter(std::abs(nearest), INFINITY) - std::abs(nearest);
    return std::abs(found - exact) / place;
}

}  // namespace

void test_simd() {
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
    check(sum_tanh / n < 0.3, "tanh, ulps on average", sum_tanh / n);  // rounding alone gives 0.25
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
