// The product of rows with a weight matrix, out = a · weight' + bias. Each number is one sum over k in a fixed order, so
// it does not depend on the number of rows or threads.
#pragma once
#include "api.h"
#include "gemm.h"
#include "pool.h"

namespace recurra::RECURRA_ISA {

template <class T>
void linear(const Linear<T>& call) {
    constexpr int L = lanes<T>;
    const int depth = int(call.depth), wide = kStrip * L, strips = int((call.columns + wide - 1) / wide);
    // A strip of the weights is packed once for each block of rows: large enough that packing costs little.
    constexpr int64_t kBlockRows = 4096;
    const int64_t blocks = std::max<int64_t>(1, (call.rows + kBlockRows - 1) / kBlockRows);
    const int threads = threads_for(call.rows * call.columns * depth, kMicrosecond<T>, call.threads);
    in_turn(int(strips * blocks), threads, [&](int item) {
        const int64_t first = item / strips * kBlockRows, last = std::min(first + kBlockRows, call.rows);
        const int begin = item % strips * wide, n = int(std::min<int64_t>(wide, call.columns - begin));
        PackedMatrix<T> strip;
        strip.shape(depth, n);
        if (depth)  // without features there is no memory to write to
            strip.pack_columns(
                0, [&](int column) { return column < n ? call.weight + int64_t(begin + column) * depth : nullptr; });
        Buffer<T> room;  // the bias of the strip, then the results of a tile
        const int width = strip.width(0) * L;
        room.resize((1 + kMostRows) * width);
        T* bias = room.get();
        std::fill_n(bias, width, T(0));
        if (call.bias) std::copy_n(call.bias + begin, n, bias);
        for (int64_t row = first; row < last; row += kMostRows) {
            const int count = int(std::min<int64_t>(kMostRows, last - row));
            const T* from[kMostRows];
            T* to[kMostRows];
            for (int i = 0; i < count; ++i) {
                from[i] = call.rows_of + (row + i) * call.stride;
                to[i] = bias + (1 + i) * width;
            }
            rows_times<T>(count, from, to, strip, Start::bias, bias);
            for (int i = 0; i < count; ++i) std::copy_n(to[i], n, call.out + (row + i) * call.columns + begin);
        }
    });
}

}  // namespace recurra::RECURRA_ISA
