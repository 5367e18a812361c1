// Matrix products in the three forms that recurrence needs. Sums run over k in one fixed order, whoever
// computes them, so results do not depend on the number of threads.
#pragma once
#include <algorithm>
#include <type_traits>
#include <vector>

#include "memory.h"
#include "simd.h"

namespace recurra::RECURRA_ISA {

constexpr int kStrip = 4;                                       // vectors side by side in a strip of B
constexpr int kRows = RECURRA_VECTOR_BYTES >= 64 ? 6 : 3;       // rows of a tile: the accumulators fill the registers
constexpr int kChunk = 256;                                     // tokens of a weight gradient summed at a time

inline int round_up(int n, int to) { return (n + to - 1) / to * to; }

// acc[i][v] += sum over k of a(i, k) * b[k][v]. `a` holds a pointer per row, or one to packed columns of R rows.
template <class T, int R, int V, bool Packed>
inline __attribute__((always_inline)) void tile(int depth, const T* const* a, const T* __restrict b,
                                                Vec<T> (&acc)[R][V]) {
    const T* rows[R];
    for (int i = 0; i < R; ++i) rows[i] = Packed ? a[0] + i : a[i];
    for (int k = 0; k < depth; ++k, b += V * lanes<T>) {
        Vec<T> column[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) column[v] = load(b + v * lanes<T>);
#pragma GCC unroll 6
        for (int i = 0; i < R; ++i) {
            Vec<T> x = splat(Packed ? rows[i][size_t(k) * kRows] : rows[i][k]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[i][v] += x * column[v];
        }
    }
}

// A run of consecutive places: `count` elements at `from` in the source stand at `to` in the packed matrix.
struct Segment {
    int to, count, from;
};

// B packed for `tile`: strips of up to `side` vectors, [strip][k][column]; what no source gives is 0.
template <class T>
struct PackedMatrix {
    Buffer<T> data;
    int depth = 0, vectors = 0, side = kStrip;
    int strips() const { return (vectors + side - 1) / side; }
    int width(int strip) const { return std::min(side, vectors - strip * side); }
    const T* strip(int s) const { return data.get() + size_t(s) * side * lanes<T> * depth; }

    void shape(int depth_, int columns) {
        depth = depth_;
        vectors = round_up(columns, lanes<T>) / lanes<T>;
        data.resize(size_t(depth) * vectors * lanes<T>);
    }

    // source(column) points to the elements of a column, k after k, or is null; segments run along k.
    template <class Source>
    void pack_columns(int depth_, int columns, const std::vector<Segment>& segments, Source source) {
        shape(depth_, columns);
        constexpr int L = lanes<T>;
        for (int s = 0; s < strips(); ++s)
            for (int j = 0; j < width(s) * L; j += L) {  // a vector of columns at a time, turned by blocks of L × L
                const T* from[L];
                bool whole = segments.size() == 1 && segments[0].count == depth;
                for (int i = 0; i < L; ++i) {
                    const int column = s * side * L + j + i;
                    from[i] = column < columns ? source(column) : nullptr;
                    whole = whole && from[i];
                }
                T* to = place(0, s) + j;
                const size_t step = size_t(width(s)) * L;
                if (!whole)
                    for (int k = 0; k < depth; ++k) std::fill_n(to + k * step, L, T(0));
                for (const Segment& part : segments)
                    for (int k = 0; k < part.count; k += L) {
                        const int n = std::min(L, part.count - k);
                        T* out = to + (part.to + k) * step;
                        if (whole)
                            for (int l = 0; l < n; ++l)
                                for (int i = 0; i < L; ++i) out[l * step + i] = from[i][part.from + k + l];
                        else
                            for (int l = 0; l < n; ++l)
                                for (int i = 0; i < L; ++i)
                                    if (from[i]) out[l * step + i] = from[i][part.from + k + l];
                    }
            }
    }

    // source(k) points to the elements of row k, column after column, or is null; segments run along the columns.
    template <class Source>
    void pack_rows(int depth_, int columns, const std::vector<Segment>& segments, Source source) {
        shape(depth_, columns);
        for (int k = 0; k < depth; ++k) {
            const T* in = source(k);
            if (!in || segments.size() != 1 || segments[0].count < vectors * lanes<T>)
                for (int s = 0; s < strips(); ++s) std::fill_n(place(k, s), width(s) * lanes<T>, T(0));
            if (!in) continue;
            for (const Segment& part : segments)
                for (int at = 0; at < part.count;) {
                    const int column = part.to + at, s = column / (side * lanes<T>), j = column % (side * lanes<T>);
                    const int n = std::min(part.count - at, width(s) * lanes<T> - j);
                    std::copy_n(in + part.from + at, n, place(k, s) + j);
                    at += n;
                }
        }
    }

private:
    T* place(int k, int s) { return data.get() + size_t(s) * side * lanes<T> * depth + size_t(k) * width(s) * lanes<T>; }
};

enum class Start { zero, bias, old };  // what a product is added to

template <class T, int R, int V>
void row_tile(const T* const* a, T* const* c, int depth, const T* b, Start start, const T* bias) {
    Vec<T> acc[R][V];
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < V; ++v)
            acc[i][v] = start == Start::zero   ? Vec<T>{}
                        : start == Start::bias ? load(bias + v * lanes<T>)
                                               : load(c[i] + v * lanes<T>);
    tile<T, R, V, false>(depth, a, b, acc);
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < V; ++v) store(c[i] + v * lanes<T>, acc[i][v]);
}

// Calls f with the number as a compile-time constant.
template <int Max, class F>
inline void constant(int n, F f) {
    if constexpr (Max >= 1) {
        if (n == Max) return f(std::integral_constant<int, Max>{});
        constant<Max - 1>(n, f);
    }
}

// c(i) (+)= a(i) · B for `rows` rows given by pointers; B's columns go to c(i)[0 …].
template <class T>
void rows_times(int rows, const T* const* a, T* const* c, const PackedMatrix<T>& b, Start start, const T* bias) {
    for (int s = 0; s < b.strips(); ++s) {
        const int at = s * kStrip * lanes<T>;
        for (int i = 0; i < rows; i += kRows) {
            const int r = std::min(kRows, rows - i);
            T* out[kRows];
            for (int j = 0; j < r; ++j) out[j] = c[i + j] + at;
            constant<kStrip>(b.width(s), [&](auto v) {
                constant<kRows>(r, [&](auto n) {
                    row_tile<T, n(), v()>(a + i, out, b.depth, b.strip(s), start, bias ? bias + at : nullptr);
                });
            });
        }
    }
}

// The same for rows that lie `lda` and `ldc` apart; rows first … last.
template <class T>
void block_times(int64_t first, int64_t last, const T* a, int64_t lda, T* c, int64_t ldc, const PackedMatrix<T>& b,
                 Start start, const T* bias = nullptr) {
    constexpr int kBlock = 16 * kRows;  // rows that stay in the cache while all strips pass over them
    const T* in[kBlock];
    T* out[kBlock];
    for (int64_t i = first; i < last; i += kBlock) {
        const int n = int(std::min<int64_t>(kBlock, last - i));
        for (int j = 0; j < n; ++j) in[j] = a + (i + j) * lda, out[j] = c + (i + j) * ldc;
        rows_times(n, in, out, b, start, bias);
    }
}

// c[m][column] = sum over tokens of g(token)[m] * x(token)[column], for rows m in [first, last) of c.
template <class T>
struct OuterSum {
    Buffer<T> left;
    PackedMatrix<T> right;

    void run(int64_t tokens, const T* const* g, const T* const* x, int first, int last, int columns, T* c, int64_t ldc) {
        if (!tokens)
            for (int m = first; m < last; ++m) std::fill_n(c + m * ldc, round_up(columns, lanes<T>), T(0));
        for (int64_t t = 0; t < tokens; t += kChunk) {
            const int depth = int(std::min<int64_t>(kChunk, tokens - t));
            right.pack_rows(depth, columns, {{0, columns, 0}}, [&](int k) { return x[t + k]; });
            left.resize(size_t(depth) * kRows);
            for (int m = first; m < last; m += kRows) {
                const int r = std::min(kRows, last - m);
                for (int k = 0; k < depth; ++k)
                    for (int i = 0; i < r; ++i) left.get()[k * kRows + i] = g[t + k][m + i];
                for (int s = 0; s < right.strips(); ++s)
                    constant<kStrip>(right.width(s), [&](auto v) {
                        constant<kRows>(r, [&](auto n) { add<n(), v()>(depth, s, c + m * ldc, ldc, t == 0); });
                    });
            }
        }
    }

private:
    template <int R, int V>
    void add(int depth, int s, T* c, int64_t ldc, bool begin) {
        c += s * kStrip * lanes<T>;
        Vec<T> acc[R][V];
        for (int i = 0; i < R; ++i)
            for (int v = 0; v < V; ++v) acc[i][v] = begin ? Vec<T>{} : load(c + i * ldc + v * lanes<T>);
        const T* packed = left.get();
        tile<T, R, V, true>(depth, &packed, right.strip(s), acc);
        for (int i = 0; i < R; ++i)
            for (int v = 0; v < V; ++v) store(c + i * ldc + v * lanes<T>, acc[i][v]);
    }
};

// out[i] = sum over k of w[i][k] * x[k] for `rows` rows of w, `ld` apart: for single vectors, where packing would cost more
// than the product.
template <class T, int R>
inline void dot_rows(const T* w, int64_t ld, int depth, const T* x, T* out) {
    Vec<T> acc[R] = {};
    int k = 0;
    for (; k + lanes<T> <= depth; k += lanes<T>) {
        const Vec<T> v = load(x + k);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) acc[i] += load(w + i * ld + k) * v;
    }
    for (int i = 0; i < R; ++i) {
        T sum = 0;
        for (int l = 0; l < lanes<T>; ++l) sum += acc[i][l];
        for (int l = k; l < depth; ++l) sum += w[i * ld + l] * x[l];
        out[i] = sum;
    }
}
template <class T>
void matrix_times(int rows, const T* w, int64_t ld, int depth, const T* x, T* out) {
    int i = 0;
    for (; i + 8 <= rows; i += 8) dot_rows<T, 8>(w + i * ld, ld, depth, x, out + i);
    for (; i < rows; ++i) dot_rows<T, 1>(w + i * ld, ld, depth, x, out + i);
}

// out[column] += sum over i of x[i] * w[i][column]
template <class T>
void times_matrix(int rows, const T* x, const T* w, int64_t ld, int columns, T* out) {
    constexpr int V = 4, wide = V * lanes<T>;
    int j = 0;
    for (; j + wide <= columns; j += wide) {
        Vec<T> acc[2][V] = {};
        int i = 0;
        for (; i + 2 <= rows; i += 2)
            for (int h = 0; h < 2; ++h)
                for (int v = 0; v < V; ++v) acc[h][v] += splat(x[i + h]) * load(w + (i + h) * ld + j + v * lanes<T>);
        if (i < rows)
            for (int v = 0; v < V; ++v) acc[0][v] += splat(x[i]) * load(w + i * ld + j + v * lanes<T>);
        for (int v = 0; v < V; ++v)
            store(out + j + v * lanes<T>, load(out + j + v * lanes<T>) + (acc[0][v] + acc[1][v]));
    }
    for (; j < columns; ++j) {
        T sum = 0;
        for (int i = 0; i < rows; ++i) sum += x[i] * w[i * ld + j];
        out[j] += sum;
    }
}

}  // namespace recurra::RECURRA_ISA
