// The order of a ragged batch: sequences are sorted by length, longest first, so that the active sequences of a step
// are a prefix. Only steps inside a sequence are numbered (tokens), step after step. So padding costs nothing.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace recurra {

// Contiguous rows for one thread. Interleaving rows across threads causes false sharing.
struct RowRange {
    int begin, end;
};

struct Batch {
    // Null lengths: all sequences are full. Throws std::invalid_argument if a length is not in 0 … steps.
    Batch(int64_t size, int64_t steps, const int64_t* lengths);
    ~Batch();  // not inline: each instruction set would define it under the same name

    // Divides some rows into `shares` ranges with about equally many tokens and returns one of them.
    RowRange share_of(RowRange of, int share, int shares) const;
    RowRange active_rows(int step, RowRange rows) const {
        return {std::min(rows.begin, active[step]), std::min(rows.end, active[step])};
    }

    int64_t size;
    int steps, rows;  // longest length; number of sequences that are not empty
    int64_t tokens;
    std::vector<int64_t> order, length;  // by row: index in the batch, and number of steps
    std::vector<int64_t> first;          // number of the first token of a step
    std::vector<int> active;             // active rows of a step; 0 after the last one
};

}  // namespace recurra
