// Compiled cells in the Python module.
#pragma once
#include <nanobind/nanobind.h>

#include "../engine/compiled/program.h"

namespace recurra {

void bind_compiled(nanobind::module_ floats, nanobind::module_ doubles);

}  // namespace recurra
