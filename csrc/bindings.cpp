// Python's view of the engine: addresses in, addresses out; the tensors stay on the Python side.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "engine/run.h"

namespace nb = nanobind;
using namespace recurra;
using Address = uintptr_t;

namespace {

std::vector<std::string> instruction_sets() {
    std::vector<std::string> found;
#ifdef RECURRA_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        found.push_back("avx512");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back("avx2");
#endif
    found.push_back("baseline");
    return found;
}

std::string chosen() {
    const auto known = instruction_sets();
    const char* wanted = std::getenv("RECURRA_ISA");
    if (!wanted || !*wanted) return known.front();
    for (const auto& name : known)
        if (name == wanted) return name;
    throw std::runtime_error("RECURRA_ISA=" + std::string(wanted) + " is not available on this processor");
}

template <class T>
std::unique_ptr<Run<T>> make(const Spec& spec, bool keep) {
    static const std::string isa = chosen();
#define RECURRA_MAKE(name)                                                       \
    if (isa == #name) {                                                          \
        if constexpr (sizeof(T) == 4) return recurra::name::make_float(spec, keep); \
        else return recurra::name::make_double(spec, keep);                      \
    }
#ifdef RECURRA_X86
    RECURRA_MAKE(avx512)
    RECURRA_MAKE(avx2)
#endif
    RECURRA_MAKE(baseline)
#undef RECURRA_MAKE
    throw std::logic_error("no such instruction set");
}

template <class T>
std::vector<T*> pointers(const std::vector<Address>& addresses) {
    std::vector<T*> found;
    for (Address a : addresses) found.push_back(reinterpret_cast<T*>(a));
    return found;
}

template <class T>
T* at(Address a) { return reinterpret_cast<T*>(a); }

using Strided = std::tuple<Address, int64_t, int64_t>;
template <class T>
View<T> view(const nb::tuple& t) {
    return {at<T>(nb::cast<Address>(t[0])), nb::cast<int64_t>(t[1]), nb::cast<int64_t>(t[2])};
}

template <class T>
void bind(nb::module_& m, const char* name) {
    nb::class_<Run<T>>(m, name)
        .def_static("make",
                    [](int cell, int64_t steps, int64_t batch, int64_t input, int64_t hidden, int layers,
                       bool bidirectional, bool bias, double dropout, uint64_t seed, int threads, bool keep) {
                        return make<T>({Cell(cell), steps, batch, input, hidden, layers, bidirectional, bias, dropout,
                                        seed, threads},
                                       keep);
                    })
        .def("forward",
             [](Run<T>& run, nb::tuple x, Address lengths, const std::vector<Address>& weights, Address h0, Address c0,
                nb::tuple out, Address hn, Address cn) {
                 const auto in = view<const T>(x);
                 const auto to = view<T>(out);
                 nb::gil_scoped_release release;
                 run.forward(in, at<const int64_t>(lengths), pointers<const T>(weights), at<const T>(h0), at<const T>(c0),
                             to, at<T>(hn), at<T>(cn));
             })
        .def("backward", [](Run<T>& run, const std::vector<Address>& weights, nb::tuple gout, Address ghn, Address gcn,
                            nb::tuple gx, const std::vector<Address>& gweights, Address gh0, Address gc0) {
            const auto from = view<const T>(gout);
            const auto to = view<T>(gx);
            nb::gil_scoped_release release;
            run.backward(pointers<const T>(weights), from, at<const T>(ghn), at<const T>(gcn), to, pointers<T>(gweights),
                         at<T>(gh0), at<T>(gc0));
        });
}

}  // namespace

NB_MODULE(_engine, m) {
    nb::set_leak_warnings(false);  // a graph that is alive when Python ends keeps its run, and that is no fault
    m.doc() = "Recurrence over ragged batches, forward and backward.";
    m.def("instruction_sets", &instruction_sets, "Those of this processor, best first.");
    m.def("chosen", &chosen, "The one in use.");
    bind<float>(m, "RunFloat");
    bind<double>(m, "RunDouble");
}
