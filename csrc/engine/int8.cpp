// Step sessions with weights in 8 bits. This file is compiled once per instruction set, without fused operations and
// with functions of IEEE operations only (RECURRA_PORTABLE). So a session gives the same bits for every instruction set.
#include "int8_matrix.h"
#include "step_session.h"

namespace recurra::RECURRA_ISA {

std::unique_ptr<StepSession<float>> open_int8(const Spec& spec, const std::vector<const float*>& weights) {
    return std::make_unique<PackedStepSession<float, Int8Matrix>>(spec, weights);
}

}  // namespace recurra::RECURRA_ISA
