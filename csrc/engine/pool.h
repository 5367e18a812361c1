// A small pool of threads for work in equal shares: bounded spinning, then sleep; safe after fork.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>

namespace recurra {

// Calls work(0) … work(shares - 1), each once, on several threads where they are free. Returns when all are done.
void parallel(int shares, const std::function<void(int)>& work);

// The same with all shares truly at once, so that they may wait for each other; does nothing and returns false when the
// threads are not free.
bool together(int shares, const std::function<void(int)>& work);

// Where the shares of one `together` wait for each other.
class Barrier {
public:
    explicit Barrier(int shares) : shares_(shares) {}
    void wait();

private:
    const int shares_;
    std::atomic<int> arrived_{0};
    std::atomic<uint32_t> round_{0};
};

}  // namespace recurra
