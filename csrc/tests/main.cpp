// Runs the engine's tests for one instruction set. Prints the failures; the exit status is 1 if there are any.
#include "testing.h"

namespace {

int failures = 0;

// Returns whether this processor has the instructions of this build.
bool runs_here() {
#ifdef RECURRA_BF16
    return __builtin_cpu_supports("avx512bf16");
#elif defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

}  // namespace

void check(bool good, const char* what, double value) {
    if (good) return;
    ++failures;
    std::printf("FAILED %s (%g)\n", what, value);
}

int main(int count, char**) {
    if (!runs_here()) return 77;  // ctest's status of a skipped test
    test_batch();
#ifdef __wasm__
    std::printf("skipped: the pool of threads and reused memory, which WebAssembly does not have\n");
#else
    test_memory();
    test_costs();
    test_pool();
#endif
    test_simd();
    test_gemm();
    test_attention();
    test_linear();
    test_engine();
    test_compiled();
    test_int8();
    if (count > 1) measure_gemm();
    std::printf("%d failed\n", failures);
    return failures != 0;
}
