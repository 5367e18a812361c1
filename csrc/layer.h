// Calls without gradients straight from the tensors of a layer, for the lowest latency.
#pragma once
#include <nanobind/nanobind.h>

void bind_layer(nanobind::module_& m);
