// Products of matrices outside of a recurrence. Each number is one sum in a fixed order, so it does not depend on the
// number of rows or threads.
#pragma once
#include "api.h"
#include "gemm.h"
#include "pool.h"

namespace recurra::RECURRA_ISA {

// out = a · weight' + bias
template <class T>
void linear(const Linear<T>& call) {
    constexpr int L = lanes<T>;
    const int depth = int(call.depth), wide = kStrip * L, strips = int((call.columns + wide - 1) / wide);
    // A strip of the weights is packed once for each block of rows: large enough that packing costs little.
    constexpr int64_t kBlockRows = 4096;
    constexpr int kAtOnce = in_tiles<T> ? 6 * kTileRows : kMostRows;
    const int64_t blocks = std::max<int64_t>(1, (call.rows + kBlockRows - 1) / kBlockRows);
    const int threads = threads_for(call.rows * call.columns * depth, kMicrosecond<T>, call.threads);
    in_turn(int(strips * blocks), threads, [&](int item) {
        const int64_t first = item / strips * kBlockRows, last = std::min(first + kBlockRows, call.rows);
        const int begin = item % strips * wide, n = int(std::min<int64_t>(wide, call.columns - begin));
        PackedMatrix<T> strip;
        strip.shape(depth, n);
        if (depth && call.across)  // without features there is no memory to write to
            strip.pack_rows(0, n, [&](int k) { return call.weight + k * call.columns + begin; });
        else if (depth)
            strip.pack_columns(
                0, [&](int column) { return column < n ? call.weight + int64_t(begin + column) * depth : nullptr; });
        Buffer<T> room;  // the bias of the strip, then the results of a tile
        const int width = strip.width(0) * L;
        room.resize((1 + kAtOnce) * width);
        T* bias = room.get();
        std::fill_n(bias, width, T(0));
        if (call.bias) std::copy_n(call.bias + begin, n, bias);
        for (int64_t row = first; row < last; row += kAtOnce) {
            const int count = int(std::min<int64_t>(kAtOnce, last - row));
            const T* from[kAtOnce];
            T* to[kAtOnce];
            for (int i = 0; i < count; ++i) {
                from[i] = call.rows_of + (row + i) * call.stride;
                to[i] = bias + (1 + i) * width;
            }
            rows_times<T>(count, from, to, strip, Start::bias, bias);
            for (int i = 0; i < count; ++i) std::copy_n(to[i], n, call.out + (row + i) * call.columns + begin);
        }
    });
}

// out[row][column] = sum over tokens of g[token][row] * x[token][column]
template <class T>
void outer(const Outer<T>& call) {
    constexpr int64_t kBlockRows = 256;  // of an item: enough that packing x again costs little
    const int columns = int(call.columns), ld = round_up(columns, lanes<T>);
    const int threads = threads_for(call.tokens * call.rows * columns, kMicrosecond<T>, call.threads);
    in_turn(int((call.rows + kBlockRows - 1) / kBlockRows), threads, [&](int item) {
        const int64_t first = item * kBlockRows;
        const int rows = int(std::min(kBlockRows, call.rows - first));
        OuterSum<T> sum;
        Buffer<T> whole;  // with rows of whole vectors
        T* const out = call.out + first * columns;
        if (ld != columns) whole.resize(int64_t(rows) * ld);
        T* const to = ld != columns ? whole.get() : out;
        for (int64_t token = 0; token == 0 || token < call.tokens; token += kChunk) {
            const int n = int(std::min<int64_t>(kChunk, call.tokens - token));
            const T* x[kChunk];
            for (int i = 0; i < n; ++i) x[i] = call.x + (token + i) * call.x_stride;
            sum.take(n, x, columns);
            sum.add(call.g + token * call.g_stride + first, call.g_stride, 0, rows, to, ld, token == 0);
        }
        for (int i = 0; i < rows && ld != columns; ++i) std::copy_n(to + int64_t(i) * ld, columns, out + i * columns);
    });
}

}  // namespace recurra::RECURRA_ISA
