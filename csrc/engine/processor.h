// The instructions of this processor.
#pragma once
#include <string>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace recurra {

// Returns whether this process may use tiles of bfloat16 (AMX). Linux allows them to a process that asks for them.
inline bool may_use_tiles() {
#if defined(__x86_64__) && defined(__linux__)
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
    // ARCH_REQ_XCOMP_PERM; see Documentation/arch/x86/xstate.rst of Linux
    constexpr long kAsk = 0x1023, kTileData = 18;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & kBf16 && d & kTile &&
           syscall(SYS_arch_prctl, kAsk, kTileData) == 0;
#else
    return false;
#endif
}

// Returns whether this processor has the instructions for which the engine `isa` is compiled; see CMakeLists.txt.
inline bool has_instructions(const std::string& isa) {
    if (isa == "baseline") return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (isa == "avx512") return wide;
    const bool halves = wide && __builtin_cpu_supports("avx512bf16");
    if (isa == "avx512_bf16") return halves;
    if (isa == "avx512_amx") return halves && may_use_tiles();
#endif
    return false;
}

}  // namespace recurra
