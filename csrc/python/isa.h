// The choice of the instruction set.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../engine/api.h"

namespace recurra {

// Returns the instruction sets of this processor, best first.
inline std::vector<std::string> instruction_sets() {
    std::vector<std::string> found;
#ifdef RECURRA_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        found.push_back("avx512");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back("avx2");
#endif
    found.push_back("baseline");
    return found;
}

// Returns the instruction set in use.
inline std::string chosen() {
    const auto known = instruction_sets();
    const char* wanted = std::getenv("RECURRA_ISA");
    if (!wanted || !*wanted) return known.front();
    for (const auto& name : known)
        if (name == wanted) return name;
    throw std::runtime_error("RECURRA_ISA=" + std::string(wanted) + " is not available on this processor");
}

template <class T>
inline const Engine<T>& engine() {
    static const Engine<T>& found = []() -> const Engine<T>& {
        const std::string isa = chosen();
#define RECURRA_CHOOSE(name)                                          \
    if (isa == #name) {                                               \
        if constexpr (sizeof(T) == 4) return recurra::name::floats(); \
        else return recurra::name::doubles();                         \
    }
#ifdef RECURRA_X86
        RECURRA_CHOOSE(avx512)
        RECURRA_CHOOSE(avx2)
#endif
        RECURRA_CHOOSE(baseline)
#undef RECURRA_CHOOSE
        throw std::logic_error("no such instruction set");
    }();
    return found;
}

enum class Bf16Use { measured, never, always };
// For tests: `always` is on every processor that has the instruction.
inline std::atomic<Bf16Use> bf16_use{Bf16Use::measured};

// Returns whether the engine uses products of bfloat16 on this processor; see engine/gemm_bf16.h. They round, so they
// must be clearly faster than those of float32. The measurement takes less than a millisecond.
inline bool has_bf16() {
#ifdef RECURRA_X86
    static const bool known = chosen() == "avx512" && __builtin_cpu_supports("avx512bf16");
    static const bool faster = [] {
        double plain = 0, halves = 0;
        for (int i = 0; known && i < 5; ++i) {
            plain = std::max(plain, avx512::floats().peak(3e-5));
            halves = std::max(halves, avx512_bf16::floats().peak(3e-5));
        }
        return halves > 1.2 * plain;
    }();
    const Bf16Use use = bf16_use.load(std::memory_order_relaxed);
    return use == Bf16Use::measured ? faster : known && use == Bf16Use::always;
#else
    return false;
#endif
}

// Returns the engine for a call.
template <class T>
inline const Engine<T>& engine(const Spec& spec) {
#ifdef RECURRA_X86
    if constexpr (sizeof(T) == 4)
        if (spec.bf16 && has_bf16()) return recurra::avx512_bf16::floats();
#endif
    return engine<T>();
}

}  // namespace recurra
