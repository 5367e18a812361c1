#include "layer.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <utility>

#if defined(__linux__)
#include <dlfcn.h>
#endif

#include "tensors.h"

namespace nb = nanobind;
using namespace recurra;

namespace {

// Functions of torch that every call needs, looked up once.
struct Torch {
    nb::object module = nb::module_::import_("torch");
    nb::object threads = module.attr("get_num_threads"), gradients = module.attr("is_grad_enabled");
    // users of these modes must see each operation
    nb::object dispatch_modes = module.attr("_C").attr("_len_torch_dispatch_stack");
    nb::object tracing = module.attr("_C").attr("_is_tracing");
    // The same functions in torch's library, at a tenth of the cost of a Python call; null if it does not have them.
    bool (*trains)() = nullptr;
    int64_t (*modes)() = nullptr;

    Torch() {
#if defined(__linux__)
        void* library = dlopen("libc10.so", RTLD_LAZY | RTLD_NOLOAD);
        if (!library) return;
        trains = reinterpret_cast<bool (*)()>(dlsym(library, "_ZN3c108GradMode10is_enabledEv"));
        modes = reinterpret_cast<int64_t (*)()>(dlsym(library, "_ZN3c104impl20TorchDispatchModeTLS9stack_lenEv"));
#endif
    }
};
const Torch& torch() {
    static const Torch* found = new Torch;  // never destroyed: Python may have ended before
    return *found;
}

nb::object call(nb::handle f) {
    PyObject* found = PyObject_CallNoArgs(f.ptr());
    if (!found) nb::raise_python_error();
    return nb::steal(found);
}
nb::object interned(const char* name) { return nb::steal(PyUnicode_InternFromString(name)); }
int threads() { return int(PyLong_AsLong(call(torch().threads).ptr())); }
bool trains() { return torch().trains ? torch().trains() : call(torch().gradients).ptr() != Py_False; }
bool nobody_watches() {
    const int64_t modes = torch().modes ? torch().modes() : PyLong_AsLong(call(torch().dispatch_modes).ptr());
    return modes == 0 && call(torch().tracing).ptr() == Py_False;
}

bool plain(nb::handle t, Numbers kind, Tensor& found) { return look(t, found) && found.kind == kind; }
bool compact(nb::handle t, Numbers kind, Tensor& found) { return plain(t, kind, found) && found.contiguous(); }

template <class T>
T* at(const Tensor& t) {
    return static_cast<T*>(t.data);
}

class Layer {
public:
    Layer(int cell, int64_t input, int64_t hidden, int64_t projected, int layers, bool bidirectional, bool bias,
          nb::tuple names, nb::list shapes)
        : spec_{Cell(cell), 1, 1, input, hidden, projected, layers, bidirectional, bias, 0, 0, 1, 0, false, false, 0},
          directions_(bidirectional ? 2 : 1),
          out_(projected ? projected : hidden) {
        for (nb::handle name : names) names_.push_back(nb::borrow(name));
        for (nb::handle shape : shapes) shapes_.push_back(nb::cast<std::vector<int64_t>>(shape));
    }

    // Returns None if the arguments do not fit. The general path then computes the call or explains the error.
    nb::object forward(nb::dict parameters, nb::handle x, nb::handle state, nb::handle lengths, bool batch_first) {
        return served(parameters, x, [&](const Tensor& values, auto& in) {
            return forward_as(values, in, state, lengths, batch_first, nullptr);
        });
    }
    // The same for the rows of `table` that the numbers in `tokens` (batch, time) name. Only batch-invariant calls
    // without gradients.
    nb::object embedded(nb::dict parameters, nb::handle table, nb::handle tokens, nb::handle state, nb::handle lengths,
                        bool batch_first) {
        if (!invariant() || trains()) return nb::none();
        return served(parameters, table, [&](const Tensor& rows, auto& in) {
            return embedded_as(rows, tokens, in, state, lengths, batch_first);
        });
    }
    // The same for training, with the weights as a tuple. Returns (output, h, c or None, tape), or None.
    nb::object keep(nb::tuple weights_, nb::handle x, nb::handle state, nb::handle lengths, bool batch_first,
                    double dropout, nb::handle draw_seed, bool bf16) {
        const Training how{dropout, draw_seed, bf16};
        return served(weights_, x, [&](const Tensor& values, auto& in) {
            return forward_as(values, in, state, lengths, batch_first, &how);
        });
    }
    nb::tuple config() const {
        const Spec& s = spec_;
        return nb::make_tuple(int(s.cell), s.hidden, s.projected, s.layers, s.bidirectional, s.bias);
    }
    // One step without gradients. Returns None as `forward` does, and if gradients are on.
    nb::object step(nb::dict parameters, nb::handle x, nb::handle state) {
        if (spec_.bidirectional || trains()) return nb::none();
        return served(parameters, x, [&](const Tensor& values, auto& in) { return step_as(values, in, state, false); });
    }
    // The same for one layer, with states (batch, size). Returns the new state.
    nb::object cell(nb::dict parameters, nb::handle x, nb::handle state) {
        if (trains()) return nb::none();
        return served(parameters, x, [&](const Tensor& values, auto& in) { return step_as(values, in, state, true); });
    }

private:
    Spec spec_;
    const int directions_;
    const int64_t out_;
    const nb::object version_ = interned("_version");
    std::vector<nb::object> names_;
    bool own_names_ = false;
    std::vector<std::vector<int64_t>> shapes_;
    std::shared_ptr<const PackedStack<float>> packed_single_;  // weights packed for calls without gradients
    std::shared_ptr<const PackedStack<double>> packed_double_;
    // The weights as Python objects, in the order of `shapes_`; valid until the interpreter lock is released.
    std::vector<PyObject*> objects_;
    // Address and version of every weight_hh at the last check that found all of them finite.
    std::vector<std::pair<const void*, int64_t>> finite_;
    std::vector<const float*> scratch_single_;  // reused for the addresses of the weights
    std::vector<const double*> scratch_double_;

    template <class W, class F>
    nb::object served(const W& parameters, nb::handle x, F f) {
        try {
            Tensor values;
            if (!nobody_watches() || !look(x, values) || values.kind == Numbers::int64) return nb::none();
            if (values.kind == Numbers::float32) return served_as<float>(parameters, values, f);
            return served_as<double>(parameters, values, f);
        } catch (nb::python_error& error) {
            if (error.matches(PyExc_MemoryError)) throw;
            return nb::none();  // the general path explains the error
        } catch (std::invalid_argument&) {
            return nb::none();  // also thrown for wrong lengths
        }
    }

    template <class T, class W, class F>
    nb::object served_as(const W& parameters, const Tensor& x, F f) {
        Inputs<T> in{};
        std::vector<const T*>& scratch = scratch_of<T>();  // empty while another Python thread uses it
        in.weights.swap(scratch);
        in.weights.clear();
        nb::object found = weights(parameters, in) ? f(x, in) : nb::none();
        in.weights.swap(scratch);
        return found;
    }

    struct Training {
        double dropout;
        nb::handle draw_seed;  // called only if this path computes the call: the general path draws its own seed
        bool bf16;
    };

    // Replaces the names by the key objects of the dictionary, so that a lookup compares pointers only.
    void use_names_of(nb::dict parameters) {
        for (nb::object& name : names_)
            for (auto [key, value] : parameters)
                if (key.equal(name)) name = nb::borrow(key);
        own_names_ = true;
    }

    template <class T>
    bool weights(nb::dict parameters, Inputs<T>& in) {
        if (!own_names_) use_names_of(parameters);
        return weights_from(in, [&](size_t i) {
            PyObject* found = PyDict_GetItemWithError(parameters.ptr(), names_[i].ptr());  // null if parametrized
            if (!found && PyErr_Occurred()) nb::raise_python_error();
            return found;
        });
    }
    template <class T>
    bool weights(nb::tuple all, Inputs<T>& in) {
        if (all.size() != shapes_.size()) return false;
        return weights_from(in, [&](size_t i) { return PyTuple_GetItem(all.ptr(), i); });
    }
    template <class T, class F>
    bool weights_from(Inputs<T>& in, F from) {
        in.weights.reserve(shapes_.size());
        objects_.resize(shapes_.size());
        for (size_t i = 0; i < shapes_.size(); ++i) {
            PyObject* weight = from(i);
            Tensor found;
            if (!weight || !compact(weight, numbers<T>, found) || !found.has_shape(shapes_[i])) return false;
            in.weights.push_back(at<T>(found));
            objects_[i] = weight;
        }
        return true;
    }

    // Returns whether every weight_hh is finite. For few tokens, reading the weights costs as much as a step. So they are
    // read again only after torch has counted a change. A write through `.data` is not counted; calls with more tokens
    // read the weights every time.
    template <class T>
    bool finite(const Spec& spec, const Inputs<T>& in) {
        const size_t count = spec.layers * directions_, apart = shapes_.size() / count;
        bool same = finite_.size() == count;
        finite_.resize(count);
        for (size_t k = 0; k < count; ++k) {
            const size_t i = k * apart + 1;
            const nb::object version = nb::steal(PyObject_GetAttr(objects_[i], version_.ptr()));
            if (!version.is_valid()) {  // an inference tensor: its changes are not counted
                PyErr_Clear();
                finite_.clear();
                return engine<T>().finite(spec, in.weights);
            }
            const std::pair<const void*, int64_t> now(in.weights[i], PyLong_AsLongLong(version.ptr()));
            same = same && finite_[k] == now;
            finite_[k] = now;
        }
        if (same || engine<T>().finite(spec, in.weights)) return true;
        finite_.clear();
        return false;
    }

    // Reads lengths: a tensor, or a list or tuple of whole numbers, which is copied. Returns false if they do not fit.
    static bool read_lengths(nb::handle lengths, int64_t batch, std::vector<int64_t>& copy, const int64_t*& found) {
        PyObject* given = lengths.ptr();
        const bool list = PyList_CheckExact(given);
        if (!list && !PyTuple_CheckExact(given)) {
            Tensor tensor;
            if (!compact(lengths, Numbers::int64, tensor) || !tensor.has_shape(std::array{batch})) return false;
            found = at<int64_t>(tensor);
            return true;
        }
        if ((list ? PyList_Size(given) : PyTuple_Size(given)) != batch) return false;
        for (int64_t i = 0; i < batch; ++i) {
            PyObject* one = list ? PyList_GetItem(given, i) : PyTuple_GetItem(given, i);
            if (!PyLong_CheckExact(one)) return false;
            int overflow = 0;
            copy.push_back(PyLong_AsLongLongAndOverflow(one, &overflow));
            if (overflow) return false;
        }
        found = copy.data();
        return true;
    }

    // Reads the initial states. Returns false if they do not fit. `flat`: they have no axis of layers.
    template <class T>
    bool states(nb::handle state, int64_t batch, Inputs<T>& in, bool flat = false) const {
        if (state.is_none()) return true;
        const bool lstm = spec_.cell == Cell::lstm;
        nb::handle h = state, c;
        if (lstm) {
            if (!PyTuple_CheckExact(state.ptr()) || PyTuple_Size(state.ptr()) != 2) return false;
            h = PyTuple_GetItem(state.ptr(), 0), c = PyTuple_GetItem(state.ptr(), 1);
        }
        const auto find = [&](nb::handle t, int64_t size, const T*& data) {
            Tensor found;
            if (!compact(t, numbers<T>, found)) return false;
            data = at<T>(found);
            if (flat) return found.has_shape(std::array{batch, size});
            return found.has_shape(std::array<int64_t, 3>{spec_.layers * directions_, batch, size});
        };
        return find(h, out_, in.h0) && (!lstm || find(c, spec_.hidden, in.c0));
    }

    template <class T>
    void run(Spec spec, const Inputs<T>& in, const Outputs<T>& out) {
        const int64_t work = spec.steps * spec.batch * spec.hidden * (spec.input + spec.hidden);
        // too short for several threads, and to release the interpreter lock
        if (work < 30000 && !spec.invariant) return engine<T>().infer(spec, in, out);
        spec.threads = threads();
        std::shared_ptr<const PackedStack<T>>& place = packed<T>();
        std::shared_ptr<const PackedStack<T>> ready = place;  // another Python thread may replace it during the call
        {
            nb::gil_scoped_release release;
            if (engine<T>().is_small(spec)) return engine<T>().infer(spec, in, out);
            if (!ready || !ready->fits(spec, in.weights)) ready = engine<T>().pack(spec, in.weights);
            ready->infer(spec, in, out);
        }
        place = ready;
    }
    template <class T>
    std::vector<const T*>& scratch_of() {
        if constexpr (sizeof(T) == 4) return scratch_single_;
        else return scratch_double_;
    }
    template <class T>
    std::shared_ptr<const PackedStack<T>>& packed() {
        if constexpr (sizeof(T) == 4) return packed_single_;
        else return packed_double_;
    }

    nb::object pair(nb::object output, nb::object h, nb::object c) const {
        if (spec_.cell != Cell::lstm) return nb::make_tuple(output, h);
        return nb::make_tuple(output, nb::make_tuple(h, c));
    }

    template <class T>
    nb::object forward_as(const Tensor& x, Inputs<T>& in, nb::handle state, nb::handle lengths, bool batch_first,
                          const Training* how) {
        if (x.dims != 3 || x.shape[2] != spec_.input || x.strides[2] != 1) return nb::none();
        in.x = {at<T>(x), x.strides[batch_first ? 0 : 1], x.strides[batch_first ? 1 : 0]};
        return computed(x.shape, in, state, lengths, batch_first, how);
    }

    template <class T>
    nb::object embedded_as(const Tensor& table, nb::handle tokens, Inputs<T>& in, nb::handle state, nb::handle lengths,
                           bool batch_first) {
        Tensor found;
        if (table.dims != 2 || table.shape[1] != spec_.input || table.strides[1] != 1) return nb::none();
        if (!compact(tokens, Numbers::int64, found) || found.dims != 2) return nb::none();
        const int64_t* numbers = at<int64_t>(found);
        bool fit = true;
        for (int64_t i = 0; i < found.shape[0] * found.shape[1]; ++i)
            fit &= numbers[i] >= 0 && numbers[i] < table.shape[0];
        if (!fit) return nb::none();
        in.x = {at<T>(table), table.strides[0], 0};
        in.entries = {numbers, found.strides[batch_first ? 0 : 1], found.strides[batch_first ? 1 : 0]};
        in.table_rows = table.shape[0];
        return computed(found.shape, in, state, lengths, batch_first, nullptr);
    }

    // `shape`: its first two numbers are those of the output.
    template <class T>
    nb::object computed(const int64_t* shape, Inputs<T>& in, nb::handle state, nb::handle lengths, bool batch_first,
                        const Training* how) {
        Spec spec = spec_;
        spec.invariant = invariant();
        spec.batch = shape[batch_first ? 0 : 1], spec.steps = shape[batch_first ? 1 : 0];
        if (!states(state, spec.batch, in)) return nb::none();
        std::vector<int64_t> copy;
        if (!lengths.is_none() && !read_lengths(lengths, spec.batch, copy, in.lengths)) return nb::none();
        if (how && !copy.empty()) return nb::none();  // the backward pass needs a tensor
        const int64_t width = directions_ * out_;
        Outputs<T> out{{nullptr, batch_first ? spec.steps * width : width, batch_first ? width : spec.batch * width},
                       nullptr,
                       nullptr};
        nb::object output = lend<T, 3>({shape[0], shape[1], width}, &out.out.data);
        nb::object h = lend<T, 3>({spec.layers * directions_, spec.batch, out_}, &out.hn), c;
        if (spec.cell == Cell::lstm) c = lend<T, 3>({spec.layers * directions_, spec.batch, spec.hidden}, &out.cn);
        if (!in.h0 && engine<T>().is_small(spec)) in.finite = finite(spec, in);
        if (!how) {
            run(spec, in, out);
            return pair(output, h, c);
        }
        spec.dropout = how->dropout, spec.bf16 = how->bf16, spec.first_row = part().first_row(spec.batch);
        if (spec.dropout) spec.seed = nb::cast<uint64_t>(call(how->draw_seed));
        spec.threads = threads();
        auto kept = std::make_unique<Kept<T>>(spec);
        {
            nb::gil_scoped_release release;
            engine<T>(spec).forward(spec, in, out, kept->data.get());
        }
        nb::object tape = nb::cast(kept.release(), nb::rv_policy::take_ownership);
        return nb::make_tuple(output, h, c.is_valid() ? c : nb::none(), tape);
    }

    template <class T>
    nb::object step_as(const Tensor& x, Inputs<T>& in, nb::handle state, bool flat) {
        if (x.dims != 2 || x.shape[1] != spec_.input || !x.contiguous()) return nb::none();
        Spec spec = spec_;
        spec.invariant = invariant();
        spec.batch = x.shape[0];
        in.x = {at<T>(x), spec.input, 0};
        if (!states(state, spec.batch, in, flat)) return nb::none();
        Outputs<T> out{};
        nb::object output = lend<T, 2>({spec.batch, out_}, &out.out.data);
        out.out.batch = out_;
        nb::object h, c;
        if (flat) out.hn = out.out.data;
        else h = lend<T, 3>({spec.layers, spec.batch, out_}, &out.hn);
        if (spec.cell == Cell::lstm)
            c = flat ? lend<T, 2>({spec.batch, spec.hidden}, &out.cn)
                     : lend<T, 3>({spec.layers, spec.batch, spec.hidden}, &out.cn);
        if (!in.h0) in.finite = finite(spec, in);
        run(spec, in, out);
        if (!flat) return pair(output, h, c);
        return c.is_valid() ? nb::make_tuple(output, c) : output;
    }
};

// The gradients of values, states and weights after `keep`, or None for those that are not needed. Returns None if the
// gradients of the outputs do not have the expected layout.
template <class T>
nb::object gradients(const Kept<T>& kept, bool batch_first, nb::tuple grads, nb::tuple saved, int states,
                     nb::handle lengths, bool need_values, bool need_states, bool need_weights) {
    const Spec& s = kept.spec;
    const Numbers kind = numbers<T>;
    const bool lstm = s.cell == Cell::lstm;
    Gradients<T> to{};
    Inputs<T> in{};
    const auto view = [&](nb::handle t, View<const T>& to) {
        Tensor found;
        if (!plain(t, kind, found) || found.dims != 3 || found.strides[2] != 1) return false;
        to = {at<T>(found), found.strides[batch_first ? 0 : 1], found.strides[batch_first ? 1 : 0]};
        return true;
    };
    if (!grads[0].is_none() && !view(grads[0], to.out)) return nb::none();
    for (int i = 0; i < 1 + lstm; ++i) {
        const nb::handle g = grads[1 + i];
        Tensor found;
        if (g.is_none()) continue;
        if (!compact(g, kind, found)) return nb::none();
        (i ? to.cn : to.hn) = at<T>(found);
    }
    std::vector<Tensor> inputs(saved.size());
    if (!view(saved[0], in.x) || !look(saved[0], inputs[0])) return nb::none();
    for (size_t i = 1; i < saved.size(); ++i)
        if (!compact(saved[i], kind, inputs[i])) return nb::none();  // a hook has replaced a saved tensor
    Tensor ends;
    if (!lengths.is_none() && !compact(lengths, Numbers::int64, ends)) return nb::none();
    if (!lengths.is_none()) in.lengths = at<int64_t>(ends);
    if (states > 0) in.h0 = at<T>(inputs[1]);
    if (states > 1) in.c0 = at<T>(inputs[2]);
    nb::list found;
    const auto result = [&](const Tensor& like, bool need) -> T* {
        if (!need) return found.append(nb::none()), nullptr;
        void* data;
        found.append(lend(kind, like.shape, like.dims, &data));
        return static_cast<T*>(data);
    };
    to.x.data = result(inputs[0], need_values);
    const int64_t row = s.input;
    to.x.batch = batch_first ? s.steps * row : row, to.x.time = batch_first ? row : s.batch * row;
    if (states > 0) to.h0 = result(inputs[1], need_states);
    if (states > 1) to.c0 = result(inputs[2], need_states);
    for (size_t i = 1 + states; i < saved.size(); ++i) {
        in.weights.push_back(at<T>(inputs[i]));
        T* g = result(inputs[i], need_weights);
        if (g) to.weights.push_back(g);
    }
    {
        nb::gil_scoped_release release;
        engine<T>(s).backward(s, in, to, kept.data.get());
    }
    return found;
}

// A step session: packed weights and states. Python has checked the tensors of the addresses.
class Session {
public:
    Session(const Spec& s, const std::vector<uintptr_t>& weights, int as) : spec_(s) {
        std::vector<const float*> flat;
        for (uintptr_t w : weights) flat.push_back(reinterpret_cast<const float*>(w));
        nb::gil_scoped_release release;
        steps_ = engine<float>().open_session(s, flat, StepWeights(as));
    }
    // Returns None if x does not fit.
    nb::object step(nb::handle x) {
        Tensor found;
        if (!compact(x, Numbers::float32, found) || !found.has_shape(std::array{spec_.batch, spec_.input}))
            return nb::none();
        float* y;
        nb::object output = lend<float, 2>({spec_.batch, spec_.projected ? spec_.projected : spec_.hidden}, &y);
        steps_->step(at<float>(found), y);
        return output;
    }
    void reset() { steps_->reset(); }
    void read(uintptr_t h, uintptr_t c) const {
        steps_->read_state(reinterpret_cast<float*>(h), reinterpret_cast<float*>(c));
    }
    void write(uintptr_t h, uintptr_t c) {
        steps_->write_state(reinterpret_cast<const float*>(h), reinterpret_cast<const float*>(c));
    }

private:
    const Spec spec_;
    std::unique_ptr<StepSession<float>> steps_;
};

template <class T>
void bind_kept(nb::module_ m) {
    nb::class_<Kept<T>>(m, "Tape")
        .def(nb::init<const Spec&>())
        .def("data_ptr", [](const Kept<T>& k) { return uintptr_t(k.data.get()); })
        .def("gradients", &gradients<T>, nb::arg("batch_first"), nb::arg("grads"), nb::arg("saved"), nb::arg("states"),
             nb::arg("lengths").none(), nb::arg("need_values"), nb::arg("need_states"), nb::arg("need_weights"));
}

}  // namespace

bool& invariant() {
    thread_local bool found = false;
    return found;
}

Part& part() {
    thread_local Part found;
    return found;
}

void bind_layer(nb::module_& m) {
    m.def(
        "readable",
        [](nb::list tensors) {
            Tensor found;
            bool all = true;
            for (nb::handle t : tensors) all = all && look(t, found);
            return all;
        },
        "Whether all are plain tensors with numbers in the memory of the CPU; False says nothing.");
    m.def(
        "set_invariant", [](bool wanted) { return std::exchange(invariant(), wanted); }, nb::arg("wanted"),
        "Sets whether calls of this thread are batch-invariant; returns the setting before.");
    m.def(
        "set_part", [](int64_t first, int64_t count) { part() = {first, std::max<int64_t>(count, 1)}; },
        nb::arg("first"), nb::arg("count"), "Sets which sequences of a larger batch the calls of this thread have.");
    m.def("exchange", &exchange, nb::arg("wanted"),
          "Whether DLPack's C functions are to serve; returns whether they do.");
    nb::class_<Session>(m, "StepSession")
        .def(nb::init<const Spec&, const std::vector<uintptr_t>&, int>())
        .def("step", &Session::step)
        .def("reset", &Session::reset)
        .def("read_state", &Session::read)
        .def("write_state", &Session::write);
    bind_kept<float>(nb::cast<nb::module_>(m.attr("float32")));
    bind_kept<double>(nb::cast<nb::module_>(m.attr("float64")));
    nb::class_<Layer>(m, "Layer")
        .def(nb::init<int, int64_t, int64_t, int64_t, int, bool, bool, nb::tuple, nb::list>())
        .def("forward", &Layer::forward, nb::arg("parameters"), nb::arg("x").none(), nb::arg("state").none(),
             nb::arg("lengths").none(), nb::arg("batch_first"))
        .def("embedded", &Layer::embedded, nb::arg("parameters"), nb::arg("table"), nb::arg("tokens").none(),
             nb::arg("state").none(), nb::arg("lengths").none(), nb::arg("batch_first"))
        .def_prop_ro("config", &Layer::config)
        .def("keep", &Layer::keep, nb::arg("weights"), nb::arg("x").none(), nb::arg("state").none(),
             nb::arg("lengths").none(), nb::arg("batch_first"), nb::arg("dropout"), nb::arg("draw_seed"),
             nb::arg("bf16"))
        .def("step", &Layer::step, nb::arg("parameters"), nb::arg("x").none(), nb::arg("state").none())
        .def("cell", &Layer::cell, nb::arg("parameters"), nb::arg("x").none(), nb::arg("state").none());
}
