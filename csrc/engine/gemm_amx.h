// Products of bfloat16 with the matrix instructions of Intel processors (AMX). A register is a tile of 16 rows of 64
// bytes. One instruction adds 16 rows of 32 numbers times 32 rows of 16 numbers to a tile of float32.
//
// If the engine is compiled with RECURRA_AMX, packed matrices have the words of gemm_bf16.h, and zeros up to a whole
// number of tiles. The rows of the other factor are rounded once for all columns.
#pragma once
#include "gemm_bf16.h"
#include "memory.h"

namespace recurra::RECURRA_ISA {

constexpr int kTileRows = 16, kTileWords = 16;     // of a tile; a word has the numbers of k and k + 1
constexpr int kTileSize = kTileRows * kTileWords;  // words of a tile
constexpr int kTileLine = kTileWords * 4;          // bytes of a row of a tile

#if defined(RECURRA_AMX)
template <class T>
constexpr bool in_tiles = sizeof(T) == 4;

// Whole tiles for the whole life of this object. Restores the form that another library has set.
class TileUse {
public:
    TileUse() {
        struct Form {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } form;
        for (int i = 0; i < 8; ++i) form.bytes[i] = kTileLine, form.rows[i] = kTileRows;
        asm volatile("sttilecfg %0" : "=m"(before_));
        asm volatile("ldtilecfg %0" ::"m"(form));
    }
    ~TileUse() { asm volatile("ldtilecfg %0" ::"m"(before_)); }
    TileUse(const TileUse&) = delete;
    TileUse& operator=(const TileUse&) = delete;

private:
    char before_[64];
};

// The tile registers by number. `apart`: bytes between rows.
template <int Tile>
inline __attribute__((always_inline)) void tile_zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
template <int Tile>
inline __attribute__((always_inline)) void tile_load(const void* from, int64_t apart) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(apart), "i"(Tile) : "memory");
}
template <int Tile>
inline __attribute__((always_inline)) void tile_store(void* to, int64_t apart) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(apart), "i"(Tile) : "memory");
}
template <int Sum, int Rows, int Columns>
inline __attribute__((always_inline)) void tile_multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(Rows), "i"(Columns));
}

// Rows that are rounded to bfloat16: [block of 16 rows][32 numbers][row]. Rows after the last one are not written: each
// row of a product depends on its own row only.
class TileBlocks {
public:
    int tiles = 0;  // of a block
    const uint32_t* block(int i) const { return data_.get() + size_t(i) * tiles * kTileSize; }

    void take(int rows, const float* const* row, int depth) {
        resize(rows, depth);
        for (int i = 0; i < rows && depth; ++i) {
            uint32_t* to = at(i);
            for (int k = 0; k < depth; k += 2 * kTileWords, to += kTileSize)
                if (depth - k >= 2 * kTileWords) store_words(to, load(row[i] + k), load(row[i] + k + kTileWords));
                else words_of(row[i] + k, depth - k, to);
        }
    }

    // The rows are columns of g: number k of row i is g[k * step + i].
    void take_across(int rows, const float* g, int64_t step, int depth) {
        resize(rows, depth);
        for (int k = 0; k < depth; k += 2 * kTileWords)
            for (int i = 0; i < rows; i += kTileRows) {
                Vec<float> lines[kTileWords];
#pragma GCC unroll 16
                for (int j = 0; j < kTileWords; ++j)
                    lines[j] =
                        words(part(g, step, k + 2 * j, depth, i, rows), part(g, step, k + 2 * j + 1, depth, i, rows));
                transpose<float>(lines);
                uint32_t* to = at(i) + size_t(k) / (2 * kTileWords) * kTileSize;
#pragma GCC unroll 16
                for (int j = 0; j < kTileRows; ++j) store(reinterpret_cast<float*>(to) + j * kTileWords, lines[j]);
            }
    }

private:
    Buffer<uint32_t> data_;

    void resize(int rows, int depth) {
        tiles = (depth + 2 * kTileWords - 1) / (2 * kTileWords);
        data_.resize(size_t(rows + kTileRows - 1) / kTileRows * tiles * kTileSize);
    }
    uint32_t* at(int row) const {
        return data_.get() + (size_t(row / kTileRows) * tiles * kTileRows + row % kTileRows) * kTileWords;
    }
    static Vec<float> part(const float* g, int64_t step, int k, int depth, int i, int rows) {
        return k < depth ? load_part(g + k * step + i, rows - i) : Vec<float>{};
    }
};

// The sums of blocks of 16 rows and V vectors: the first registers, block by block. c has rows of `ld` bytes.
template <int V>
inline __attribute__((always_inline)) float* place_of(int sum, float* c, int64_t ld) {
    return reinterpret_cast<float*>(reinterpret_cast<char*>(c) + sum / V * kTileRows * ld) + sum % V * kTileWords;
}
template <int V, int... Sum>
inline __attribute__((always_inline)) void begin_sums(std::integer_sequence<int, Sum...>, float* c, int64_t ld,
                                                      bool zero) {
    if (zero) (tile_zero<Sum>(), ...);
    else (tile_load<Sum>(place_of<V>(Sum, c, ld), ld), ...);
}
template <int V, int... Sum>
inline __attribute__((always_inline)) void store_sums(std::integer_sequence<int, Sum...>, float* c, int64_t ld) {
    (tile_store<Sum>(place_of<V>(Sum, c, ld), ld), ...);
}

// c = (or, unless `begin`, c +=) Blocks blocks of 16 rows times V vectors of columns. `b` has `wide` bytes per line, and
// the columns begin after `skip` of them. Two blocks of two vectors, or one of up to four, fill the registers.
template <int Blocks, int V>
inline __attribute__((always_inline)) void tile_products(const uint32_t* a, int tiles, const float* b, int64_t wide,
                                                         int64_t skip, float* c, int64_t ld, bool begin) {
    static_assert(Blocks == 1 ? V <= 4 : Blocks == 2 && V <= 2);
    constexpr std::make_integer_sequence<int, Blocks * V> sums{};
    begin_sums<V>(sums, c, ld, begin);
    const char* line = reinterpret_cast<const char*>(b);
    for (int t = 0; t < tiles; ++t, a += kTileSize, line += kTileRows * wide) {
        const char* const column = line + skip;
        tile_load<4>(a, kTileLine);
        if constexpr (Blocks > 1) {
            tile_load<6>(column, wide);
            tile_multiply<0, 4, 6>();
            tile_load<5>(a + int64_t(tiles) * kTileSize, kTileLine);
            tile_multiply<V, 5, 6>();
            if constexpr (V > 1) {
                tile_load<7>(column + kTileLine, wide);
                tile_multiply<1, 4, 7>();
                tile_multiply<V + 1, 5, 7>();
            }
        } else {
            tile_load<5>(column, wide);
            tile_multiply<0, 4, 5>();
            if constexpr (V > 1) tile_load<6>(column + kTileLine, wide), tile_multiply<1, 4, 6>();
            if constexpr (V > 2) tile_load<7>(column + 2 * kTileLine, wide), tile_multiply<2, 4, 7>();
            if constexpr (V > 3) tile_load<5>(column + 3 * kTileLine, wide), tile_multiply<3, 4, 5>();
        }
    }
    store_sums<V>(sums, c, ld);
}

// The same for one or two blocks and a whole strip of V vectors.
template <int V>
inline void strip_products(int blocks, const uint32_t* a, int tiles, const float* strip, float* c, int64_t ld,
                           bool begin) {
    constexpr int64_t wide = V * kTileLine;
    if (blocks == 1) return tile_products<1, V>(a, tiles, strip, wide, 0, c, ld, begin);
    tile_products<2, (V > 1 ? 2 : 1)>(a, tiles, strip, wide, 0, c, ld, begin);
    if constexpr (V > 2) tile_products<2, V - 2>(a, tiles, strip, wide, 2 * kTileLine, c + 2 * kTileWords, ld, begin);
}
#else
template <class T>
constexpr bool in_tiles = false;
struct TileUse {
    ~TileUse() {}  // not trivial: an object without a use would give a warning
};
// declared only, never called
struct TileBlocks {
    static constexpr int tiles = 0;
    const uint32_t* block(int) const;
    void take(int, const void*, int);
    void take_across(int, const void*, int64_t, int);
};
template <int V>
void strip_products(int, const uint32_t*, int, const float*, float*, int64_t, bool);
#endif

}  // namespace recurra::RECURRA_ISA
