// Sessions with weights in 8 bits: products against their definition with integers, and beside sequences with NaN.
#ifndef RECURRA_BF16
#include "../engine/int8_matrix.h"

#include <cmath>

#include "../engine/api.h"
#include "testing.h"

namespace recurra::RECURRA_ISA::portable {
std::unique_ptr<StepSession<float>> open_int8(const Spec&, const std::vector<const float*>& weights);
}

using namespace recurra::RECURRA_ISA;

namespace {

// Both ways to multiply give the integers of the definition.
template <int V>
void compare(int depth) {
    const auto x = draw<float>(depth);
    auto w = draw<float>(size_t(depth) * V * lanes<float>);
    Int8Input in;
    in.set(x.data(), depth);
    const int words = (depth + kQuad - 1) / kQuad;
    std::vector<uint8_t> packed(size_t(words) * V * RECURRA_VECTOR_BYTES);
    for (uint8_t& byte : packed) byte = uint8_t(generator());
    Int8Sums<V> sums[2];
    tile_int8<V>(words, in, packed.data(), sums[0]);
    sums[1] = sums[0];
    if (has_vnni()) tile_vnni<V>(words, in, packed.data(), sums[1]);
    for (const Int8Sums<V>& found : sums)
        for (int v = 0; v < V; ++v)
            for (int j = 0; j < lanes<float>; ++j) {
                int64_t high = 0, low = 0;
                for (int k = 0; k < words * kQuad; ++k) {
                    const int64_t weight = packed[(size_t(k / kQuad) * V + v) * RECURRA_VECTOR_BYTES + j * 4 + k % 4];
                    high += in.high[k] * weight, low += in.low[k] * weight;
                }
                check(found.high[v][j] == high && found.low[v][j] == low, "products of bytes", depth);
            }
    float largest = 0;
    for (float number : x) largest = std::max(largest, std::fabs(number));
    for (int k = 0; k < depth; ++k)
        check(std::fabs(in.scale * float(in.high[k] * 256 + in.low[k]) - x[k]) <= 0.51f * largest / kMost,
              "a vector in 16 bits", x[k]);
}

constexpr int64_t kInput = 11, kHidden = 37, kBatch = 3, kLayers = 2;
constexpr uint64_t kOutputs = 0xe02d80613d783d1b;  // as every instruction set gives them

// Numbers from -0.5 to 0.5, the same with every library.
std::vector<float> numbers(int64_t n, uint32_t& state) {
    std::vector<float> found(n);
    for (float& x : found) state = state * 1664525 + 1013904223, x = float(int(state >> 9) - (1 << 22)) / (1 << 23);
    return found;
}

// Outputs of some steps. `wrong`: a number of the second sequence in the first step.
std::vector<float> run(recurra::Cell cell, float wrong) {
    recurra::Spec spec{};
    spec.cell = cell, spec.steps = 1, spec.batch = kBatch, spec.input = kInput, spec.hidden = kHidden;
    spec.layers = kLayers, spec.bias = true, spec.threads = 1;
    const int64_t rows = kHidden * (cell == recurra::Cell::lstm ? 4 : cell == recurra::Cell::gru ? 3 : 1);
    uint32_t state = 1;
    std::vector<std::vector<float>> weights;
    for (int64_t layer = 0; layer < kLayers; ++layer)
        for (int64_t n : {rows * (layer ? kHidden : kInput), rows * kHidden, rows, rows})
            weights.push_back(numbers(n, state));
    std::vector<const float*> flat;
    for (const auto& w : weights) flat.push_back(w.data());
    const auto session = portable::open_int8(spec, flat);
    std::vector<float> y(kBatch * kHidden), all;
    for (int step = 0; step < 20; ++step) {
        auto x = numbers(kBatch * kInput, state);
        if (!step && wrong) x[kInput + 3] = wrong;
        session->step(x.data(), y.data());
        all.insert(all.end(), y.begin(), y.end());
    }
    return all;
}

// A number that is not finite makes its own sequence NaN and changes no other.
void is_apart() {
    const auto plain = run(recurra::Cell::gru, 0);
    for (float wrong : {NAN, INFINITY}) {
        const auto found = run(recurra::Cell::gru, wrong);
        for (size_t i = 0; i < found.size(); ++i)
            if (i / kHidden % kBatch == 1) check(std::isnan(found[i]), "NaN stays", double(i));
            else check(found[i] == plain[i], "a sequence beside one with NaN", double(i));
    }
}

// The same bits for every instruction set: a hash of all outputs.
void is_portable() {
    uint64_t hash = 14695981039346656037u;
    for (recurra::Cell cell : {recurra::Cell::lstm, recurra::Cell::gru, recurra::Cell::rnn_tanh})
        for (float y : run(cell, 0)) {
            uint32_t bits;
            std::memcpy(&bits, &y, sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    check(hash == kOutputs, "outputs of int8 sessions");
    if (hash != kOutputs) std::printf("hash %llx\n", static_cast<unsigned long long>(hash));
}

}  // namespace

void test_int8() {
    for (int depth : {1, 3, 4, 5, 17, 64, 70, 257}) compare<1>(depth), compare<3>(depth), compare<4>(depth);
    is_portable();
    is_apart();
}
#else
void test_int8() {}
#endif
