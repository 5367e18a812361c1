#include "memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace recurra {
namespace {

constexpr size_t kHuge = size_t(2) << 20;    // from this size on, blocks use huge pages
constexpr size_t kKept = size_t(512) << 20;  // upper bound of the unused memory that is kept

struct Block {
    void* data;
    size_t bytes;
};

std::mutex* lock = new std::mutex;  // never destroyed: buffers may outlive static objects
std::vector<Block>* kept = new std::vector<Block>;
size_t total = 0;

// The child of a fork must not inherit a lock that another thread holds.
const int at_fork = pthread_atfork([] { lock->lock(); }, [] { lock->unlock(); }, [] { lock->unlock(); });

// Rounds up to an eighth of a power of two. With few different sizes, blocks fit more often.
size_t rounded(size_t bytes) {
    size_t step = 64;
    while (step * 16 < bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

// A few small blocks per thread, without a lock: a single step takes and returns three of them.
class Small {
public:
    ~Small() {
        for (Shelf& shelf : shelves_)
            while (shelf.count) std::free(shelf.blocks[--shelf.count]);
    }
    void* take(size_t bytes) {
        Shelf* shelf = of(bytes);
        return shelf && shelf->count ? shelf->blocks[--shelf->count] : nullptr;
    }
    bool put(void* block, size_t bytes) {
        Shelf* shelf = of(bytes);
        if (!shelf || shelf->count == kMost) return false;
        shelf->blocks[shelf->count++] = block;
        return true;
    }

private:
    static constexpr int kMost = 8, kSizes = 16;  // sizes 64, 128, … bytes
    struct Shelf {
        void* blocks[kMost];
        int count = 0;
    };
    Shelf shelves_[kSizes];
    Shelf* of(size_t bytes) { return bytes && bytes <= 64 * kSizes ? &shelves_[bytes / 64 - 1] : nullptr; }
};
thread_local Small small;

}  // namespace

void* borrow(size_t& bytes) {
    bytes = rounded(bytes);
    if (void* block = small.take(bytes)) return block;
    {
        std::lock_guard<std::mutex> guard(*lock);
        // The smallest block that is at most twice as large; of equal ones the last used, which is still in the cache.
        size_t best = kept->size();
        for (size_t i = kept->size(); i-- > 0;) {
            const size_t size = (*kept)[i].bytes;
            if (size >= bytes && size <= 2 * bytes && (best == kept->size() || size < (*kept)[best].bytes)) best = i;
            if (size == bytes) break;
        }
        if (best < kept->size()) {
            void* data = (*kept)[best].data;
            bytes = (*kept)[best].bytes;
            kept->erase(kept->begin() + best);
            total -= bytes;
            return data;
        }
    }
    const bool huge = bytes >= kHuge;
    void* data = std::aligned_alloc(huge ? kHuge : 64, huge ? (bytes + kHuge - 1) / kHuge * kHuge : bytes);
    if (!data) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (huge) madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return data;
}

void give_back(void* block, size_t bytes) {
    if (!block || small.put(block, bytes)) return;
    std::vector<Block> old;
    {
        std::lock_guard<std::mutex> guard(*lock);
        kept->push_back({block, bytes});
        total += bytes;
        while (total > kKept) {
            old.push_back(kept->front());
            total -= kept->front().bytes;
            kept->erase(kept->begin());
        }
    }
    for (const Block& b : old) std::free(b.data);
}

}  // namespace recurra
