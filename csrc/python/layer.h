// Calls straight from the tensors of a layer, at little cost per call.
#pragma once
#include <nanobind/nanobind.h>

#include "../engine/memory.h"
#include "isa.h"

template <class T>
struct Kept {  // what one call keeps for its backward pass
    explicit Kept(const recurra::Spec& s) : spec(s) { data.resize(recurra::engine<T>().tape_size(s) + 1); }
    recurra::Spec spec;
    recurra::Buffer<T> data;
};

void bind_layer(nanobind::module_& m);
