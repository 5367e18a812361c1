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
// Which sequences of a larger batch the calls of this thread have; see Spec::first_row.
struct Part {
    int64_t first = 0, count = 1;
    // A call may have several rows for each sequence.
    int64_t first_row(int64_t rows) const { return first * (rows / count); }
};
Part& part();

void bind_layer(nanobind::module_& m);
