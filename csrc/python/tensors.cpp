#include "tensors.h"

#include <algorithm>
#include <new>

#include "../engine/memory.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace recurra {
namespace {

// The part of DLPack's binary interface that is used here.
struct Described {
    void* data;
    int32_t device, device_id, dims;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;  // null strides: contiguous
    uint64_t offset;
};
struct Managed {
    Described tensor;
    void* context;
    void (*deleter)(Managed*);
};
struct Versioned {
    uint32_t major, minor;
    void* context;
    void (*deleter)(Versioned*);
    uint64_t flags;
    Described tensor;
};
struct Exchange {
    uint32_t major, minor;
    const void* before;
    int (*allocate)(Described*, Versioned**, void*, void (*)(void*, const char*, const char*));
    int (*export_managed)(PyObject*, Versioned**);
    int (*import_managed)(Versioned*, PyObject**);
    int (*describe)(PyObject*, Described*);
    int (*stream)(int32_t, int32_t, void**);
};
constexpr int32_t kCpu = 1;
constexpr uint8_t kInt = 0, kFloat = 2;

// The location of torch's lazy negative bit of a tensor: a word after the sizes and strides to which DLPack points.
// Calling `is_neg` would take longer than all other queries of a tensor. The word and the bit are found by a comparison
// of two tensors. If the memory does not have the expected layout, `is_neg` is called.
struct NegativeBit {
    static constexpr int kStrides = 5, kFirst = 12, kLast = 14;  // in words after the sizes
    int word = 0;
    uint64_t mask = 0;  // 0: unknown

    static bool readable(const Described& d) { return d.strides == d.shape + kStrides; }
    bool in(const Described& d) const { return (uint64_t(d.shape[word]) & mask) != 0; }
};

PyObject* call_one(PyObject* f, PyObject* argument) {  // PyObject_CallOneArg is not in the stable ABI
    return PyObject_Vectorcall(f, &argument, 1, nullptr);
}

// Objects of torch, looked up once.
struct Torch {
    nb::object module = nb::module_::import_("torch");
    nb::object tensor = module.attr("Tensor"), parameter = module.attr("nn").attr("Parameter");
    nb::object float32 = module.attr("float32"), float64 = module.attr("float64"), int64 = module.attr("int64");
    nb::object from_dlpack = module.attr("_C").attr("_from_dlpack");
    nb::object is_neg = tensor.attr("is_neg");
    nb::object dtype = nb::str("dtype"), is_cpu = nb::str("is_cpu"), shape = nb::str("shape");
    nb::object stride = nb::str("stride"), data_ptr = nb::str("data_ptr");
    const Exchange* const known = find();
    const Exchange* exchange = known;
    const NegativeBit negative_bit = locate();

    bool asked_negative(nb::handle t) const {
        const nb::object held = nb::borrow(t);  // other Python threads may run during the call
        const nb::object found = nb::steal(call_one(is_neg.ptr(), t.ptr()));
        if (!found.is_valid()) nb::raise_python_error();
        return found.ptr() == Py_True;
    }

private:
    NegativeBit locate() const {
        if (!known) return {};
        const nb::object plain = module.attr("empty")(2, 3), pending = module.attr("_neg_view")(plain);
        Described a, b;
        if (known->describe(plain.ptr(), &a) || known->describe(pending.ptr(), &b)) return PyErr_Clear(), NegativeBit{};
        NegativeBit found;
        for (int i = NegativeBit::kFirst;
             i <= NegativeBit::kLast && NegativeBit::readable(a) && NegativeBit::readable(b); ++i)
            if (const uint64_t differs = a.shape[i] ^ b.shape[i]; differs && !found.mask && !(differs & (differs - 1)))
                found = {i, differs};
        // The bit must agree with `is_neg` for other tensors.
        const nb::object numbers = module.attr("zeros")(4, "dtype"_a = float64);
        for (const nb::object& t : {plain, pending, parameter(plain), numbers, module.attr("_neg_view")(numbers),
                                    plain.attr("t")(), pending.attr("t")(), pending.attr("clone")()})
            if (known->describe(t.ptr(), &a) || !NegativeBit::readable(a) || found.in(a) != asked_negative(t))
                return PyErr_Clear(), NegativeBit{};
        return found;
    }
    const Exchange* find() const {
        const nb::object capsule = nb::getattr(tensor, "__dlpack_c_exchange_api__", nb::none());
        if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
        const auto* found = static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
        return found->major == 1 && found->describe && found->import_managed ? found : nullptr;
    }
};
Torch& torch() {
    static Torch* found = new Torch;  // never destroyed: Python may have ended before
    return *found;
}

bool by_table(nb::handle t, Tensor& found) {
    Described d;
    if (torch().exchange->describe(t.ptr(), &d)) {
        PyErr_Clear();
        return false;
    }
    if (d.device != kCpu || d.dims > 3 || d.lanes != 1) return false;
    if (d.code == kFloat && d.bits == 32) found.kind = Numbers::float32;
    else if (d.code == kFloat && d.bits == 64) found.kind = Numbers::float64;
    else if (d.code == kInt && d.bits == 64) found.kind = Numbers::int64;
    else return false;
    const NegativeBit& bit = torch().negative_bit;
    if (bit.mask && NegativeBit::readable(d) ? bit.in(d) : torch().asked_negative(t)) return false;
    found.data = static_cast<char*>(d.data) + d.offset;
    found.dims = d.dims;
    for (int i = 0; i < found.dims; ++i) found.shape[i] = d.shape[i], found.strides[i] = d.strides[i];
    return true;
}

bool by_attributes(nb::handle t, Tensor& found) {
    const Torch& names = torch();
    const auto method = [&](const nb::object& name) {
        PyObject* self = t.ptr();
        PyObject* result = PyObject_VectorcallMethod(name.ptr(), &self, 1, nullptr);
        if (!result) nb::raise_python_error();
        return nb::steal(result);
    };
    try {
        const nb::object dtype = nb::getattr(t, names.dtype);
        if (dtype.is(names.float32)) found.kind = Numbers::float32;
        else if (dtype.is(names.float64)) found.kind = Numbers::float64;
        else if (dtype.is(names.int64)) found.kind = Numbers::int64;
        else return false;
        if (nb::getattr(t, names.is_cpu).ptr() != Py_True || names.asked_negative(t)) return false;
        const nb::object shape = nb::getattr(t, names.shape), strides = method(names.stride);
        found.dims = int(PyTuple_Size(shape.ptr()));
        if (found.dims > 3) return false;
        for (int i = 0; i < found.dims; ++i) {
            found.shape[i] = PyLong_AsLongLong(PyTuple_GetItem(shape.ptr(), i));
            found.strides[i] = PyLong_AsLongLong(PyTuple_GetItem(strides.ptr(), i));
        }
        found.data = PyLong_AsVoidPtr(method(names.data_ptr).ptr());
        return true;
    } catch (nb::python_error&) {
        return false;
    }
}

// A block of memory: the structure of DLPack, then the numbers.
template <class M>
struct TensorBlock {
    M managed;  // the first member: a pointer to it is a pointer to the block
    int64_t sizes[3];
    size_t bytes;

    static TensorBlock* borrow(Numbers kind, const int64_t* sizes, int dims) {
        const uint8_t bits = kind == Numbers::float32 ? 32 : 64;
        size_t bytes = bits / 8;
        for (int i = 0; i < dims; ++i) bytes *= sizes[i];
        constexpr size_t head = (sizeof(TensorBlock) + 63) / 64 * 64;
        bytes = head + std::max<size_t>(bytes, 1);
        char* block = static_cast<char*>(recurra::borrow(bytes));
        TensorBlock* made = new (block) TensorBlock{};
        made->bytes = bytes;
        std::copy_n(sizes, dims, made->sizes);
        const uint8_t code = kind == Numbers::int64 ? kInt : kFloat;
        made->managed.tensor = {block + head, kCpu, 0, dims, code, bits, 1, made->sizes, nullptr, 0};
        made->managed.deleter = [](M* self) { give_back(self, reinterpret_cast<TensorBlock*>(self)->bytes); };
        return made;
    }
};

}  // namespace

bool look(nb::handle t, Tensor& found) {
    PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(t.ptr()));
    if (type != torch().tensor.ptr() && type != torch().parameter.ptr()) return false;
    if (!(torch().exchange ? by_table(t, found) : by_attributes(t, found))) return false;
    if (found.data) return true;
    for (int i = 0; i < found.dims; ++i)
        if (!found.shape[i]) return true;
    return false;  // the memory was freed, or the tensor is a lazy zero tensor
}

nb::object lend(Numbers kind, const int64_t* sizes, int dims, void** data) {
    PyObject* made = nullptr;
    if (torch().exchange) {
        Versioned& managed = TensorBlock<Versioned>::borrow(kind, sizes, dims)->managed;
        managed.major = 1;
        *data = managed.tensor.data;
        if (torch().exchange->import_managed(&managed, &made)) nb::raise_python_error();
        return nb::steal(made);
    }
    Managed& managed = TensorBlock<Managed>::borrow(kind, sizes, dims)->managed;
    *data = managed.tensor.data;
    const nb::object capsule = nb::steal(PyCapsule_New(&managed, "dltensor", [](PyObject* c) {
        if (!PyCapsule_IsValid(c, "dltensor")) return;  // the capsule was consumed
        auto* self = static_cast<Managed*>(PyCapsule_GetPointer(c, "dltensor"));
        self->deleter(self);
    }));
    made = call_one(torch().from_dlpack.ptr(), capsule.ptr());
    if (!made) nb::raise_python_error();
    return nb::steal(made);
}

bool exchange(bool wanted) {
    torch().exchange = wanted ? torch().known : nullptr;
    return torch().exchange != nullptr;
}

}  // namespace recurra
