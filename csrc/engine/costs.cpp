#include "costs.h"

#include <algorithm>
#include <cmath>

namespace recurra {
namespace {

constexpr double kMove = 1.1, kLeast = 10, kMost = 1e8;  // nanoseconds, except kMove

}  // namespace

int ThreadCosts::threads_for(double nanoseconds, int64_t most, int64_t meetings) const {
    if (meetings) most = std::min<int64_t>(most, cores);  // a thread without a core would hold up all others
    const double cost = start + double(meetings + 1) * meeting;
    const double worth = cost > 0 ? nanoseconds / (2 * cost) : double(most);
    return int(std::clamp(worth, 1., double(std::max<int64_t>(1, most))));
}

void MovingCost::observe(double nanoseconds, int threads) {
    const double before = value(), seen = nanoseconds / std::log2(double(std::max(2, threads)));
    value_.store(std::clamp(seen > before ? before * kMove : before / kMove, kLeast, kMost), std::memory_order_relaxed);
    decided_.store(0, std::memory_order_relaxed);
}

bool MovingCost::is_old(double nanoseconds, double limit) {
    const double decided = decided_.load(std::memory_order_relaxed) + nanoseconds;
    decided_.store(decided < limit ? decided : 0, std::memory_order_relaxed);
    return decided >= limit;
}

}  // namespace recurra
