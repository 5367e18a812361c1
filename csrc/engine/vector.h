// std::vector for code that is compiled once per instruction set.
//
// Functions of std::vector<T> have one name for the whole program. If they were compiled with AVX-512 instructions and
// the linker kept that copy, the code for every other processor would call it. The allocator puts the namespace of the
// instruction set into their names. csrc/tests/check_symbols.cmake finds functions that lack it.
#pragma once
#include <memory>
#include <vector>

namespace recurra::RECURRA_ISA {

template <class T>
struct Allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        typedef Allocator<U> other;
    };
    Allocator() = default;
    template <class U>
    Allocator(const Allocator<U>&) {}
};
template <class T>
using Vector = std::vector<T, Allocator<T>>;

}  // namespace recurra::RECURRA_ISA
