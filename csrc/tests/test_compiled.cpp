// A compiled cell, h = tanh(W x + b + U h), against its definition: values and gradients of ragged batches.
#ifndef RECURRA_BF16
#include <cmath>
#include <limits>

#include "../engine/compiled/program.h"
#include "testing.h"

using namespace recurra;
using namespace recurra::RECURRA_ISA;

namespace {

CellProgram program_of(int input, int hidden) {
    enum { before, after, dafter, dbefore, token, recurrent, sum, grad };
    const auto place = [&](Space space) { return Place{int(space), hidden}; };
    CellProgram program;
    program.places = {place(Space::before), place(Space::after),   place(Space::dafter),  place(Space::dbefore),
                      place(Space::token),  place(Space::scratch), place(Space::scratch), place(Space::grad)};
    program.forward.all = {{int(Op::product), recurrent, before, 1, -1},
                           {int(Op::add), sum, token, recurrent, -1},
                           {int(Op::tanh), after, sum, -1, -1}};
    program.backward.all = {{int(Op::dtanh), grad, dafter, after, -1},
                            {int(Op::clean), grad, -1, -1, -1},
                            {int(Op::product_back), dbefore, grad, 1, -1}};
    program.forward.after = program.backward.after = 3;
    program.products = {{0, input, 0, 1, hidden, 0, input, 2, 0, token, -1, grad, 1},
                        {1, hidden, 0, 1, hidden, 0, hidden, -1, 0, recurrent, before, grad, 1}};
    program.states = {{before, after, dafter, dbefore, 1, hidden}};
    program.input = input, program.input_place = program.dinput_place = -1, program.input_segments = 1;
    program.weight_sizes = {hidden * input, hidden * hidden, hidden};
    return program;
}

std::unique_ptr<CompiledCell<float>> compile(const CellProgram& program, float) { return compile_floats(program); }
std::unique_ptr<CompiledCell<double>> compile(const CellProgram& program, double) { return compile_doubles(program); }

template <class T>
void compare(int input, int hidden, std::vector<int64_t> lengths, bool reverse, int threads) {
    const int batch = int(lengths.size()), steps = 7;
    const CellProgram program = program_of(input, hidden);
    const auto cell = compile(program, T());
    auto w = draw<T>(hidden * input), u = draw<T>(hidden * hidden);
    const auto b = draw<T>(hidden);
    for (T& one : w) one *= T(0.3);
    for (T& one : u) one *= T(0.5 / std::sqrt(double(hidden)));  // errors do not grow
    const auto h0 = draw<T>(batch * hidden), gout = draw<T>(batch * steps * hidden), glast = draw<T>(batch * hidden);
    auto x = draw<T>(batch * steps * input);
    for (int row = 0; row < batch; ++row)  // padding must not be read
        for (int i = int(lengths[row]) * input; i < steps * input; ++i)
            x[row * steps * input + i] = std::numeric_limits<T>::quiet_NaN();
    std::vector<T> out(gout.size()), last(h0.size()), gx(x.size(), T(7)), gh0(h0.size());
    std::vector<T> gw(w.size()), gu(u.size()), gb(b.size());
    std::vector<T> tape(cell->tape_size(batch, steps) + 16);
    CellCall<T> call{batch,          steps,
                     reverse,        false,
                     threads,        {x.data(), steps * input, input},
                     lengths.data(), {w.data(), u.data(), b.data()},
                     {h0.data()},    {out.data(), steps * hidden, hidden},
                     {last.data()},  tape.data()};
    cell->forward(call, nullptr);
    cell->backward(call, {{gout.data(), steps * hidden, hidden},
                          {glast.data()},
                          {gx.data(), steps * input, input},
                          {gw.data(), gu.data(), gb.data()},
                          {gh0.data()}});
    std::vector<T> again(out.size()), end(last.size());
    const auto pack = cell->pack(call.weights, threads);
    call.tape = nullptr, call.out.data = again.data(), call.last = {end.data()};
    cell->forward(call, pack.get());
    check(again == out && end == last, "a compiled cell without a tape");
    check(cell->fits(*pack, call.weights, threads), "packed weights fit");

    // the definition, in float64
    std::vector<double> dw(w.size()), du(u.size()), db(b.size());
    const double limit = sizeof(T) == 4 ? 2e-4 : 1e-11;
    const auto near = [&](double found, double wanted, const char* what) {
        check(std::abs(found - wanted) <= limit * (1 + std::abs(wanted)), what, found - wanted);
    };
    for (int row = 0; row < batch; ++row) {
        const int n = int(lengths[row]);
        std::vector<std::vector<double>> h(n + 1, std::vector<double>(hidden));
        for (int j = 0; j < hidden; ++j) h[0][j] = h0[row * hidden + j];
        const auto at = [&](int i) { return row * steps + (reverse ? n - 1 - i : i); };
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < hidden; ++j) {
                double s = b[j];
                for (int k = 0; k < input; ++k) s += double(w[j * input + k]) * x[at(i) * input + k];
                for (int k = 0; k < hidden; ++k) s += u[j * hidden + k] * h[i][k];
                h[i + 1][j] = std::tanh(s);
                near(out[at(i) * hidden + j], h[i + 1][j], "output of a compiled cell");
            }
        std::vector<double> d(hidden), before(hidden);
        for (int j = 0; j < hidden; ++j) {
            near(last[row * hidden + j], h[n][j], "last state of a compiled cell");
            d[j] = glast[row * hidden + j];
        }
        for (int i = n; i-- > 0;) {
            std::fill(before.begin(), before.end(), 0);
            std::vector<double> dx(input);
            for (int j = 0; j < hidden; ++j) {
                const double g = (d[j] + gout[at(i) * hidden + j]) * (1 - h[i + 1][j] * h[i + 1][j]);
                for (int k = 0; k < input; ++k)
                    dw[j * input + k] += g * x[at(i) * input + k], dx[k] += g * w[j * input + k];
                for (int k = 0; k < hidden; ++k) du[j * hidden + k] += g * h[i][k], before[k] += g * u[j * hidden + k];
                db[j] += g;
            }
            for (int k = 0; k < input; ++k) near(gx[at(i) * input + k], dx[k], "gradient of the input");
            d = before;
        }
        for (int j = 0; j < hidden; ++j) near(gh0[row * hidden + j], d[j], "gradient of the initial state");
        for (int i = n * input; i < steps * input; ++i)
            check(gx[row * steps * input + i] == 0, "gradient of the padding");
    }
    for (size_t i = 0; i < dw.size(); ++i) near(gw[i], dw[i], "gradient of weight_ih");
    for (size_t i = 0; i < du.size(); ++i) near(gu[i], du[i], "gradient of weight_hh");
    for (size_t i = 0; i < db.size(); ++i) near(gb[i], db[i], "gradient of the bias");
}

}  // namespace

void test_compiled() {
    for (const bool reverse : {false, true})
        for (const int hidden : {1, 5, 16, 67})
            for (const auto& lengths : std::vector<std::vector<int64_t>>{
                     {}, {0}, {7}, {3, 0, 7}, {7, 7, 7, 7}, {1, 2, 3, 4, 5, 6, 7, 0, 7, 7, 2, 5, 5, 6, 1, 1, 7, 3}}) {
                compare<float>(3, hidden, lengths, reverse, 3);
                compare<double>(20, hidden, lengths, reverse, 2);
            }
}
#else
void test_compiled() {}
#endif
