// The choice of the instruction set.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "../engine/api.h"
#include "../engine/processor.h"

namespace recurra {

// Returns the instruction sets of this processor, best first.
inline std::vector<std::string> instruction_sets() {
    std::vector<std::string> found;
    for (const char* name : {"avx512", "avx2", "baseline"})
        if (has_instructions(name)) found.push_back(name);
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

// An engine with products of bfloat16. They round, so they must be clearly faster than those of float32.
struct Bf16Engine {
    const char* name;
    const Engine<float>* engine;
    bool faster;
};

// Returns those of this processor, the fastest first. The measurement takes less than a millisecond.
inline const std::vector<Bf16Engine>& bf16_engines() {
    static const std::vector<Bf16Engine> found = [] {
        std::vector<Bf16Engine> engines;
#ifdef RECURRA_X86
        const auto add = [&](const char* name, const Engine<float>& engine) {
            if (chosen() != "avx512" || !has_instructions(name)) return;
            double plain = 0, halves = 0;
            for (int i = 0; i < 5; ++i) {
                plain = std::max(plain, avx512::floats().peak(3e-5));
                halves = std::max(halves, engine.peak(3e-5));
            }
            engines.push_back({name, &engine, halves > 1.2 * plain});
        };
        add("avx512_amx", avx512_amx::floats());
        add("avx512_bf16", avx512_bf16::floats());
#endif
        return engines;
    }();
    return found;
}

// For tests: the number of the engine in the list, also where it is slower. By default the first that is faster.
constexpr int kFaster = -1, kNone = -2;
inline std::atomic<int> bf16_use{kFaster};

// Returns the engine with products of bfloat16 that is used on this processor, or null.
inline const Bf16Engine* bf16_engine() {
    const int use = bf16_use.load(std::memory_order_relaxed);
    if (use >= 0) return &bf16_engines()[use];
    for (const Bf16Engine& engine : bf16_engines())
        if (use == kFaster && engine.faster) return &engine;
    return nullptr;
}

// Returns the engine for a call. `bf16`: with products of bfloat16 where they are faster.
template <class T>
inline const Engine<T>& engine(bool bf16) {
    if constexpr (sizeof(T) == 4)
        if (bf16)
            if (const Bf16Engine* found = bf16_engine()) return *found->engine;
    return engine<T>();
}
template <class T>
inline const Engine<T>& engine(const Spec& spec) {
    return engine<T>(spec.bf16);
}

}  // namespace recurra
