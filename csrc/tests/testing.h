// Shared parts of the engine's tests. Each file tests one header and defines one function of this list.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "../engine/gemm_bf16.h"

void test_batch();
void test_memory();
void test_costs();
void test_pool();
void test_simd();
void test_gemm();
void test_attention();
void test_linear();
void test_engine();
void test_compiled();
void test_int8();
void measure_gemm();  // prints the speed of matrix products

// Counts and prints a failure unless `good`.
void check(bool good, const char* what, double value = 0);

inline std::mt19937 generator(0);

// Random numbers, normally distributed.
template <class T>
std::vector<T> draw(size_t n) {
    std::normal_distribution<double> normal;
    std::vector<T> found(n);
    for (T& x : found) {
        x = T(normal(generator));
        if constexpr (recurra::RECURRA_ISA::is_bf16<
                          T>) {  // a bfloat16 number, so that products are as exact as in float32
            uint32_t bits;
            std::memcpy(&bits, &x, sizeof bits);
            bits &= 0xffff0000u;
            std::memcpy(&x, &bits, sizeof bits);
        }
    }
    return found;
}
