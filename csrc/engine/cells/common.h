// Shared definitions of the cells.
#pragma once
#include "../api.h"
#include "../gemm.h"

namespace recurra::RECURRA_ISA {

// Pointers to the numbers of one row (sequence) at one step. Gates are stored panel by panel: all gates of one vector
// of units side by side. Gradients of gates are stored gate by gate. Units that only fill up a vector have zero
// weights.
template <class T>
struct RowPointers {
    const T* h_before;
    T* gates;
    T* h;
    const T* c_before;
    T* c;
};

}  // namespace recurra::RECURRA_ISA
