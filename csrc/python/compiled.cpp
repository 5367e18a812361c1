// Compiled cells in the Python module.
#include "compiled.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstring>
#include <mutex>

#include "isa.h"
#include "layer.h"

namespace nb = nanobind;

namespace recurra {
namespace {

using Address = uintptr_t;
using Addresses = std::vector<Address>;
using Strided = std::array<int64_t, 3>;  // address, strides of batch and time
using Table = std::vector<std::vector<int>>;

template <class T>
T* at(Address a) {
    return reinterpret_cast<T*>(a);
}
template <class T>
std::vector<T*> pointers(const Addresses& addresses) {
    std::vector<T*> found;
    for (Address a : addresses) found.push_back(at<T>(a));
    return found;
}
template <class T>
View<T> view(const Strided& v) {
    return {at<T>(Address(v[0])), v[1], v[2]};
}

// The rows of a table of integers as structures of as many integers.
template <class S>
std::vector<S> structures(const Table& table) {
    std::vector<S> found(table.size());
    for (size_t i = 0; i < table.size(); ++i) {
        if (table[i].size() * sizeof(int) != sizeof(S))
            throw std::invalid_argument("a row of a program has a wrong size");
        std::memcpy(&found[i], table[i].data(), sizeof(S));
    }
    return found;
}

template <class T>
std::unique_ptr<CompiledCell<T>> compile(const CellProgram& program) {
    const std::string isa = chosen();
#define RECURRA_CHOOSE(name)                                                         \
    if (isa == #name) {                                                              \
        if constexpr (sizeof(T) == 4) return recurra::name::compile_floats(program); \
        else return recurra::name::compile_doubles(program);                         \
    }
#ifdef RECURRA_X86
    RECURRA_CHOOSE(avx512)
    RECURRA_CHOOSE(avx2)
#endif
    RECURRA_CHOOSE(baseline)
#undef RECURRA_CHOOSE
    throw std::logic_error("no such instruction set");
}

template <class T>
struct Cell {
    explicit Cell(const CellProgram& from) : program(from), compiled(compile<T>(program)) {}
    Cell(const Cell&) = delete;

    const CellProgram program;
    const std::unique_ptr<CompiledCell<T>> compiled;

    // Returns packed weights for a call without gradients. Those of the last calls are reused if no weight has changed.
    std::shared_ptr<const CellPack> recent(const std::vector<const T*>& weights, int threads) {
        constexpr size_t kRecent = 4;  // layers and directions may share a program
        const T* const key = weights.empty() ? nullptr : weights.front();
        const std::lock_guard<std::mutex> lock(mutex_);
        for (auto& [first, pack] : recent_)
            if (first == key) {
                if (!compiled->fits(*pack, weights, threads)) pack = compiled->pack(weights, threads);
                return pack;
            }
        if (recent_.size() == kRecent) recent_.erase(recent_.begin());
        recent_.emplace_back(key, compiled->pack(weights, threads));
        return recent_.back().second;
    }

private:
    std::mutex mutex_;
    std::vector<std::pair<const T*, std::shared_ptr<const CellPack>>> recent_;  // with the first weight
};

// What a call stores for its backward pass, in memory that the engine reuses.
template <class T>
struct Tape {
    Buffer<T> data;
};

// Seed and probability of each mask; first row, first step and steps; see `Masks`.
using MaskTable = std::pair<std::vector<std::pair<uint64_t, double>>, std::array<int64_t, 3>>;
Masks masks_of(const MaskTable& table) {
    const auto [row, step, steps] = table.second;
    Masks found{{}, row, step, steps};
    for (const auto& [seed, dropped] : table.first) found.draws.push_back({seed, dropped});
    return found;
}

// Batch, steps, threads; whether the layer runs from the end to the beginning.
using Sizes = std::array<int64_t, 3>;
template <class T>
CellCall<T> call_of(const Sizes& sizes, bool reverse, const Strided& x, Address lengths, const Addresses& weights,
                    const Addresses& states, const Strided& out, const Addresses& last, Address tape) {
    return {sizes[0],
            sizes[1],
            reverse,
            invariant(),
            int(sizes[2]),
            view<const T>(x),
            at<const int64_t>(lengths),
            pointers<const T>(weights),
            pointers<const T>(states),
            view<T>(out),
            pointers<T>(last),
            at<T>(tape)};
}

template <class T>
void bind(nb::module_ m) {
    using In = const Addresses&;
    nb::class_<Tape<T>>(m, "CellTape").def("data_ptr", [](const Tape<T>& self) { return Address(self.data.get()); });
    nb::class_<Cell<T>>(m, "CompiledCell")
        .def("__init__",
             [](Cell<T>* self, const Table& places, const Table& forward, const Table& backward,
                std::array<int, 4> stages, const Table& products, const Table& params,
                const std::vector<std::pair<double, int>>& constants, const Table& states, std::array<int, 4> input,
                const std::vector<int64_t>& weights) {
                 CellProgram program{structures<Place>(places),
                                     {structures<Instruction>(forward), stages[0], stages[1]},
                                     {structures<Instruction>(backward), stages[2], stages[3]},
                                     structures<Product>(products),
                                     structures<Param>(params),
                                     {},
                                     structures<StateShape>(states),
                                     input[0],
                                     input[1],
                                     input[2],
                                     input[3],
                                     weights};
                 for (const auto& [value, place] : constants) program.constants.push_back({value, place});
                 new (self) Cell<T>(program);
             })
        .def("tape_size",
             [](const Cell<T>& self, int64_t batch, int64_t steps) { return self.compiled->tape_size(batch, steps); })
        .def("tape",
             [](const Cell<T>& self, int64_t batch, int64_t steps) {
                 Tape<T> tape;
                 tape.data.resize(self.compiled->tape_size(batch, steps) + 1);
                 return tape;
             })
        .def(
            "forward",
            [](Cell<T>& self, const Sizes& sizes, bool reverse, const Strided& x, Address lengths, In weights,
               In states, const Strided& out, In last, Address tape, const MaskTable& masks, const CellPack* pack) {
                auto call = call_of<T>(sizes, reverse, x, lengths, weights, states, out, last, tape);
                call.masks = masks_of(masks);
                nb::gil_scoped_release release;
                std::shared_ptr<const CellPack> known;
                if (!pack && !call.tape) known = self.recent(call.weights, call.threads), pack = known.get();
                self.compiled->forward(call, pack);
            },
            nb::arg("sizes"), nb::arg("reverse"), nb::arg("x"), nb::arg("lengths"), nb::arg("weights"),
            nb::arg("states"), nb::arg("out"), nb::arg("last"), nb::arg("tape"), nb::arg("masks"),
            nb::arg("pack").none() = nb::none())
        .def(
            "pack",
            [](const Cell<T>& self, In weights, int threads) {
                return self.compiled->pack(pointers<const T>(weights), threads);
            },
            nb::keep_alive<0, 1>())
        .def("backward",
             [](const Cell<T>& self, const Sizes& sizes, bool reverse, const Strided& x, Address lengths, In weights,
                In states, Address tape, const Strided& gout, In glast, const Strided& gx, In gweights, In gstates) {
                 const auto call = call_of<T>(sizes, reverse, x, lengths, weights, states, {0, 0, 0}, {}, tape);
                 const CellGradients<T> to{view<const T>(gout), pointers<const T>(glast), view<T>(gx),
                                           pointers<T>(gweights), pointers<T>(gstates)};
                 nb::gil_scoped_release release;
                 self.compiled->backward(call, to);
             });
}

}  // namespace

void bind_compiled(nb::module_ floats, nb::module_ doubles) {
    nb::class_<CellPack>(floats, "CellPack");
    bind<float>(floats);
    bind<double>(doubles);
}

}  // namespace recurra
