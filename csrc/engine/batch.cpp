#include "batch.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace recurra {

Batch::Batch(int64_t size_, int64_t padded, const int64_t* lengths) : size(size_), order(size_), length(size_, padded) {
    std::iota(order.begin(), order.end(), 0);
    if (lengths) {
        for (int64_t b = 0; b < size; ++b)
            if (lengths[b] < 0 || lengths[b] > padded) {
                const auto [low, high] = std::minmax_element(lengths, lengths + size);
                throw std::invalid_argument("lengths must lie between 0 and the " + std::to_string(padded) +
                                            " steps of the batch; got " + std::to_string(*low) + " to " +
                                            std::to_string(*high));
            }
        std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return lengths[a] > lengths[b]; });
        for (int64_t r = 0; r < size; ++r) length[r] = lengths[order[r]];
    }
    steps = size ? int(length[0]) : 0;
    rows = int(std::count_if(length.begin(), length.end(), [](int64_t n) { return n > 0; }));
    first.resize(steps + 1);
    active.resize(steps + 1);
    int n = rows;
    for (int t = 0; t < steps; ++t) {
        while (n && length[n - 1] <= t) --n;
        active[t] = n;
        first[t + 1] = first[t] + n;
    }
    tokens = first[steps];
}

Batch::~Batch() = default;

RowRange Batch::share_of(RowRange of, int share, int shares) const {
    const int64_t all = std::accumulate(length.begin() + of.begin, length.begin() + of.end, int64_t(0));
    const auto bound = [&](int k) {
        int64_t sum = 0;
        int r = of.begin;
        while (r < of.end && (sum + length[r] / 2) * shares < all * k) sum += length[r++];
        return k == shares ? of.end : r;
    };
    return {bound(share), bound(share + 1)};
}

}  // namespace recurra
