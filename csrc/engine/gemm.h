// The three matrix products of a recurrence. Sums run over k in one fixed order, so results do not depend on the number
// of threads.
#pragma once
#include <algorithm>
#include <type_traits>
#include <vector>

#include "gemm_amx.h"

namespace recurra::RECURRA_ISA {

constexpr int kStrip = 4;                                  // vectors of columns in a strip of B
constexpr int kRows = RECURRA_VECTOR_BYTES >= 64 ? 6 : 3;  // rows of a tile: its sums fill the registers
constexpr int kChunk = 256;  // tokens of a weight gradient that are packed at a time: they stay in the L2 cache
constexpr int kBlock = 48;   // rows of a weight gradient that are computed together
constexpr int kStripBytes = 32 << 10;  // of a strip that stay in the L1 cache for several tiles
constexpr int kTiles = 8;              // tiles that read these bytes before the next ones
constexpr int kFew = 16;               // up to this number of tokens, an outer sum is mostly writing

inline int round_up(int n, int to) { return (n + to - 1) / to * to; }

// Loops over a tile are unrolled: only elements with constant indices stay in registers. `= {}` would write to memory.
template <class T, int R, int V>
inline __attribute__((always_inline)) void clear(Vec<T> (&acc)[R][V]) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] = Vec<T>{};
}

// acc[i][v] += sum over k of a(i, k) * b[k][v]. `a` has one pointer per row. `ahead`: what is read later, from b on.
template <class T, int R, int V>
inline __attribute__((always_inline)) void tile(int depth, const T* const* a, const T* __restrict b,
                                                Vec<T> (&acc)[R][V], int64_t ahead = 0) {
    if constexpr (is_bf16<T>) return tile_bf16<R, V>(depth, a, b, acc);
    const T* rows[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) rows[i] = a[i];
    for (int k = 0; k < depth; ++k, b += V * lanes<T>) {
        if (R > 1) __builtin_prefetch(b + ahead, 0, 2);  // into the L2 cache
        Vec<T> column[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) column[v] = load(b + v * lanes<T>);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            Vec<T> x = splat(rows[i][k]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[i][v] += x * column[v];
        }
    }
}

// The same with a(i, k) = a[k * step + i].
template <class T, int R, int V>
inline __attribute__((always_inline)) void tile_across(int depth, const T* __restrict a, int64_t step,
                                                       const T* __restrict b, Vec<T> (&acc)[R][V]) {
    if constexpr (is_bf16<T>) return tile_bf16_across<R, V>(depth, a, step, b, acc);
    for (int k = 0; k < depth; ++k, a += step, b += V * lanes<T>) {
        Vec<T> column[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) column[v] = load(b + v * lanes<T>);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            Vec<T> x = splat(a[i]);
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[i][v] += x * column[v];
        }
    }
}

// The same for a single row. Two alternating sums hide the latency of the additions.
template <class T, int V>
inline __attribute__((always_inline)) void tile_alone(int depth, const T* x, const T* __restrict b,
                                                      Vec<T> (&acc)[1][V]) {
    if constexpr (is_bf16<T>) return tile_bf16_alone<V>(depth, x, b, acc);
    Vec<T> odd[V] = {};
    int k = 0;
    for (; k + 2 <= depth; k += 2, b += 2 * V * lanes<T>) {
        const Vec<T> even_x = splat(x[k]), odd_x = splat(x[k + 1]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            acc[0][v] += even_x * load(b + v * lanes<T>);
            odd[v] += odd_x * load(b + (V + v) * lanes<T>);
        }
    }
    if (k < depth)
        for (int v = 0; v < V; ++v) acc[0][v] += splat(x[k]) * load(b + v * lanes<T>);
    for (int v = 0; v < V; ++v) acc[0][v] += odd[v];
}

// Rows of a tile that fit into the registers beside V columns.
constexpr int rows_for(int v) {
    return v == 4 ? kRows : v == 3 ? kRows * 4 / 3 : kRows * 3 / 2 < 8 ? kRows * 3 / 2 : 8;
}
constexpr int kMostRows = rows_for(1);

// B packed for `tile`: strips of up to `side` vectors, [strip][k][column]. See gemm_bf16.h for words of two numbers.
template <class T>
struct PackedMatrix {
    static constexpr int kWord = is_bf16<T> ? 2 : 1;  // numbers of a column per element
    Buffer<T> data;
    int depth = 0, vectors = 0, side = kStrip;
    int lines() const { return round_up((depth + kWord - 1) / kWord, in_tiles<T> ? kTileWords : 1); }
    bool empty() const { return !vectors; }
    int strips() const { return (vectors + side - 1) / side; }
    int width(int strip) const { return std::min(side, vectors - strip * side); }
    T* strip(int s) const { return data.get() + size_t(s) * side * lanes<T> * lines(); }

    void shape(int depth_, int columns, int side_ = kStrip) {
        depth = depth_, side = side_;
        vectors = round_up(columns, lanes<T>) / lanes<T>;
        data.resize(size_t(lines()) * vectors * lanes<T>);
        if constexpr (in_tiles<T>)  // the lines that fill up a tile
            for (int s = 0; s < strips() && lines(); ++s) {
                T* const end = strip(s) + size_t(lines()) * width(s) * lanes<T>;
                std::fill(end - std::min(lines(), kTileWords) * width(s) * lanes<T>, end, T(0));
            }
    }

    // source(column) points to the contiguous elements of a column, or is null for zeros.
    template <class Source>
    void pack_columns(int s, Source source) {
        constexpr int L = lanes<T>;
        const size_t step = size_t(width(s)) * L;
        for (int j = 0; j < width(s) * L; j += L) {
            const T* from[L];
            for (int i = 0; i < L; ++i) from[i] = source(s * side * L + j + i);
            T* to = strip(s) + j;
            for (int k = 0; k < depth; k += L) {
                const int n = std::min(L, depth - k);
                Vec<T> block[L];
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i)
                    block[i] = !from[i] ? Vec<T>{} : n == L ? load(from[i] + k) : load_part(from[i] + k, n);
                transpose<T>(block);
                for (int i = 0; i < n; i += kWord)
                    store(to + (k + i) / kWord * step, line(block[i], block[i + kWord - 1]));
            }
        }
    }

    // source(k) points to the `columns` contiguous elements of row k, or is null for zeros.
    template <class Source>
    void pack_rows(int s, int columns, Source source) {
        constexpr int L = lanes<T>;
        const int w = width(s), begin = s * side * L, here = std::min(w * L, columns - begin);
        for (int k = 0; k < depth; k += kWord) {
            const T *in = source(k), *next = k + 1 < depth && kWord > 1 ? source(k + 1) : nullptr;
            T* to = strip(s) + size_t(k / kWord) * w * L;
            const auto part = [&](const T* row, int v) {
                return !row            ? Vec<T>{}
                       : here == w * L ? load(row + begin + v * L)
                                       : load_part(row + begin + v * L, here - v * L);
            };
            for (int v = 0; v < w; ++v) store(to + v * L, line(part(in, v), part(next, v)));
        }
    }

private:
    static Vec<T> line(Vec<T> first, Vec<T> second) {
        if constexpr (is_bf16<T>) return words(first, second);
        else return (void)second, first;
    }
};

// The value a product is added to; stream: zero, with non-temporal stores.
enum class Start { zero, bias, old, stream };

// The left factor of a product: rows given by pointers.
template <class T>
class Rows {
public:
    int count = 0, depth = 0;
    TileBlocks blocks;  // the same, rounded; only used with tiles

    void take(int count_, const T* const* row, int depth_) {
        count = count_, depth = depth_, row_ = row;
        if constexpr (in_tiles<T>) blocks.take(count, row, depth);
    }
    const T* const* from(int i) const { return row_ + i; }

private:
    const T* const* row_ = nullptr;
};

// A part of a product: some numbers of each row, with the lines of the strip that belong to them. The sums of other
// parts are read from and written to `sums`, so the order of additions is that of the whole.
template <class T>
struct Part {
    const T* const* rows;  // of the tile
    const T* strip;
    int begin, depth;
    bool last;
    Vec<T>* sums;
    int64_t ahead;  // distance to a line of the next part

    // acc[i][v] = the sums up to the end of this part.
    template <int R, int V>
    inline __attribute__((always_inline)) void times(Vec<T> (&acc)[R][V]) const {
        if (in_tiles<T> || begin)
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) acc[i][v] = sums[i * V + v];
        else clear<T>(acc);
        if constexpr (in_tiles<T>) return;
        const T* from[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) from[i] = rows[i] + begin;
        tile<T, R, V>(depth, from, strip + size_t(begin) / PackedMatrix<T>::kWord * V * lanes<T>, acc, ahead);
        if (last) return;
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sums[i * V + v] = acc[i][v];
    }
};

template <class T, int R, int V>
void row_tile(T* const* c, const Part<T>& part, Start start, const T* bias) {
    Vec<T> acc[R][V];
    part.times(acc);
    if (!part.last) return;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
        T* to = c[i];
        const T* from = start == Start::bias ? bias : to;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            // Added last: each product added to a large start would be rounded at its size.
            if (start == Start::bias || start == Start::old) acc[i][v] += load(from + v * lanes<T>);
            if (start == Start::stream) stream_store(to + v * lanes<T>, acc[i][v]);
            else store(to + v * lanes<T>, acc[i][v]);
        }
    }
}

// Calls f with n as a compile-time constant.
template <int Max, class F>
inline void constant(int n, F f) {
    if constexpr (Max >= 1) {
        if (n == Max) return f(std::integral_constant<int, Max>{});
        constant<Max - 1>(n, f);
    }
}

// Divides the product of some rows with a strip of V vectors into tiles: f(rows of the tile, its first row, part). A
// strip that is larger than the L1 cache is divided too, so that several tiles read a part of it from there.
template <class T, int V, class F>
void for_tiles(const Rows<T>& rows, const T* strip, F f) {
    constexpr int most = rows_for(V), group = in_tiles<T> ? 2 * kTileRows : kTiles * most;
    constexpr int line = V * RECURRA_VECTOR_BYTES / PackedMatrix<T>::kWord, part = kStripBytes / line / 64 * 64;
    constexpr int64_t next = kStripBytes / sizeof(T);  // each tile fetches one of the V vectors
    const int depth = rows.depth, step = rows.count > most && !in_tiles<T> ? part : std::max(depth, 1);
    Vec<T> sums[group * V];
    for (int first = 0; first < rows.count; first += group) {
        const int end = std::min(first + group, rows.count);
        if constexpr (in_tiles<T>)
            strip_products<V>(end - first > kTileRows ? 2 : 1, rows.blocks.block(first / kTileRows), rows.blocks.tiles,
                              strip, reinterpret_cast<float*>(sums), V * kTileLine, true);
        for (int k = 0; k == 0 || k < depth; k += step)
            for (int i = first; i < end; i += most)
                constant<most>(std::min(most, end - i), [&](auto n) {
                    f(n, i,
                      Part<T>{rows.from(i), strip, k, std::min(step, depth - k), k + step >= depth,
                              sums + (i - first) * V, next + i / most % V * lanes<T>});
                });
    }
}

// c(i) (+)= a(i) · the strip s of B. The stride of strips in c is `apart`.
template <class T>
void strip_times(const Rows<T>& a, T* const* c, const PackedMatrix<T>& b, int s, int apart, Start start,
                 const T* bias = nullptr) {
    constant<kStrip>(b.width(s), [&](auto v) {
        for_tiles<T, v()>(a, b.strip(s), [&](auto n, int i, const Part<T>& part) {
            T* out[n()];
            for (int j = 0; j < n(); ++j) out[j] = c[i + j] + s * apart;
            row_tile<T, n(), v()>(out, part, start, bias ? bias + s * apart : nullptr);
        });
    });
}

// c(i) (+)= a(i) · B for rows given by pointers and the strips [begin, end).
template <class T>
void rows_times(int rows, const T* const* a, T* const* c, const PackedMatrix<T>& b, int begin, int end, int apart,
                Start start, const T* bias = nullptr) {
    const TileUse use;
    Rows<T> left;
    left.take(rows, a, b.depth);
    for (int s = begin; s < end; ++s) strip_times<T>(left, c, b, s, apart, start, bias);
}
template <class T>
void rows_times(int rows, const T* const* a, T* const* c, const PackedMatrix<T>& b, Start start,
                const T* bias = nullptr) {
    rows_times(rows, a, c, b, 0, b.strips(), b.side * lanes<T>, start, bias);
}

// c += a · B for one row and the strips [begin, end).
template <class T>
void row_times(const T* a, T* c, const PackedMatrix<T>& b, int begin, int end) {
    for (int s = begin; s < end; ++s)
        constant<kStrip>(b.width(s), [&](auto v) {
            Vec<T> acc[1][v()] = {};
            T* to = c + s * b.side * lanes<T>;
            tile_alone<T, v()>(b.depth, a, b.strip(s), acc);
            for (int i = 0; i < v(); ++i) store(to + i * lanes<T>, load(to + i * lanes<T>) + acc[0][i]);
        });
}

// c[m][column] (+)= sum over tokens of g[token][m] * x(token)[column]. x is packed once for all rows m.
template <class T>
struct OuterSum {
    PackedMatrix<T> right;

    void take(int tokens, const T* const* x, int columns) {
        right.shape(tokens, columns);
        for (int s = 0; s < right.strips(); ++s) right.pack_rows(s, columns, [&](int k) { return x[k]; });
    }

    // Rows m in [first, last) of c. `step`: stride of g between tokens. `begin`: c is overwritten, not added to.
    void add(const T* g, int64_t step, int first, int last, T* c, int64_t ldc, bool begin) {
        const int depth = right.depth;
        if constexpr (in_tiles<T>) return add_tiles(g + first, step, last - first, c + first * ldc, ldc, begin);
        const T* lines = g;
        int64_t apart = step;
        PackedMatrix<T> left;  // only used in bfloat16
        if constexpr (is_bf16<T>) {
            const int wide = round_up(last - first, lanes<T>);
            left.shape(depth, wide, wide / lanes<T>);
            left.pack_rows(0, last - first, [&](int k) { return g + k * step + first; });
            if (depth) lines = left.strip(0) - first, apart = wide;
        }
        if (!depth) lines = c;  // not read, but the offset of a null pointer is undefined
        // With few tokens, writing c is most of the work: one tile of rows at a time. With many tokens, a block of rows
        // of g stays in the cache for all strips.
        const int block = depth > kFew ? kBlock : kRows;
        for (int begin_ = first; begin_ < last; begin_ += block)
            for (int s = 0; s < right.strips(); ++s)
                constant<kStrip>(right.width(s), [&](auto v) {
                    const int end = std::min(begin_ + block, last);
                    for (int m = begin_; m < end; m += kRows)
                        constant<kRows>(std::min(kRows, end - m), [&](auto n) {
                            tile_of<n(), v()>(depth, lines + m, apart, right.strip(s),
                                              c + m * ldc + s * kStrip * lanes<T>, ldc, begin);
                        });
                });
    }

private:
    void add_tiles(const T* g, int64_t step, int rows, T* c, int64_t ldc, bool begin) {
        const TileUse use;
        TileBlocks blocks;
        blocks.take_across(rows, g, step, right.depth);
        constexpr int most = 2 * kTileRows, wide = kStrip * lanes<T>;
        for (int i = 0; i < rows; i += most)
            for (int s = 0; s < right.strips(); ++s)
                constant<kStrip>(right.width(s), [&](auto v) {
                    const int n = std::min(most, rows - i), number = n > kTileRows ? 2 : 1;
                    const auto add_to = [&](T* to, int64_t ld) {
                        strip_products<v()>(number, blocks.block(i / kTileRows), blocks.tiles, right.strip(s), to,
                                            ld * sizeof(T), begin);
                    };
                    T* const to = c + i * ldc + s * wide;
                    if (n % kTileRows == 0) return add_to(to, ldc);
                    T sums[most * wide];  // rows after the last one belong to others
                    for (int j = 0; j < n && !begin; ++j) std::copy_n(to + j * ldc, v() * lanes<T>, sums + j * wide);
                    add_to(sums, wide);
                    for (int j = 0; j < n; ++j) std::copy_n(sums + j * wide, v() * lanes<T>, to + j * ldc);
                });
    }

    template <int R, int V>
    void tile_of(int depth, const T* g, int64_t step, const T* x, T* c, int64_t ldc, bool begin) {
        Vec<T> acc[R][V];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) acc[i][v] = begin ? Vec<T>{} : load(c + i * ldc + v * lanes<T>);
        tile_across<T, R, V>(depth, g, step, x, acc);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) store(c + i * ldc + v * lanes<T>, acc[i][v]);
    }
};

// Products of a vector with rows of an unpacked matrix, one vector of rows at a time. For few products packing would
// cost more.
template <class T>
struct Dots {
    Vec<T> acc[lanes<T>] = {};

    // Adds w[i] · x for the rows `first` + i. Rows after the last one repeat it.
    inline __attribute__((always_inline)) void add(const T* w, int first, int rows, int depth, const T* x) {
        constexpr int L = lanes<T>;
        const T* row[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) row[i] = w + int64_t(std::min(first + i, rows - 1)) * depth;
        int k = 0;
        for (; k + L <= depth; k += L) {
            const Vec<T> v = load(x + k);
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) acc[i] += load(row[i] + k) * v;
        }
        if (k == depth) return;
        const Vec<T> v = load_part(x + k, depth - k);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) acc[i] += load_part(row[i] + k, depth - k) * v;
    }

    // Returns the sum over the lanes of acc[i] in lane i.
    inline __attribute__((always_inline)) Vec<T> total() {
        fold<1>();
        return acc[0];
    }

private:
    template <int Step>
    inline __attribute__((always_inline)) void fold() {
        if constexpr (Step < lanes<T>) {
#pragma GCC unroll 16
            for (int i = 0; i < lanes<T>; i += 2 * Step)
                acc[i] = interleave<T, Step, false>(acc[i], acc[i + Step]) +
                         interleave<T, Step, true>(acc[i], acc[i + Step]);
            fold<2 * Step>();
        }
    }
};

// The same for up to kMost vectors, for which the matrix is read once. Each sum has the order of `Dots`.
template <class T>
struct ManyDots {
    static constexpr int kMost = kRows;

    // Returns the sums of a vector, see `Dots::total`.
    Vec<T> total(int vector) { return of[vector].total(); }

    void add(const T* w, int first, int rows, int depth, const T* const* x, int vectors) {
        constant<kMost>(vectors, [&](auto n) { add_to<n()>(w, first, rows, depth, x); });
    }

private:
    Dots<T> of[kMost];
    static constexpr int kAtOnce = std::min(4, lanes<T>);  // rows of the matrix whose sums fill the registers

    template <int N>
    void add_to(const T* w, int first, int rows, int depth, const T* const* x) {
        constexpr int L = lanes<T>;
        for (int from = 0; from < L; from += kAtOnce) {
            const T* row[kAtOnce];
            Vec<T> sums[N][kAtOnce];
#pragma GCC unroll 4
            for (int i = 0; i < kAtOnce; ++i) row[i] = w + int64_t(std::min(first + from + i, rows - 1)) * depth;
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j)
#pragma GCC unroll 4
                for (int i = 0; i < kAtOnce; ++i) sums[j][i] = of[j].acc[from + i];
            const auto add_at = [&](auto at) __attribute__((always_inline)) {
                Vec<T> part[kAtOnce];
#pragma GCC unroll 4
                for (int i = 0; i < kAtOnce; ++i) part[i] = at(row[i]);
#pragma GCC unroll 8
                for (int j = 0; j < N; ++j) {
                    const Vec<T> v = at(x[j]);
#pragma GCC unroll 4
                    for (int i = 0; i < kAtOnce; ++i) sums[j][i] += part[i] * v;
                }
            };
            int k = 0;
            for (; k + L <= depth; k += L) add_at([&](const T* p) { return load(p + k); });
            if (k < depth) add_at([&](const T* p) { return load_part(p + k, depth - k); });
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j)
#pragma GCC unroll 4
                for (int i = 0; i < kAtOnce; ++i) of[j].acc[from + i] = sums[j][i];
        }
    }
};

// out[i] = sum over k of w[i][k] * x[k]. The size of `out` is a whole number of vectors.
template <class T>
void matrix_times(int rows, const T* w, int depth, const T* x, T* out) {
    for (int i = 0; i < rows; i += lanes<T>) {
        Dots<T> dots;
        dots.add(w, i, rows, depth, x);
        store(out + i, dots.total());
    }
}
// The same for several vectors. The results of vector j begin at out + j * apart.
template <class T>
void matrix_times(int rows, const T* w, int depth, const T* const* x, int vectors, T* out, int64_t apart) {
    if (vectors == 1) return matrix_times<T>(rows, w, depth, *x, out);
    for (int i = 0; i < rows; i += lanes<T>)
        for (int j = 0; j < vectors; j += ManyDots<T>::kMost) {
            const int n = std::min(ManyDots<T>::kMost, vectors - j);
            ManyDots<T> dots;
            dots.add(w, i, rows, depth, x + j, n);
            for (int k = 0; k < n; ++k) store(out + (j + k) * apart + i, dots.total(k));
        }
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
    // One vector at a time in the same order of sums: the columns of a thread depend on the number of threads, and the
    // result must not.
    for (; j < columns; j += lanes<T>) {
        const int n = std::min(lanes<T>, columns - j);
        Vec<T> acc[2] = {};
        int i = 0;
        for (; i + 2 <= rows; i += 2)
            for (int h = 0; h < 2; ++h) acc[h] += splat(x[i + h]) * load_part(w + (i + h) * ld + j, n);
        if (i < rows) acc[0] += splat(x[i]) * load_part(w + i * ld + j, n);
        const Vec<T> sum = load_part(out + j, n) + (acc[0] + acc[1]);
        for (int c = 0; c < n; ++c) out[j + c] = sum[c];
    }
}

}  // namespace recurra::RECURRA_ISA
