// The Python module: functions that take addresses of tensors. The tensors stay on the Python side.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <numeric>
#include <optional>
#include <string>

#include "../engine/pool.h"
#include "compiled.h"
#include "isa.h"
#include "layer.h"

namespace nb = nanobind;
using namespace recurra;
using Address = uintptr_t;

namespace {

template <class T>
T* at(Address a) {
    return reinterpret_cast<T*>(a);
}
template <class T>
std::vector<T*> pointers(const std::vector<Address>& addresses) {
    std::vector<T*> found;
    found.reserve(addresses.size());
    for (Address a : addresses) found.push_back(at<T>(a));
    return found;
}
template <class T>
View<T> view(const nb::tuple& t) {
    return {at<T>(nb::cast<Address>(t[0])), nb::cast<int64_t>(t[1]), nb::cast<int64_t>(t[2])};
}
using Addresses = std::vector<Address>;

template <class T>
Inputs<T> inputs(const nb::tuple& x, Address lengths, const Addresses& weights, Address h0, Address c0) {
    return {view<const T>(x),
            at<const int64_t>(lengths),
            pointers<const T>(weights),
            at<const T>(h0),
            at<const T>(c0),
            false};
}

// View of the rows; batch, steps, features; addresses of lengths, vector, bias and weights; threads.
using Attending = std::tuple<nb::tuple, std::array<int64_t, 3>, std::array<Address, 4>, int>;
template <class T>
Attention<T> attention(const Attending& a) {
    const auto& [rows, sizes, addresses, threads] = a;
    const auto [lengths, vector, bias, weights] = addresses;
    return {view<const T>(rows), at<const int64_t>(lengths), sizes[0],       sizes[1], sizes[2],
            at<const T>(vector), at<const T>(bias),          at<T>(weights), threads};
}

// The functions for one floating-point type. States, weights and lengths are contiguous. A view is (address, batch,
// time) with strides in numbers. Address 0 means no tensor.
template <class T>
void bind(nb::module_ m) {
    using In = const Addresses&;
    m.def("tape_size", [](const Spec& s) { return engine<T>().tape_size(s); });
    m.def("infer", [](const Spec& s, nb::tuple x, Address lengths, In weights, Address h0, Address c0, nb::tuple out,
                      Address hn, Address cn) {
        const auto in = inputs<T>(x, lengths, weights, h0, c0);
        const Outputs<T> to{view<T>(out), at<T>(hn), at<T>(cn)};
        nb::gil_scoped_release release;
        engine<T>().infer(s, in, to);
    });
    m.def("forward", [](const Spec& s, nb::tuple x, Address lengths, In weights, Address h0, Address c0, nb::tuple out,
                        Address hn, Address cn, Address tape) {
        const auto in = inputs<T>(x, lengths, weights, h0, c0);
        const Outputs<T> to{view<T>(out), at<T>(hn), at<T>(cn)};
        nb::gil_scoped_release release;
        engine<T>(s).forward(s, in, to, at<T>(tape));
    });
    m.def("backward",
          [](const Spec& s, nb::tuple x, Address lengths, In weights, Address h0, Address c0, nb::tuple gout,
             Address ghn, Address gcn, nb::tuple gx, In gweights, Address gh0, Address gc0, Address tape) {
              const auto in = inputs<T>(x, lengths, weights, h0, c0);
              const Gradients<T> to{view<const T>(gout),   at<const T>(ghn), at<const T>(gcn), view<T>(gx),
                                    pointers<T>(gweights), at<T>(gh0),       at<T>(gc0)};
              nb::gil_scoped_release release;
              engine<T>(s).backward(s, in, to, at<const T>(tape));
          });
    m.def("export_gates", [](const Spec& s, Address lengths, Address tape, In to) {
        const auto arrays = pointers<T>(to);
        nb::gil_scoped_release release;
        engine<T>().export_gates(s, at<const int64_t>(lengths), at<const T>(tape), arrays);
    });
    m.def(
        "linear",
        [](Address rows, int64_t stride, std::array<int64_t, 3> sizes, Address weight, Address bias, Address out,
           int threads, bool across, bool bf16) {
            const Linear<T> call{at<const T>(rows), stride,     sizes[0], sizes[1], sizes[2], at<const T>(weight),
                                 at<const T>(bias), at<T>(out), threads,  across};
            nb::gil_scoped_release release;
            engine<T>(bf16).linear(call);
        },
        nb::arg("rows"), nb::arg("stride"), nb::arg("sizes"), nb::arg("weight"), nb::arg("bias"), nb::arg("out"),
        nb::arg("threads"), nb::arg("across") = false, nb::arg("bf16") = false);
    m.def("outer", [](Address g, int64_t g_stride, Address x, int64_t x_stride, std::array<int64_t, 3> sizes,
                      Address out, int threads, bool bf16) {
        const Outer<T> call{at<const T>(g), g_stride, at<const T>(x), x_stride, sizes[0],
                            sizes[1],       sizes[2], at<T>(out),     threads};
        nb::gil_scoped_release release;
        engine<T>(bf16).outer(call);
    });
    m.def("attend", [](const Attending& a, Address out) {
        const auto call = attention<T>(a);
        nb::gil_scoped_release release;
        engine<T>().attend(call, at<T>(out));
    });
    m.def("attend_steps", [](const Attending& a, Address states, Address out) {
        const auto call = attention<T>(a);
        nb::gil_scoped_release release;
        engine<T>().attend_steps(call, at<double>(states), at<T>(out));
    });
    m.def("attend_back", [](const Attending& a, Address gout, Address grows, Address gvector, Address gbias) {
        const auto call = attention<T>(a);
        nb::gil_scoped_release release;
        engine<T>().attend_back(call, at<const T>(gout), at<T>(grows), at<T>(gvector), at<T>(gbias));
    });
}

}  // namespace

NB_MODULE(_engine, m) {
    nb::set_leak_warnings(false);  // an autograd graph that is alive at exit keeps its objects; this is not a leak
    m.doc() = "Recurrence over ragged batches, forward and backward.";
    m.def("instruction_sets", &instruction_sets, "Those of this processor, best first.");
    m.def("chosen", &chosen, "The one in use.");
    m.def(
        "bf16_engine",
        []() -> std::optional<std::string> {
            const Bf16Engine* found = bf16_engine();
            return found ? std::optional<std::string>(found->name) : std::nullopt;
        },
        "Returns the instruction set whose products of bfloat16 are used, because they are faster than those of "
        "float32, or None.");
    m.def(
        "bf16_engines",
        [] {
            std::vector<std::string> names;
            for (const Bf16Engine& engine : bf16_engines()) names.push_back(engine.name);
            return names;
        },
        "Returns the instruction sets of this processor with products of bfloat16.");
    m.def(
        "use_bf16",
        [](const std::string& name) {
            int use = name == "faster" ? kFaster : kNone;
            for (size_t i = 0; i < bf16_engines().size(); ++i)
                if (name == bf16_engines()[i].name) use = int(i);
            bf16_use = use;
        },
        "For tests: uses the products of an instruction set, also where they are slower; 'faster' is the default, '' "
        "uses none.");
    m.def("drop", [](Address from, Address to, int64_t n, int64_t first, double dropped, uint64_t seed, int threads) {
        nb::gil_scoped_release release;
        engine<float>().drop(at<const float>(from), at<float>(to), n, first, dropped, seed, threads);
    });
    m.def(
        "measure_peak",
        [](int threads, double seconds, bool bf16) {
            const Bf16Engine* halves = bf16 ? bf16_engine() : nullptr;
            const Engine<float>& used = halves ? *halves->engine : engine<float>();
            std::vector<double> found(threads);
            nb::gil_scoped_release release;
            parallel(threads, [&](int i) { found[i] = used.peak(seconds); });
            return std::accumulate(found.begin(), found.end(), 0.0) / 1e9;
        },
        nb::arg("threads"), nb::arg("seconds") = 0.2, nb::arg("bf16") = false,
        "Most GF/s of multiply-adds, counted as two operations: in float32, or with products of bfloat16 if used.");
    m.def(
        "measure_bandwidth",
        [](int threads, int64_t bytes, double seconds) {
            std::vector<double> found(threads);
            nb::gil_scoped_release release;
            parallel(threads, [&](int i) { found[i] = engine<float>().bandwidth(bytes / threads, seconds); });
            return std::accumulate(found.begin(), found.end(), 0.0) / 1e9;
        },
        nb::arg("threads"), nb::arg("bytes"), nb::arg("seconds") = 0.2,
        "Most GB/s of reading so many bytes again and again, each thread its own part.");
    m.def(
        "thread_costs",
        [] {
            const ThreadCosts costs = thread_costs();
            return std::make_tuple(costs.start, costs.meeting, costs.cores);
        },
        "Nanoseconds to start a thread and to wait at a barrier, and the number of cores; see engine/costs.h.");
    m.def(
        "replace_thread_costs",
        [](double start, double meeting, int cores) {
            static ThreadCosts given;  // calls of other threads may read them meanwhile, so this is for tests only
            given = {start, meeting, cores};
            replace_costs(&given);
        },
        nb::arg("start"), nb::arg("meeting"), nb::arg("cores"), "Replaces the measured costs, for tests.");
    m.def("measure_thread_costs", [] { replace_costs(nullptr); }, "The measured costs decide again.");
    nb::class_<Spec>(m, "Spec").def("__init__", [](Spec* self, int cell, int64_t steps, int64_t batch, int64_t input,
                                                   int64_t hidden, int64_t projected, int layers, bool bidirectional,
                                                   bool bias, double dropout, uint64_t seed, int threads, int64_t chunk,
                                                   bool bf16) {
        new (self) Spec{Cell(cell), steps,   batch, input,   hidden, projected, layers,      bidirectional,
                        bias,       dropout, seed,  threads, chunk,  bf16,      invariant(), part().first_row(batch)};
    });
    auto floats = m.def_submodule("float32"), doubles = m.def_submodule("float64");
    bind<float>(floats);
    bind<double>(doubles);
    bind_compiled(floats, doubles);
    bind_layer(m);
}
