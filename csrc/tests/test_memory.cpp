// Reuse of memory.
#include "../engine/memory.h"

#include <cstdint>

#include "testing.h"

void test_memory() {
    for (size_t wanted : {size_t(1), size_t(64), size_t(1000), size_t(100000), size_t(5) << 20}) {
        size_t bytes = wanted, again = wanted;
        void* block = recurra::borrow(bytes);
        check(bytes >= wanted && reinterpret_cast<uintptr_t>(block) % 64 == 0, "size and alignment", double(wanted));
        recurra::give_back(block, bytes);
        void* same = recurra::borrow(again);
        check(same == block && again == bytes, "a block is used again", double(wanted));
        recurra::give_back(same, again);
    }
    recurra::Buffer<int> buffer;
    check(!buffer.get(), "a new buffer is empty");
    buffer.resize(10);
    int* data = buffer.get();
    buffer.resize(5);
    check(buffer.get() == data, "a buffer does not shrink");
    recurra::Buffer<int> taken(std::move(buffer));
    check(taken.get() == data && !buffer.get(), "a buffer can be moved");
}
