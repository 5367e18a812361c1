// Compiled cells for one instruction set: the layout of a program, its passes through time, and the sums over tokens.
// This file is compiled once per instruction set.
#include "backward.h"

namespace recurra::RECURRA_ISA {
namespace {

template <class T>
class Compiled final : public CompiledCell<T> {
public:
    explicit Compiled(const CellProgram& program) : layout_(program) {}

    int64_t tape_size(int64_t batch, int64_t steps) const override { return layout_.tape_size(batch, steps); }
    void forward(const CellCall<T>& call) const override {
        const Batch batch(call.batch, call.steps, call.lengths);
        CellForward<T>(layout_, call, batch).run();
    }
    void backward(const CellCall<T>& call, const CellGradients<T>& to) const override {
        const Batch batch(call.batch, call.steps, call.lengths);
        CellBackward<T>(layout_, call, to, batch).run();
    }

private:
    const CellLayout<T> layout_;
};

}  // namespace

std::unique_ptr<CompiledCell<float>> compile_floats(const CellProgram& program) {
    return std::make_unique<Compiled<float>>(program);
}
std::unique_ptr<CompiledCell<double>> compile_doubles(const CellProgram& program) {
    return std::make_unique<Compiled<double>>(program);
}

}  // namespace recurra::RECURRA_ISA
