// Calls of a layer with its tensors, at little cost per call.
#pragma once
#include <nanobind/nanobind.h>

#include "../engine/memory.h"
#include "isa.h"

template <class T>
struct Kept {  // stored values of one call for its backward pass
    explicit Kept(const recurra::Spec& s) : spec(s) { data.resize(recurra::engine<T>().tape_size(s) + 1); }
    recurra::Spec spec;
    recurra::Buffer<T> data;
};

// Whether calls of this thread use the same order of sums for any batch; see Spec::invariant.
bool& invariant();

void bind_layer(nanobind::module_& m);
