// The engine for WebAssembly: functions with C names and 32-bit arguments, in float32, on one thread.
//
// Arrays are addresses in the memory of the module. A stack of layers is opened once and packs its weights; the caller
// may release them then. All arguments are checked by the caller, src/recurra/exporting/web/recurra-web.js.
#include <wasi/api.h>

#include <cstdlib>

#include "../engine/attention.h"
#include "../engine/export_gates.h"
#include "../engine/forward.h"
#include "../engine/linear.h"
#include "../engine/step_session.h"

#define EXPORT(name) __attribute__((export_name(#name)))

namespace recurra::RECURRA_ISA {
namespace {

struct Layout {
    int32_t cell, input, hidden, projected, layers, bidirectional, bias;
    Spec spec(int64_t steps, int64_t batch) const {
        Spec spec{};
        spec.cell = Cell(cell), spec.steps = steps, spec.batch = batch, spec.input = input, spec.hidden = hidden;
        spec.projected = projected, spec.layers = layers, spec.bidirectional = bidirectional, spec.bias = bias;
        spec.threads = 1;
        return spec;
    }
    // `weights`: the address of each tensor, in torch's order.
    std::vector<const float*> flat(const float* const* weights) const {
        const Spec any = spec(1, 1);
        const int count = Sizes<float>(any).weights_per_direction(bias) * layers * (bidirectional ? 2 : 1);
        return {weights, weights + count};
    }
};

struct Stack {
    Layout layout;
    Weights<float> weights;
    Stack(const Layout& layout_, const float* const* from)
        : layout(layout_),
          weights(layout.spec(1, 1), layout.flat(from)) {
        weights.pack_forward();
    }
};

// A call of a stack. Null initial states are zeros. `gates`: see export_gates; the first is null if none is needed.
struct Call {
    int32_t steps, batch;
    const float* x;  // (batch, steps, input)
    const int32_t* lengths;
    const float *h0, *c0;
    float *out, *hn, *cn;  // `out` is (batch, steps, directions * size)
    float* gates[6];
};

struct Session {
    Layout layout;
    PackedStepSession<float, ExactMatrix<float>> steps;
    Session(const Layout& layout_, const float* const* from)
        : layout(layout_),
          steps(layout.spec(1, 1), layout.flat(from)) {}
};

}  // namespace
}  // namespace recurra::RECURRA_ISA

using namespace recurra;
using namespace recurra::RECURRA_ISA;

extern "C" {

EXPORT(allocate) void* allocate(size_t bytes) { return std::malloc(bytes ? bytes : 1); }
EXPORT(release) void release(void* block) { std::free(block); }

EXPORT(stack_open) Stack* stack_open(const Layout* layout, const float* const* weights) {
    return new Stack(*layout, weights);
}
EXPORT(stack_close) void stack_close(Stack* stack) { delete stack; }
EXPORT(stack_run) void stack_run(Stack* stack, const Call* call) {
    const Spec spec = stack->layout.spec(call->steps, call->batch);
    const Sizes<float> sizes(spec);
    const std::vector<int64_t> lengths(call->lengths, call->lengths + call->batch);
    const View<const float> x{call->x, spec.steps * spec.input, spec.input};
    const View<float> out{call->out, spec.steps * sizes.joined, sizes.joined};
    const Inputs<float> in{x, lengths.data(), {}, call->h0, call->c0, false};
    const Outputs<float> to{out, call->hn, call->cn};
    const Batch batch(spec.batch, spec.steps, lengths.data());
    Forward<float> forward(spec, batch, stack->weights, in, &to, true);
    if (!call->gates[0]) return forward.pass(nullptr);
    Buffer<float> tape;
    tape.resize(stored_offset(spec, sizes, spec.layers, batch.tokens) + 1);
    forward.keep(tape.get());
    export_gates<float>(spec, lengths.data(), tape.get(), {call->gates, call->gates + sizes.products + 2});
}

// Single steps of one sequence through a unidirectional stack, at the lowest latency.
EXPORT(session_open) Session* session_open(const Layout* layout, const float* const* weights) {
    return new Session(*layout, weights);
}
EXPORT(session_close) void session_close(Session* session) { delete session; }
EXPORT(session_read) void session_read(const Session* session, float* h, float* c) { session->steps.read_state(h, c); }
EXPORT(session_write) void session_write(Session* session, const float* h, const float* c) {
    session->steps.write_state(h, c);
}
// The session keeps the states from step to step.
EXPORT(session_step) void session_step(Session* session, const float* x, float* y) { session->steps.step(x, y); }

// out = x · weight' + bias; `bias` may be null.
EXPORT(linear)
void linear_rows(const float* x, int rows, int columns, int depth, const float* weight, const float* bias, float* out) {
    linear<float>({x, depth, rows, columns, depth, weight, bias, out, 1});
}

// Attention pooling. `weights` (batch, steps) receives the share of each step.
EXPORT(attend)
void attend_rows(const float* rows, const int32_t* lengths, int batch, int steps, int features, const float* vector,
                 const float* bias, float* weights, float* out) {
    const std::vector<int64_t> wide(lengths, lengths + batch);
    attend<float>(
        {{rows, int64_t(steps) * features, features}, wide.data(), batch, steps, features, vector, bias, weights, 1},
        out);
}

// The C library would import these two functions from JavaScript. With them, the module imports nothing.
void emscripten_notify_memory_growth(size_t) {}
void __wasi_proc_exit(__wasi_exitcode_t) { __builtin_trap(); }

}  // extern "C"
