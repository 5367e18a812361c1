// What it costs to use several threads, and the number of threads that follows from it.
#pragma once
#include <atomic>
#include <cstdint>

namespace recurra {

// In nanoseconds, each time the number of threads doubles.
struct ThreadCosts {
    double start;    // until a thread begins with its share
    double meeting;  // until a thread knows that all others have come to a barrier
    int cores;       // threads that can run at the same time

    // Returns the number of threads for work that takes `nanoseconds` on one thread, at most `most`. The threads meet
    // `meetings` times on the way, and once at the end. Each thread gets work that takes at least twice as long as what
    // it costs; so two threads are used if they are expected to save a quarter of the time.
    int threads_for(double nanoseconds, int64_t most, int64_t meetings) const;
};

// A cost that follows the median of what is observed. Each observation moves it by a tenth, so that single
// interruptions by other programs count little.
class MovingCost {
public:
    explicit MovingCost(double first) : value_(first) {}
    double value() const { return value_.load(std::memory_order_relaxed); }
    // `threads`: the number of threads that were used.
    void observe(double nanoseconds, int threads);
    // Adds work that was decided about. Returns true if it has reached `limit` since the last observation, and then
    // counts from zero again.
    bool is_old(double nanoseconds, double limit);

private:
    alignas(64) std::atomic<double> value_;
    std::atomic<double> decided_{0};
};

}  // namespace recurra
