// Runs the engine's tests for one instruction set. Prints the failures; the exit status is 1 if there are any.
#include "../engine/processor.h"
#include "testing.h"

namespace {

int failures = 0;

}  // namespace

void check(bool good, const char* what, double value) {
    if (good) return;
    ++failures;
    std::printf("FAILED %s (%g)\n", what, value);
}

#define QUOTED(name) #name
#define TEXT(macro) QUOTED(macro)

int main(int count, char**) {
    if (!recurra::has_instructions(TEXT(RECURRA_ISA))) return 77;  // ctest's status of a skipped test
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
