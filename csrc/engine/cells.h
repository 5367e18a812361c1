// The list of cells with a kernel. Each header in cells/ has the equations of one time step, the same as in
// src/recurra/cells, and a struct with the traits:
//
// `products`: gates that meet weight_hh. `stored`: vectors stored per vector of units for the backward pass.
// `forward`: finishes the units of one panel for R rows; `acc` has the recurrent products of the panel.
// `backward`: gradients of the gates from those of h and c for some units of a row. Leaves in `dh` and `dc` the part of
// the gradient that reaches the previous states without weight_hh.
#pragma once
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/rnn.h"

namespace recurra::RECURRA_ISA {

// Calls f with the struct of a cell.
template <class F>
inline __attribute__((always_inline)) auto with_kernel(Cell cell, F f) {
    if (cell == Cell::lstm) return f(LstmKernel{});
    if (cell == Cell::gru) return f(GruKernel{});
    return f(RnnKernel{});
}

}  // namespace recurra::RECURRA_ISA
