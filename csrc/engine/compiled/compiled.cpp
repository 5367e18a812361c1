// Compiled cells for one instruction set: the layout of a program, its passes through time, and the sums over tokens.
// This file is compiled once per instruction set.
#include "../fingerprint.h"
#include "backward.h"

namespace recurra::RECURRA_ISA {
namespace {

template <class T>
class Compiled final : public CompiledCell<T> {
public:
    explicit Compiled(const CellProgram& program) : layout_(program) {}

    int64_t tape_size(int64_t batch, int64_t steps) const override { return layout_.tape_size(batch, steps); }
    std::unique_ptr<CellPack> pack(const std::vector<const T*>& weights, int threads) const override {
        auto packed = std::make_unique<CellWeights<T>>(layout_, weights, threads);
        packed->pack_forward(weights);
        packed->print = print(weights, threads);
        return packed;
    }
    bool fits(const CellPack& pack, const std::vector<const T*>& weights, int threads) const override {
        return static_cast<const CellWeights<T>&>(pack).print == print(weights, threads);
    }
    void forward(const CellCall<T>& call, const CellPack* pack) const override {
        const Batch batch(call.batch, call.steps, call.lengths);
        if (pack) return CellForward<T>(layout_, call, batch, static_cast<const CellWeights<T>&>(*pack)).run();
        CellWeights<T> weights(layout_, call.weights, call.threads);
        weights.pack_forward(call.weights);
        CellForward<T>(layout_, call, batch, weights).run();
    }
    void backward(const CellCall<T>& call, const CellGradients<T>& to) const override {
        const Batch batch(call.batch, call.steps, call.lengths);
        CellBackward<T>(layout_, call, to, batch).run();
    }

private:
    const CellLayout<T> layout_;

    Vector<uint32_t> print(const std::vector<const T*>& weights, int threads) const {
        Vector<Fingerprint::Piece> pieces;
        for (size_t i = 0; i < weights.size(); ++i)
            pieces.push_back({weights[i], size_t(layout_.program.weight_sizes[i]) * (sizeof(T) / 4)});
        return Fingerprint::of(pieces, threads);
    }
};

}  // namespace

std::unique_ptr<CompiledCell<float>> compile_floats(const CellProgram& program) {
    return std::make_unique<Compiled<float>>(program);
}
std::unique_ptr<CompiledCell<double>> compile_doubles(const CellProgram& program) {
    return std::make_unique<Compiled<double>>(program);
}

}  // namespace recurra::RECURRA_ISA
