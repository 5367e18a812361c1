// Whole calls: results are the same for any number of threads and with chunks; stored gates can be exported.
#include "../engine/backward_sums.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "../engine/pool.h"
#include "testing.h"

using namespace recurra::RECURRA_ISA;

namespace {

// Returns whether the exported hidden states of the top layer equal the output, and all values after the end are NaN.
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
    floats().export_gates(s, lengths.data(), tape.data(), to);
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

// Returns outputs and gradients of one random ragged call. Each array has its exact size, so that a sanitizer detects
// any access beyond it.
std::vector<std::vector<float>> run(recurra::Cell cell, int projected, int layers, bool both, int64_t batch,
                                    int threads, int64_t chunk, int64_t hidden = 19, int seed = 7, int64_t steps = 13) {
    generator.seed(seed);
    const int64_t input = 5, out = projected ? projected : hidden, d = both ? 2 : 1;
    const recurra::Spec spec{cell, steps,   batch, input, hidden, projected, layers, both, true, layers > 1 ? 0.3 : 0,
                             5,    threads, chunk, false, false,  0};
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
    recurra::Inputs<float> in{{x.data(), steps * input, input}, lengths.data(), {}, h0.data(),
                              lstm ? c0.data() : nullptr,       false};
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

// Packed weights give the same results for tokens as for their vectors: at the first call, when the products of some
// tokens are known, and after a vector has changed. A table with more tokens than its limit has no products.
void embed(recurra::Cell cell, int projected, int layers, bool both, int threads, int64_t vocabulary) {
    generator.seed(7);
    const int64_t steps = 13, batch = 9, input = 5, hidden = 19, d = both ? 2 : 1, out = projected ? projected : hidden;
    recurra::Spec spec{cell, steps, batch, input,   hidden, projected, layers, both,
                       true, 0,     0,     threads, 0,      false,     true,   0};
    const int64_t gates = cell == recurra::Cell::lstm ? 4 : cell == recurra::Cell::gru ? 3 : 1;
    std::vector<std::vector<float>> weights;
    for (int64_t i = 0; i < layers * d; ++i)
        for (int64_t n : {gates * hidden * (i < d ? input : d * out), gates * hidden * out, gates * hidden,
                          gates * hidden, projected * hidden})
            if (n) weights.push_back(draw<float>(n));
    std::vector<const float*> flat;
    for (const auto& w : weights) flat.push_back(w.data());
    auto table = draw<float>(vocabulary * input);
    const auto packed = floats().pack(spec, flat);
    for (int64_t call = 0; call < 4; ++call) {
        std::vector<int64_t> tokens, lengths;
        std::vector<float> x;
        if (call == 3)
            for (float& number : table) number = -number;
        for (int64_t b = 0; b < batch; ++b) lengths.push_back(b == 1 ? 0 : 1 + (b * 7 + call) % steps);
        for (int64_t i = 0; i < batch * steps; ++i) {
            tokens.push_back((i * i + call) % (5 + 3 * call));
            x.insert(x.end(), &table[tokens.back() * input], &table[tokens.back() * input] + input);
        }
        std::vector<float> found[2], h[2], c[2];
        for (int i : {0, 1}) {
            found[i].resize(batch * steps * d * out), h[i].resize(layers * d * batch * out);
            c[i].resize(layers * d * batch * hidden);
            recurra::Inputs<float> in{};
            in.lengths = lengths.data(), in.weights = flat;
            in.x = {x.data(), steps * input, input};
            if (i) in.x = {table.data(), input, 0}, in.entries = {tokens.data(), steps, 1}, in.table_rows = vocabulary;
            packed->infer(spec, in, {{found[i].data(), steps * d * out, d * out}, h[i].data(), c[i].data()});
        }
        check(found[0] == found[1] && h[0] == h[1] && c[0] == c[1], "tokens and their vectors give the same");
    }
}

// The sums of all parts, beside the results, are at most twice as large as the weights in whole vectors.
void sum_weights() {
    for (int64_t hidden : {19, 64})
        for (int projected : {0, 7}) {
            const recurra::Spec spec{
                recurra::Cell::lstm, 1, 1, 5, hidden, projected, 2, true, true, 0, 0, 1, 0, false, false, 0};
            const Sizes<float> sizes(spec);
            int64_t weights = 0, sums = 0;
            for (int i = 0; i < 4; ++i)
                weights += 4 * hidden * (round_up(sizes.inputs(i / 2), lanes<float>) + sizes.outs + 2) +
                           projected * sizes.units;
            recurra::Gradients<float> to{};
            std::vector<float> result(size_t(8 * hidden * 2 * hidden));  // its content does not matter here
            to.weights.assign(4 * sizes.weights_per_direction(true), result.data());
            for (int part = 0; part < kParts; ++part) {
                WeightSums<float> each(spec, to, part == 0);
                for (int i = 0; i < 4; ++i) each.reserve(i);
                sums += each.numbers();
            }
            check(sums > 0 && sums <= 2 * weights, "memory of the sums", double(sums) / double(weights));
        }
}

// More threads than cores, also where threads wait for each other: random calls give the same as on one thread.
void oversubscribe() {
#if defined(RECURRA_SANITIZED) || defined(RECURRA_EMULATED)
    const int usual = 15;
#else
    const int usual = 60;
#endif
    const char* given = std::getenv("RECURRA_CALLS");
    std::mt19937 random(1);
    const auto draw_of = [&](std::vector<int> choices) { return choices[random() % choices.size()]; };
    const recurra::ThreadCosts free{0, 0, 16};
    for (int i = 0; i < (given ? std::stoi(given) : usual); ++i) {
        const auto cell = recurra::Cell(random() % 4);
        const int projected = cell == recurra::Cell::lstm ? draw_of({0, 0, 7}) : 0, layers = draw_of({1, 1, 2, 3}),
                  both = draw_of({0, 1}), batch = draw_of({1, 1, 2, 9, 33}), chunk = draw_of({0, 0, 4}),
                  hidden = draw_of({3, 19, 64, 130}), steps = draw_of({2, 13});
        const auto results = [&](int threads) {
            return run(cell, projected, layers, both, batch, threads, chunk, hidden, i, steps);
        };
        const auto one = results(1);
        recurra::replace_costs(&free);
        const auto many = results(16);
        for (size_t k = 0; k < one.size(); ++k)  // as bytes: the relu of a random network may overflow
            check(!std::memcmp(one[k].data(), many[k].data(), one[k].size() * sizeof(float)),
                  "16 threads give the same", i);
        recurra::replace_costs(nullptr);
    }
}

}  // namespace

void test_engine() {
    using recurra::Cell;
    const recurra::ThreadCosts free{0, 0, 64};
    sum_weights();
    oversubscribe();
    for (Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru})
        for (int projected : {0, 7})
            for (int layers : {1, 2})
                for (bool both : {false, true})
                    for (int threads : {1, 3})
                        if (!projected || cell == Cell::lstm) embed(cell, projected, layers, both, threads, 20);
    embed(Cell::lstm, 0, 1, false, 1, 1 << 18);
    for (Cell cell : {Cell::rnn_tanh, Cell::lstm, Cell::gru})
        for (int projected : {0, 7})
            for (int layers : {1, 2, 3})
                for (bool both : {false, true})
                    for (int64_t batch : {1, 2, 9}) {
                        if (projected && cell != Cell::lstm) continue;
                        const auto one = run(cell, projected, layers, both, batch, 1, 0);
                        check(one[0] == one[1], "with and without a tape the same");
                        const auto few = [&](int threads) {  // few tokens, whose weights are not packed
                            return run(cell, projected, layers, both, batch, threads, 0, 50, 7, 2);
                        };
                        const auto few_on_one = few(1);
                        recurra::replace_costs(&free);  // also little work is shared
                        for (int threads : {2, 3})
                            check(one == run(cell, projected, layers, both, batch, threads, 0),
                                  "on any number of threads the same");
                        for (int threads : {2, 3})
                            check(few_on_one == few(threads), "few tokens on any number of threads the same");
                        recurra::replace_costs(nullptr);
                        const auto chunks = run(cell, projected, layers, both, batch, 2, 4);
                        check(one[1] == chunks[1], "in chunks the same output");
                        double worst = 0, size = 0;
                        for (size_t i = 2; i < one.size(); ++i)
                            for (size_t j = 0; j < one[i].size(); ++j)
                                worst = std::max(worst, std::abs(double(one[i][j]) - chunks[i][j])),
                                size = std::max(size, std::abs(double(one[i][j])));
                        // a difference in the last digit of a gradient may change its rounding to bfloat16
                        check(worst < (is_bf16<float> ? 1e-2 : 1e-5) * size, "in chunks the same gradients",
                              worst / size);
                    }
}
