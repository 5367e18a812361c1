// The pool of threads: exceptions, fork, several callers.
#include "../engine/pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "testing.h"

void test_pool() {
    const auto count = [](int shares) {
        std::atomic<int> sum{0};
        recurra::parallel(shares, [&](int i) { sum += i + 1; });
        if (sum != shares * (shares + 1) / 2) return false;
        for (recurra::Team team : {recurra::Team::brief, recurra::Team::shared}) {
            sum = 0;
            const bool done = recurra::together(shares, [&](int i) { sum += i + 1; }, team);
            if (sum != (done ? shares * (shares + 1) / 2 : 0))
                return false;  // not done: another caller has the threads
        }
        return true;
    };
    for (int i = 0; i < 2000; ++i) check(count(1 + i % 5), "pool");
    bool thrown = false;
    try {
        recurra::parallel(3, [](int i) {
            if (i == 2) throw 7;
        });
    } catch (int seven) {
        thrown = seven == 7;
    }
    check(thrown && count(4), "an exception in a worker");
#ifdef RECURRA_EMULATED
    std::printf("skipped: fork, which qemu-user does not support in a program with threads\n");
#else
    const pid_t child = fork();
    if (!child) _exit(count(3) && count(2) ? 0 : 1);
    int status = 1;
    waitpid(child, &status, 0);
    check(status == 0, "pool after fork");
#endif
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int c = 0; c < 4; ++c)
        callers.emplace_back([&] {
            for (int i = 0; i < 500; ++i) wrong += !count(1 + i % 4);
        });
    for (auto& caller : callers) caller.join();
    check(wrong == 0, "pool from several threads", wrong);
}
