// The order in which a ragged batch is walked: sequences sorted by length, longest first, so that those still active at a
// step are a prefix; and only real tokens are numbered, step after step. So padding costs nothing.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace recurra {

// RowRange that a thread works on: neighbours, for where they are dealt out in turn the threads write side by side in memory, and
// fetch each other's lines away.
struct RowRange {
    int begin, end;
};

struct Batch {
    // Null lengths: all are full. Throws std::invalid_argument if one is not in 0 … steps.
    Batch(int64_t size, int64_t steps, const int64_t* lengths);

    // The share-th of so many runs of some rows with about equally many tokens.
    RowRange share_of(RowRange of, int share, int shares) const;
    RowRange active_rows(int step, RowRange rows) const {
        return {std::min(rows.begin, active[step]), std::min(rows.end, active[step])};
    }

    int64_t size;
    int steps, rows;  // longest length, sequences that are not empty
    int64_t tokens;
    std::vector<int64_t> order, length;  // by row: place in the batch, and steps
    std::vector<int64_t> first;          // number of the first token of a step
    std::vector<int> active;             // rows at a step; 0 at the end
};

}  // namespace recurra
