// The thread pool and the memory of the engine for one thread, in place of pool.cpp and memory.cpp.
#include <cstdlib>

#include "../engine/memory.h"
#include "../engine/pool.h"

namespace recurra {

int threads_for(int64_t, int64_t, int64_t, int64_t, Team) { return 1; }

void replace_costs(const ThreadCosts*) {}

void parallel(int shares, Work work) {
    for (int i = 0; i < shares; ++i) work(i);
}

bool together(int, Work, Team) { return false; }

void Barrier::wait() {}

void* borrow(size_t& bytes) {
    bytes = (bytes + 63) / 64 * 64;
    void* block = std::aligned_alloc(64, bytes);
    if (!block) __builtin_trap();
    return block;
}

void give_back(void* block, size_t) { std::free(block); }

}  // namespace recurra
