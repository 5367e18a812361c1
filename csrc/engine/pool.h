// A small thread pool: bounded spinning, then sleep. It works after a fork. Inside, denormal numbers count as zero:
// they would cost a hundred times as much as other numbers.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

#include "costs.h"

namespace recurra {

// A reference to a function of the number of a share.
class Work {
public:
    template <class F>
    Work(const F& f) : self_(&f),
                       call_([](const void* self, int share) { (*static_cast<const F*>(self))(share); }) {}
    void operator()(int share) const { call_(self_, share); }

private:
    const void* self_;
    void (*call_)(const void*, int);
};

// The threads that work. shared: those of torch where there are any. They spin after each operation of torch, and more
// threads would compete with them. brief: threads of the engine, for work of some microseconds. They begin and end three
// times as fast. If they are held up, because those of torch spin, the threads of torch work instead for a while.
enum class Team { shared, brief };

// Returns the number of threads for some work, at least one and at most `most`. `microsecond` is the work that one
// thread does in about a microsecond, and `meetings` how often the threads wait for each other meanwhile. The costs of
// threads are measured before the first decision. They follow what the calls observe.
int threads_for(int64_t work, int64_t microsecond, int64_t most, int64_t meetings = 0, Team team = Team::shared);

// Returns the costs that decide now.
ThreadCosts thread_costs(Team team = Team::shared);
// Replaces the measured costs, for tests. Null: the measured ones decide again.
void replace_costs(const ThreadCosts* costs);

// Calls work(0) … work(shares - 1), each once, on several threads if they are free. Returns when all calls are done.
void parallel(int shares, Work work);

// Calls work(0) … work(items - 1). Each thread takes the next item when it is free. If another program holds up one
// thread, the others do not wait for long.
template <class F>
void in_turn(int items, int threads, const F& work) {
    std::atomic<int> next{0};
    parallel(std::min(items, threads), [&](int) {
        for (int i = next.fetch_add(1); i < items; i = next.fetch_add(1)) work(i);
    });
}

// Like `parallel`, but all shares run at the same time, so they may wait for each other. Does nothing and returns false
// if the threads are not free.
bool together(int shares, Work work, Team team = Team::shared);

// A barrier for the shares of one call of `together`. Observes the waiting time of one round in `every`.
class Barrier {
public:
    explicit Barrier(int shares, uint32_t every = 16) : shares_(shares), every_(every) {}
    void wait();

private:
    const int shares_;
    const uint32_t every_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace recurra
