// Attention pooling against its definition.
#include "../engine/api.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "testing.h"

using namespace recurra::RECURRA_ISA;

namespace {

// Compares attention pooling with its definition, and its gradients with finite differences.
template <class T>
void compare(const recurra::Engine<T>& engine) {
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

// Runs sequences in calls of a few steps each: the result equals that of one call to the bit, and that of `attend`.
template <class T>
void in_steps(const recurra::Engine<T>& engine) {
    constexpr int batch = 5, steps = 23;
    const std::vector<int64_t> lengths{23, 0, 1, 16, 9};
    for (int features : {1, 8, 37, 129})
        for (double scale : {1.0, 300.0}) {  // of the scores: weights of almost 0 and changes of the greatest score
            auto rows = draw<T>(batch * steps * features), vector = draw<T>(features);
            const auto bias = draw<T>(1);
            for (T& v : vector) v *= T(scale);
            std::vector<T> weights(batch * steps), plain(batch * features), whole(plain), found(plain);
            recurra::Attention<T> call{{rows.data(), steps * features, features},
                                       lengths.data(),
                                       batch,
                                       steps,
                                       features,
                                       vector.data(),
                                       bias.data(),
                                       weights.data(),
                                       2};
            engine.attend(call, plain.data());
            call.weights = nullptr;
            engine.attend_steps(call, nullptr, whole.data());
            for (size_t i = 0; i < plain.size(); ++i)
                check(std::abs(double(whole[i]) - plain[i]) < 2e-4 * (1 + std::abs(plain[i])), "attention in steps",
                      double(whole[i]) - plain[i]);
            std::vector<double> states(batch * (2 + features));
            for (int done = 0, size = 1; done < steps; done += size, size = size % 4 + 1) {
                std::vector<int64_t> left(batch);
                for (int b = 0; b < batch; ++b) left[b] = std::clamp<int64_t>(lengths[b] - done, 0, size);
                recurra::Attention<T> part = call;
                part.rows.data = rows.data() + std::min(done, steps - 1) * features;
                part.lengths = left.data(), part.steps = std::min(size, steps - done);
                engine.attend_steps(part, states.data(), found.data());
            }
            check(found == whole, "attention in several calls");
            // one sequence with NaN changes no other
            rows[3 * features] = std::numeric_limits<T>::quiet_NaN();
            engine.attend_steps(call, nullptr, found.data());
            check(std::isnan(double(found[0])), "attention of NaN");
            check(std::equal(whole.begin() + features, whole.end(), found.begin() + features),
                  "attention beside a sequence with NaN");
        }
}

}  // namespace

void test_attention() {
    compare(floats());
    compare(doubles());
    in_steps(floats());
    in_steps(doubles());
}
