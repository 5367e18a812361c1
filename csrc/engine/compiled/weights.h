// The weights of a compiled cell: packed for its products, and the vectors that its program reads.
#pragma once
#include "../pool.h"
#include "layout.h"

namespace recurra::RECURRA_ISA {

template <class T>
class CellWeights final : public CellPack {
public:
    Vector<PackedMatrix<T>> forward, backward;  // by product
    Vector<Buffer<T>> bias;                     // by product; no memory without a bias
    Vector<uint32_t> print;                     // fingerprint of the weights
    Buffer<T> params;                           // the space `param`

    CellWeights(const CellLayout<T>& layout, const std::vector<const T*>& weights, int threads)
        : forward(layout.program.products.size()),
          backward(forward.size()),
          bias(forward.size()),
          layout_(layout),
          dense_(forward.size()),
          threads_(threads) {
        for (size_t i = 0; i < dense_.size(); ++i) expand(layout.program.products[i], weights, dense_[i]);
        params.resize(layout.width(Space::param) + 1);
        for (const Param& param : layout.program.params) {
            const int width = layout.program.places[param.place].width, at = layout.offset[param.place];
            std::fill_n(params.get() + at, layout.size[param.place], T(0));
            std::copy_n(weights[param.weight] + param.first, width, params.get() + at);
        }
        for (const Constant& constant : layout.program.constants)
            std::fill_n(params.get() + layout.offset[constant.place], layout.size[constant.place], T(constant.value));
    }

    void pack_forward(const std::vector<const T*>& weights) {
        each(
            forward,
            [&](PackedMatrix<T>& matrix, int i, int strip) {
                const Product& product = layout_.program.products[i];
                const int units = round_up(product.width, lanes<T>);
                matrix.pack_columns(strip, [&](int c) {
                    return c % units < product.width && c / units < product.segments
                               ? row(weights, i, c / units, c % units)
                               : nullptr;
                });
            },
            [&](const Product& product) { return std::pair(product.depth, layout_.vectors(product) * lanes<T>); });
        for (size_t i = 0; i < bias.size(); ++i) {
            const Product& product = layout_.program.products[i];
            if (product.bias < 0) continue;
            const int units = round_up(product.width, lanes<T>);
            bias[i].resize(product.segments * units);
            std::fill_n(bias[i].get(), product.segments * units, T(0));
            for (int s = 0; s < product.segments; ++s)
                std::copy_n(weights[product.bias] + product.bias_row + s * product.width, product.width,
                            bias[i].get() + s * units);
        }
    }

    // Without `inputs`, products of the input are left out.
    void pack_backward(const std::vector<const T*>& weights, bool inputs) {
        each(
            backward,
            [&](PackedMatrix<T>& matrix, int i, int strip) {
                const Product& product = layout_.program.products[i];
                const int units = round_up(product.width, lanes<T>);
                matrix.pack_rows(strip, product.depth, [&](int k) {
                    return k % units < product.width ? row(weights, i, k / units, k % units) : nullptr;
                });
            },
            [&](const Product& product) {
                const bool wanted = product.gradient >= 0 && (product.source >= 0 || inputs);
                return wanted ? std::pair(layout_.vectors(product) * lanes<T>, product.depth) : std::pair(0, 0);
            });
    }

private:
    const CellLayout<T>& layout_;
    Vector<Buffer<T>> dense_;  // by product: a matrix of diagonal blocks with its zeros
    const int threads_;

    const T* row(const std::vector<const T*>& weights, int i, int segment, int unit) const {
        const Product& product = layout_.program.products[i];
        const int64_t line = segment * product.width + unit;
        if (product.heads > 1) return dense_[i].get() + line * product.depth;
        return weights[product.weight] + (product.first_row + line) * product.columns + product.first_column;
    }
    static void expand(const Product& product, const std::vector<const T*>& weights, Buffer<T>& to) {
        if (product.heads == 1) return;
        const int64_t lines = int64_t(product.segments) * product.width;
        to.resize(lines * product.depth);
        std::fill_n(to.get(), lines * product.depth, T(0));
        for (int64_t line = 0; line < lines; ++line)
            std::copy_n(weights[product.weight] + (product.first_row + line) * product.columns, product.columns,
                        to.get() + line * product.depth + line % product.width / product.columns * product.columns);
    }
    // Sets the shapes of all matrices and fills their strips on all threads.
    template <class Fill, class Shape>
    void each(Vector<PackedMatrix<T>>& matrices, Fill fill, Shape shape) {
        struct Item {
            int product, strip;
        };
        Vector<Item> items;
        int64_t total = 0;
        for (int i = 0; i < int(matrices.size()); ++i) {
            const auto [depth, columns] = shape(layout_.program.products[i]);
            if (!columns) continue;
            matrices[i].shape(depth, columns);
            total += int64_t(depth) * columns;
            for (int strip = 0; depth && strip < matrices[i].strips(); ++strip) items.push_back({i, strip});
        }
        in_turn(int(items.size()), threads_for(total, 1 << 14, threads_),
                [&](int i) { fill(matrices[items[i].product], items[i].product, items[i].strip); });
    }
};

}  // namespace recurra::RECURRA_ISA
