#include "layer.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>

namespace nb = nanobind;
using namespace recurra;

namespace {

// What is asked of torch at every call, looked up once.
struct Torch {
    nb::object module = nb::module_::import_("torch");
    nb::object tensor = module.attr("Tensor"), parameter = module.attr("nn").attr("Parameter");
    nb::object float32 = module.attr("float32"), float64 = module.attr("float64"), int64 = module.attr("int64");
    nb::object threads = module.attr("get_num_threads");
    nb::object from_dlpack = module.attr("_C").attr("_from_dlpack");
    // these want to see every operation
    nb::object dispatch_modes = module.attr("_C").attr("_len_torch_dispatch_stack");
    nb::object tracing = module.attr("_C").attr("_get_tracing_state");
    nb::object data_ptr = nb::str("data_ptr"), dtype = nb::str("dtype"), is_cpu = nb::str("is_cpu");
    nb::object shape = nb::str("shape"), stride = nb::str("stride"), is_contiguous = nb::str("is_contiguous");
};
const Torch& torch() {
    static const Torch* found = new Torch;  // never destroyed: Python may be gone by then
    return *found;
}

nb::object call(nb::handle f) { return nb::steal(PyObject_CallNoArgs(f.ptr())); }
nb::object method(nb::handle self, nb::handle name) {
    PyObject* found = PyObject_CallMethodNoArgs(self.ptr(), name.ptr());
    if (!found) nb::raise_python_error();
    return nb::steal(found);
}
nb::object attribute(nb::handle self, nb::handle name) {
    PyObject* found = PyObject_GetAttr(self.ptr(), name.ptr());
    if (!found) nb::raise_python_error();
    return nb::steal(found);
}
void* address(nb::handle t) { return PyLong_AsVoidPtr(method(t, torch().data_ptr).ptr()); }
int64_t whole(nb::handle tuple, Py_ssize_t i) { return PyLong_AsLongLong(PyTuple_GET_ITEM(tuple.ptr(), i)); }

bool nobody_watches() {
    const Torch& t = torch();
    return call(t.tracing).is_none() && PyLong_AsLong(call(t.dispatch_modes).ptr()) == 0;
}

// A plain tensor in this machine's memory, of this type.
bool plain(nb::handle t, nb::handle dtype) {
    PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(t.ptr()));
    if (type != torch().tensor.ptr() && type != torch().parameter.ptr()) return false;
    return attribute(t, torch().dtype).is(dtype) && attribute(t, torch().is_cpu).ptr() == Py_True;
}
template <size_t N>
bool has_shape(nb::handle t, const std::array<int64_t, N>& sizes) {
    const nb::object shape = attribute(t, torch().shape);
    if (PyTuple_GET_SIZE(shape.ptr()) != Py_ssize_t(N)) return false;
    for (size_t i = 0; i < N; ++i)
        if (whole(shape, i) != sizes[i]) return false;
    return true;
}
bool contiguous(nb::handle t) { return method(t, torch().is_contiguous).ptr() == Py_True; }

// A new tensor in the engine's memory, by the DLPack protocol: at half the cost of torch.empty, and a large one without the
// cost of fresh pages.
struct Lent {  // DLManagedTensor and what it points to
    struct {
        void* data;
        int32_t device_type, device_id, ndim;
        uint8_t code, bits;
        uint16_t lanes;
        int64_t *shape, *strides;
        uint64_t offset;
    } tensor;
    void* context;
    void (*deleter)(Lent*);
    int64_t sizes[3];
    size_t bytes;
};
template <class T, size_t N>
nb::object lend(const std::array<int64_t, N>& sizes, T** data) {
    size_t bytes = sizeof(T);
    for (int64_t n : sizes) bytes *= n;
    bytes = bytes ? bytes : 1;
    constexpr size_t head = (sizeof(Lent) + 63) / 64 * 64;
    size_t size = head + bytes;
    char* block = static_cast<char*>(borrow(size));
    Lent* lent = new (block) Lent{};
    *data = reinterpret_cast<T*>(block + head);
    std::copy(sizes.begin(), sizes.end(), lent->sizes);
    lent->bytes = size;
    lent->tensor = {*data, 1, 0, int32_t(N), 2, uint8_t(8 * sizeof(T)), 1, lent->sizes, nullptr, 0};
    lent->deleter = [](Lent* self) { give_back(self, self->bytes); };
    nb::object capsule = nb::steal(PyCapsule_New(lent, "dltensor", [](PyObject* c) {
        if (PyCapsule_IsValid(c, "dltensor")) {  // nobody took it
            auto* self = static_cast<Lent*>(PyCapsule_GetPointer(c, "dltensor"));
            self->deleter(self);
        }
    }));
    PyObject* found = PyObject_CallOneArg(torch().from_dlpack.ptr(), capsule.ptr());
    if (!found) nb::raise_python_error();
    return nb::steal(found);
}

class Layer {
public:
    Layer(int cell, int64_t input, int64_t hidden, int64_t projected, int layers, bool bidirectional, bool bias,
          nb::tuple names, nb::list shapes)
        : spec_{Cell(cell), 1, 1, input, hidden, projected, layers, bidirectional, bias, 0, 0, 1, 0, false},
          directions_(bidirectional ? 2 : 1), out_(projected ? projected : hidden), names_(names) {
        for (nb::handle shape : shapes) shapes_.push_back(nb::cast<std::vector<int64_t>>(shape));
    }

    // None where this is no such call: the long way then serves it, or says what is wrong.
    nb::object forward(nb::dict parameters, nb::handle x, nb::handle state, nb::handle lengths, bool batch_first) {
        return served(parameters, x, [&](auto zero) {
            using T = decltype(zero);
            return forward_as<T>(x, state, lengths, batch_first, nullptr);
        });
    }
    // The same for training, with the weights as a tuple: (output, h, c or None, tape), or None.
    nb::object keep(nb::tuple weights_, nb::handle x, nb::handle state, nb::handle lengths, bool batch_first, double dropout,
                    nb::handle draw_seed, bool half) {
        const Training how{dropout, draw_seed, half};
        return served(weights_, x, [&](auto zero) {
            using T = decltype(zero);
            return forward_as<T>(x, state, lengths, batch_first, &how);
        });
    }
    nb::tuple config() const {
        const Spec& s = spec_;
        return nb::make_tuple(int(s.cell), s.hidden, s.projected, s.layers, s.bidirectional, s.bias);
    }
    nb::object step(nb::dict parameters, nb::handle x, nb::handle state) {
        if (spec_.bidirectional) return nb::none();
        return served(parameters, x, [&](auto zero) {
            using T = decltype(zero);
            return step_as<T>(x, state);
        });
    }

    // For Python's garbage collector: a hook of a weight may refer to the module that refers to this.
    static int traverse(PyObject* self, visitproc visit, void* arg) {
        Py_VISIT(Py_TYPE(self));
        if (!nb::inst_ready(self)) return 0;
        const Layer* layer = nb::inst_ptr<Layer>(self);
        for (const nb::object& weight : layer->seen_) Py_VISIT(weight.ptr());
        Py_VISIT(layer->last_.ptr());
        return 0;
    }
    static int clear(PyObject* self) {
        Layer* layer = nb::inst_ptr<Layer>(self);
        layer->dtype_ = {};  // so that all are looked at anew
        layer->seen_.clear(), layer->at_.clear();
        layer->last_ = nb::object();
        return 0;
    }

private:
    Spec spec_;
    const int directions_;
    const int64_t out_;
    const nb::tuple names_;
    std::vector<std::vector<int64_t>> shapes_;
    std::vector<nb::object> seen_;  // weights that were checked, and where they were
    std::vector<void*> at_;
    nb::object dtype_;
    nb::object last_;  // the state that `step` returned last, which most often comes back
    void *last_h_ = nullptr, *last_c_ = nullptr;
    int64_t last_batch_ = 0;
    std::shared_ptr<const Ready<float>> packed_single_;  // weights packed for calls without gradients
    std::shared_ptr<const Ready<double>> packed_double_;

    template <class W, class F>
    nb::object served(const W& parameters, nb::handle x, F f) {
        if (!nobody_watches()) return nb::none();
        try {
            return served_plainly(parameters, x, f);
        } catch (nb::python_error& error) {
            if (error.matches(PyExc_MemoryError)) throw;
            return nb::none();  // a tensor without memory, in a transform of torch.func
        }
    }
    template <class W, class F>
    nb::object served_plainly(const W& parameters, nb::handle x, F f) {
        const bool single = plain(x, torch().float32);
        if (!single && !plain(x, torch().float64)) return nb::none();
        if (!weights(parameters, single ? torch().float32 : torch().float64)) return nb::none();
        return single ? f(float()) : f(double());
    }

    struct Training {
        double dropout;
        nb::handle draw_seed;  // asked only if the call is served here: the long way draws its own
        bool half;
    };

    bool weights(nb::dict parameters, const nb::object& dtype) {
        return weights_from(dtype, [&](size_t i) {
            return PyDict_GetItem(parameters.ptr(), PyTuple_GET_ITEM(names_.ptr(), i));  // null if parametrized
        });
    }
    bool weights(nb::tuple all, const nb::object& dtype) {
        if (all.size() != shapes_.size()) return false;
        return weights_from(dtype, [&](size_t i) { return PyTuple_GET_ITEM(all.ptr(), i); });
    }
    template <class F>
    bool weights_from(const nb::object& dtype, F from) {
        const size_t n = shapes_.size();
        if (!dtype_.is(dtype)) seen_.assign(n, nb::none()), at_.assign(n, nullptr), dtype_ = dtype, last_ = nb::none();
        for (size_t i = 0; i < n; ++i) {
            PyObject* weight = from(i);
            if (!weight) return false;
            // in the same place it may still have been transposed
            if (seen_[i].ptr() == weight && at_[i] == address(weight) && contiguous(weight)) continue;
            if (!plain(weight, dtype) || !contiguous(weight)) return false;
            const nb::object shape = attribute(weight, torch().shape);
            if (nb::cast<std::vector<int64_t>>(shape) != shapes_[i]) return false;
            // other tensors than parameters may hold a graph, and come anew with each call
            const bool lasting = reinterpret_cast<PyObject*>(Py_TYPE(weight)) == torch().parameter.ptr();
            seen_[i] = lasting ? nb::borrow(weight) : nb::none();
            at_[i] = address(weight);
        }
        return true;
    }

    template <class T>
    Inputs<T> inputs(View<const T> x) const {
        Inputs<T> in{x, nullptr, {}, nullptr, nullptr};
        in.weights.reserve(at_.size());
        for (void* a : at_) in.weights.push_back(static_cast<const T*>(a));
        return in;
    }

    // The initial states, if they are there and as they should be.
    template <class T>
    bool states(nb::handle state, int64_t batch, Inputs<T>& in) const {
        if (state.is_none()) return true;
        if (state.is(last_) && batch == last_batch_ && unmoved(state)) {  // as `step` left it
            in.h0 = static_cast<const T*>(last_h_), in.c0 = static_cast<const T*>(last_c_);
            return true;
        }
        nb::handle h = state, c;
        const bool lstm = spec_.cell == Cell::lstm;
        if (lstm) {
            if (!PyTuple_CheckExact(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != 2) return false;
            h = PyTuple_GET_ITEM(state.ptr(), 0), c = PyTuple_GET_ITEM(state.ptr(), 1);
        }
        const auto good = [&](nb::handle t, int64_t size) {
            return plain(t, dtype_) && has_shape<3>(t, {spec_.layers * directions_, batch, size}) && contiguous(t);
        };
        if (!good(h, out_) || (lstm && !good(c, spec_.hidden))) return false;
        in.h0 = static_cast<const T*>(address(h));
        if (lstm) in.c0 = static_cast<const T*>(address(c));
        return true;
    }

    // Whether the state that `step` returned last still lies where it was: `h.data = other` keeps the object.
    bool unmoved(nb::handle state) const {
        if (spec_.cell != Cell::lstm) return address(state) == last_h_;
        return address(PyTuple_GET_ITEM(state.ptr(), 0)) == last_h_ && address(PyTuple_GET_ITEM(state.ptr(), 1)) == last_c_;
    }

    template <class T>
    void run(Spec spec, const Inputs<T>& in, const Outputs<T>& out) {
        spec.threads = int(PyLong_AsLong(call(torch().threads).ptr()));
        const int64_t work = spec.steps * spec.batch * spec.hidden * (spec.input + spec.hidden);
        if (work < 30000) return engine<T>().infer(spec, in, out);  // too short to let other Python threads run
        std::shared_ptr<const Ready<T>>& place = packed<T>();
        std::shared_ptr<const Ready<T>> ready = place;  // another Python thread may replace it while this one runs
        {
            nb::gil_scoped_release release;
            if (engine<T>().few(spec)) return engine<T>().infer(spec, in, out);
            if (!ready || !ready->fits(spec, in.weights)) ready = engine<T>().ready(spec, in.weights);
            ready->infer(spec, in, out);
        }
        place = ready;
    }
    template <class T>
    std::shared_ptr<const Ready<T>>& packed() {
        if constexpr (sizeof(T) == 4) return packed_single_;
        else return packed_double_;
    }

    nb::object pair(nb::object output, nb::object h, nb::object c) const {
        if (spec_.cell != Cell::lstm) return nb::make_tuple(output, h);
        return nb::make_tuple(output, nb::make_tuple(h, c));
    }

    template <class T>
    nb::object forward_as(nb::handle x, nb::handle state, nb::handle lengths, bool batch_first, const Training* how) {
        const nb::object shape = attribute(x, torch().shape);
        if (PyTuple_GET_SIZE(shape.ptr()) != 3 || whole(shape, 2) != spec_.input) return nb::none();
        const nb::object strides = method(x, torch().stride);
        if (whole(strides, 2) != 1) return nb::none();
        Spec spec = spec_;
        const int b = batch_first ? 0 : 1, t = 1 - b;
        spec.batch = whole(shape, b), spec.steps = whole(shape, t);
        Inputs<T> in = inputs<T>({static_cast<const T*>(address(x)), whole(strides, b), whole(strides, t)});
        if (!states(state, spec.batch, in)) return nb::none();
        if (!lengths.is_none()) {
            if (!plain(lengths, torch().int64) || !has_shape<1>(lengths, {spec.batch}) || !contiguous(lengths)) return nb::none();
            in.lengths = static_cast<const int64_t*>(address(lengths));
        }
        const int64_t width = directions_ * out_;
        Outputs<T> out{{nullptr, batch_first ? spec.steps * width : width, batch_first ? width : spec.batch * width},
                       nullptr, nullptr};
        nb::object output = lend<T, 3>({whole(shape, 0), whole(shape, 1), width}, &out.out.data);
        nb::object h = lend<T, 3>({spec.layers * directions_, spec.batch, out_}, &out.hn), c;
        if (spec.cell == Cell::lstm) c = lend<T, 3>({spec.layers * directions_, spec.batch, spec.hidden}, &out.cn);
        if (!how) {
            run(spec, in, out);
            return pair(output, h, c);
        }
        spec.dropout = how->dropout, spec.half = how->half;
        if (spec.dropout) spec.seed = nb::cast<uint64_t>(call(how->draw_seed));
        spec.threads = int(PyLong_AsLong(call(torch().threads).ptr()));
        auto kept = std::make_unique<Kept<T>>(spec);
        {
            nb::gil_scoped_release release;
            engine<T>(spec).forward(spec, in, out, kept->data.get());
        }
        nb::object tape = nb::cast(kept.release(), nb::rv_policy::take_ownership);
        return nb::make_tuple(output, h, c.is_valid() ? c : nb::none(), tape);
    }

    template <class T>
    nb::object step_as(nb::handle x, nb::handle state) {
        const nb::object shape = attribute(x, torch().shape);
        if (PyTuple_GET_SIZE(shape.ptr()) != 2 || whole(shape, 1) != spec_.input || !contiguous(x)) return nb::none();
        Spec spec = spec_;
        spec.batch = whole(shape, 0);
        Inputs<T> in = inputs<T>({static_cast<const T*>(address(x)), spec.input, 0});
        if (!states(state, spec.batch, in)) return nb::none();
        Outputs<T> out{};
        nb::object output = lend<T, 2>({spec.batch, out_}, &out.out.data);
        out.out.batch = out_;
        nb::object h = lend<T, 3>({spec.layers, spec.batch, out_}, &out.hn), c;
        if (spec.cell == Cell::lstm) c = lend<T, 3>({spec.layers, spec.batch, spec.hidden}, &out.cn);
        run(spec, in, out);
        const nb::object after = c.is_valid() ? nb::object(nb::make_tuple(h, c)) : h;
        const nb::object before = std::move(last_);  // destroyed last: other Python threads may run meanwhile
        last_ = after, last_h_ = out.hn, last_c_ = out.cn, last_batch_ = spec.batch;
        return nb::make_tuple(output, after);
    }
};

// Gradients of values, states and weights after `keep`, of those that need them; None if the gradients of the outputs do
// not lie as they should.
template <class T>
nb::object gradients(const Kept<T>& kept, bool batch_first, nb::tuple grads, nb::tuple saved, int states, nb::handle lengths,
                     bool need_values, bool need_states, bool need_weights) {
    const Spec& s = kept.spec;
    const nb::object dtype = sizeof(T) == 4 ? torch().float32 : torch().float64;
    const bool lstm = s.cell == Cell::lstm;
    Gradients<T> to{};
    if (!grads[0].is_none()) {
        if (!plain(grads[0], dtype)) return nb::none();
        const nb::object strides = method(grads[0], torch().stride);
        if (whole(strides, 2) != 1) return nb::none();
        to.out = {static_cast<const T*>(address(grads[0])), whole(strides, batch_first ? 0 : 1), whole(strides, batch_first ? 1 : 0)};
    }
    for (int i = 0; i < 2; ++i) {
        const nb::handle g = grads[1 + i];
        if (g.is_none() || (i && !lstm)) continue;
        if (!plain(g, dtype) || !contiguous(g)) return nb::none();
        (i ? to.cn : to.hn) = static_cast<const T*>(address(g));
    }
    Inputs<T> in{};
    for (size_t i = 1; i < saved.size(); ++i)
        if (!plain(saved[i], dtype) || !contiguous(saved[i])) return nb::none();  // a hook on saved tensors was at work
    const nb::handle x = saved[0];
    const nb::object strides = method(x, torch().stride);
    if (!plain(x, dtype) || whole(strides, 2) != 1) return nb::none();
    in.x = {static_cast<const T*>(address(x)), whole(strides, batch_first ? 0 : 1), whole(strides, batch_first ? 1 : 0)};
    if (!lengths.is_none()) in.lengths = static_cast<const int64_t*>(address(lengths));
    if (states > 0) in.h0 = static_cast<const T*>(address(saved[1]));
    if (states > 1) in.c0 = static_cast<const T*>(address(saved[2]));
    nb::list found;
    const auto result = [&](nb::handle like, bool need) -> T* {
        if (!need) return found.append(nb::none()), nullptr;
        const nb::object shape = attribute(like, torch().shape);
        T* data;
        switch (PyTuple_GET_SIZE(shape.ptr())) {
            case 1: found.append(lend<T, 1>({whole(shape, 0)}, &data)); break;
            case 2: found.append(lend<T, 2>({whole(shape, 0), whole(shape, 1)}, &data)); break;
            default: found.append(lend<T, 3>({whole(shape, 0), whole(shape, 1), whole(shape, 2)}, &data));
        }
        return data;
    };
    to.x.data = result(x, need_values);
    const int64_t row = s.input;
    to.x.batch = batch_first ? s.steps * row : row, to.x.time = batch_first ? row : s.batch * row;
    if (states > 0) to.h0 = result(saved[1], need_states);
    if (states > 1) to.c0 = result(saved[2], need_states);
    for (size_t i = 1 + states; i < saved.size(); ++i) {
        in.weights.push_back(static_cast<const T*>(address(saved[i])));
        T* g = result(saved[i], need_weights);
        if (g) to.weights.push_back(g);
    }
    {
        nb::gil_scoped_release release;
        engine<T>(s).backward(s, in, to, kept.data.get());
    }
    return found;
}

// A session: packed weights and states; tensors by their addresses, checked on the Python side once.
class Stream {
public:
    Stream(const Spec& s, const std::vector<uintptr_t>& weights, bool half) : spec_(s) {
        std::vector<const float*> flat;
        for (uintptr_t w : weights) flat.push_back(reinterpret_cast<const float*>(w));
        nb::gil_scoped_release release;
        steps_ = engine<float>().steps(s, flat, half);
    }
    // None if x is not such a tensor.
    nb::object step(nb::handle x) {
        if (!plain(x, torch().float32) || !has_shape<2>(x, {spec_.batch, spec_.input}) || !contiguous(x)) return nb::none();
        float* y;
        nb::object output = lend<float, 2>({spec_.batch, spec_.projected ? spec_.projected : spec_.hidden}, &y);
        steps_->step(static_cast<const float*>(address(x)), y);
        return output;
    }
    void reset() { steps_->reset(); }
    void read(uintptr_t h, uintptr_t c) const { steps_->read_state(reinterpret_cast<float*>(h), reinterpret_cast<float*>(c)); }
    void write(uintptr_t h, uintptr_t c) {
        steps_->write_state(reinterpret_cast<const float*>(h), reinterpret_cast<const float*>(c));
    }

private:
    const Spec spec_;
    std::unique_ptr<Steps<float>> steps_;
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

void bind_layer(nb::module_& m) {
    static PyType_Slot collected[] = {{Py_tp_traverse, reinterpret_cast<void*>(&Layer::traverse)},
                                      {Py_tp_clear, reinterpret_cast<void*>(&Layer::clear)},
                                      {0, nullptr}};
    nb::class_<Stream>(m, "Stream")
        .def(nb::init<const Spec&, const std::vector<uintptr_t>&, bool>())
        .def("step", &Stream::step)
        .def("reset", &Stream::reset)
        .def("read", &Stream::read)
        .def("write", &Stream::write);
    bind_kept<float>(nb::cast<nb::module_>(m.attr("float32")));
    bind_kept<double>(nb::cast<nb::module_>(m.attr("float64")));
    nb::class_<Layer>(m, "Layer", nb::type_slots(collected))
        .def(nb::init<int, int64_t, int64_t, int64_t, int, bool, bool, nb::tuple, nb::list>())
        .def("forward", &Layer::forward, nb::arg("parameters"), nb::arg("x"), nb::arg("state").none(), nb::arg("lengths").none(),
             nb::arg("batch_first"))
        .def_prop_ro("config", &Layer::config)
        .def("keep", &Layer::keep, nb::arg("weights"), nb::arg("x"), nb::arg("state").none(), nb::arg("lengths").none(),
             nb::arg("batch_first"), nb::arg("dropout"), nb::arg("draw_seed"), nb::arg("half"))
        .def("step", &Layer::step, nb::arg("parameters"), nb::arg("x"), nb::arg("state").none());
}
