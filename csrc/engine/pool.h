// A small pool of threads for work in equal shares: bounded spinning, then sleep; safe after fork. Inside, numbers too small
// for their type's full precision count as zero: they would cost a hundred times the others.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace recurra {

// A reference to something to call with the number of a share.
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

// Calls work(0) … work(shares - 1), each once, on several threads where they are free. Returns when all are done.
void parallel(int shares, Work work);

// Calls work(0) … work(items - 1) on so many threads, each of which takes the next as soon as it is free: where another program
// holds up one of them, the others do not wait for long.
template <class F>
void in_turn(int items, int threads, const F& work) {
    std::atomic<int> next{0};
    parallel(std::min(items, threads), [&](int) {
        for (int i = next.fetch_add(1); i < items; i = next.fetch_add(1)) work(i);
    });
}

// The same with all shares truly at once, so that they may wait for each other; does nothing and returns false when the
// threads are not free.
bool together(int shares, Work work);

// Where the shares of one `together` wait for each other.
class Barrier {
public:
    explicit Barrier(int shares) : shares_(shares) {}
    void wait();

private:
    const int shares_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace recurra
