// The number of threads follows from costs: given ones, and ones that change.
#include "../engine/pool.h"

#include <chrono>
#include <cmath>

#include "testing.h"

using recurra::MovingCost;
using recurra::ThreadCosts;

namespace {

void test_decisions() {
    const ThreadCosts costs{1000, 300, 4};
    check(costs.threads_for(2 * 2 * 1300 - 1, 8, 0) == 1, "too little work for two threads");
    check(costs.threads_for(2 * 2 * 1300, 8, 0) == 2, "enough work for two threads");
    check(costs.threads_for(1e9, 8, 0) == 8 && costs.threads_for(1e9, 8, 1) == 4, "only meetings need a core each");
    // what counts is the work of one step, not that of the whole call
    for (int64_t steps : {100, 10000}) {
        check(costs.threads_for(1100. * steps, 2, steps) == 1, "steps shorter than four meetings");
        check(costs.threads_for(1400. * steps, 2, steps) == 2, "steps longer than four meetings");
    }
    const ThreadCosts none{0, 0, 2};
    check(none.threads_for(1, 5, 0) == 5 && none.threads_for(1, 5, 3) == 2, "without costs all threads work");
    check(none.threads_for(1, 0, 0) == 1, "at least one thread");
}

void test_moving() {
    MovingCost meeting(1000);
    const auto threads = [&] { return ThreadCosts{500, meeting.value(), 2}.threads_for(2000. * 100, 2, 100); };
    const auto after = [&](int count, double nanoseconds) {
        for (int i = 0; i < count; ++i) meeting.observe(i % 5 ? nanoseconds : 1e7, 2);  // some interruptions
        return meeting.value();
    };
    check(threads() == 1, "slow meetings: one thread");
    check(std::abs(after(100, 200) - 200) < 60, "the cost follows the median", meeting.value());
    check(threads() == 2, "meetings have become fast: two threads");
    check(std::abs(after(100, 900) - 900) < 250, "the cost follows the median upwards", meeting.value());
    check(threads() == 1, "meetings have become slow: one thread");
    for (int i = 0; i < 100; ++i) meeting.observe(4000, 16);
    check(std::abs(meeting.value() - 1000) < 150, "the cost of one doubling", meeting.value());
    check(!meeting.is_old(3, 5) && meeting.is_old(3, 5) && !meeting.is_old(3, 5), "old after much work");
    meeting.observe(1000, 2);
    check(!meeting.is_old(3, 5), "an observation makes the cost new");
}

void test_replaced() {
    const ThreadCosts free{0, 0, 64}, dear{1e12, 1e12, 64};
    recurra::replace_costs(&free);
    check(recurra::threads_for(1, 1000, 16, 5) == 16, "replaced costs decide");
    recurra::replace_costs(&dear);
    check(recurra::threads_for(1 << 20, 1000, 16) == 1 && recurra::thread_costs().start == 1e12, "also high ones");
    recurra::replace_costs(nullptr);
    check(recurra::threads_for(1 << 30, 1000, 2) == 2, "measured costs: much work is shared");
    // Many decisions, so they are measured several times: in an emulator on a busy machine, all meetings of the first
    // time can take too long to count.
    for (int i = 0; i < 1000; ++i) recurra::threads_for(1 << 24, 1000, 2, 1 << 20);
    const ThreadCosts measured = recurra::thread_costs();
    check(measured.start < 1e9 && measured.meeting < 1e9 && measured.cores >= 1, "measured costs", measured.meeting);
    if (measured.cores > 1) check(measured.start != 2000 && measured.meeting != 1000, "costs are measured");
}

// After long work, the wait for a thread with a larger share is not a cost of the meeting.
void test_unequal_shares() {
    using std::chrono::microseconds;
    using std::chrono::steady_clock;
    const double before = recurra::thread_costs().meeting;
    recurra::Barrier meeting(2, 2);
    recurra::together(2, [&](int share) {
        for (int i = 0; i < 40; ++i) {
            const auto end = steady_clock::now() + microseconds(share ? 160 : 100);
            while (steady_clock::now() < end) continue;
            meeting.wait();
        }
    });
    check(recurra::thread_costs().meeting == before, "unequal shares of long work", recurra::thread_costs().meeting);
}

}  // namespace

void test_costs() {
    test_decisions();
    test_moving();
    test_replaced();
    test_unequal_shares();
}
