#include "pool.h"

#include <pthread.h>
#if defined(__linux__)
#include <dlfcn.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#define RECURRA_PAUSE() _mm_pause()
#else
#define RECURRA_PAUSE() std::this_thread::yield()
#endif

namespace recurra {
namespace {

constexpr int kSpins = 4000;  // some tens of microseconds: the gap between two parallel parts of a call

int64_t now() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

const int cores = std::max(1, int(std::thread::hardware_concurrency()));
MovingCost start_costs[] = {MovingCost(2000), MovingCost(1000)}, meeting_cost(1000);  // until they are measured
MovingCost& start_cost(Team team) { return start_costs[int(team)]; }
std::atomic<const ThreadCosts*> replaced{nullptr};
std::atomic<double> measure_after{5e7};  // nanoseconds of work without an observation

// Waits a little, for the `i`th time. Without a core for each thread, the thread that is waited for needs this one.
void pause(int i, int threads) { i < kSpins&& threads <= cores ? RECURRA_PAUSE() : std::this_thread::yield(); }

// Treats denormal numbers as zero during its lifetime.
class ScopedFlushDenormals {
#if defined(__x86_64__)
    const unsigned before_ = _mm_getcsr();

public:
    ScopedFlushDenormals() { _mm_setcsr(before_ | 0x8040); }
    ~ScopedFlushDenormals() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
    uint64_t before_;

public:
    ScopedFlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | uint64_t(1) << 24));
    }
    ~ScopedFlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }
#else
public:
    ScopedFlushDenormals() {}
    ~ScopedFlushDenormals() {}
#endif
};

// Notices that other programs or threads hold up the threads of a team. One long wait may be chance. More than a third of
// the last dozen is not; then the team is not used for a while.
class Crowding {
public:
    bool noticed() const { return until_.load() && now() <= until_.load(); }
    void count_wait() { waits_.fetch_add(1, std::memory_order_relaxed); }
    void count_long_wait() { long_waits_.fetch_add(1, std::memory_order_relaxed); }
    void look_back() {
        if (waits_.load(std::memory_order_relaxed) < 12) return;
        if (long_waits_.exchange(0) > 4) until_.store(now() + kApart);
        waits_.store(0, std::memory_order_relaxed);
    }

private:
    static constexpr int64_t kApart = 500'000'000;  // nanoseconds
    std::atomic<int64_t> until_{0};
    std::atomic<int> waits_{0}, long_waits_{0};
};

// The OpenMP threads of torch. After an operation of torch they spin for milliseconds; additional threads would compete
// with them for the cores. So if the GNU OpenMP library is loaded, the work runs on its threads. The library is not
// linked, only looked up. If other programs use the cores, the spinning costs us our share of them: when threads wait
// longer than a wait for a core takes, these threads are not used for a while.
class OpenMPPool {
public:
    static const OpenMPPool& threads() {
        static const OpenMPPool found;
        return found;
    }
    bool available() const { return run_ && number_ && size_ && inside_ && !inside_() && !crowding_.noticed(); }

    // Does nothing and returns false if there are fewer threads than shares.
    template <class F>
    bool run(int shares, F work) const {
        struct Team {
            const OpenMPPool* self;
            F* work;
            int shares;
            std::atomic<bool> complete{true};
            std::atomic<int> done{0};
        } team{this, &work, shares};
        run_(
            [](void* data) {
                auto& t = *static_cast<Team*>(data);
                if (t.self->size_() < t.shares) return t.complete.store(false, std::memory_order_relaxed);
                if (t.self->number_() >= t.shares) return;
                const int64_t start = now();
                (*t.work)(t.self->number_());
                // Threads that finish first wait here and yield to other programs; at the end of a team they would not.
                t.done.fetch_add(1, std::memory_order_acq_rel);
                int64_t began = 0;
                for (int i = 0; t.done.load(std::memory_order_acquire) < t.shares; ++i) {
                    if (i == kSpins) began = now();
                    pause(i, t.shares);
                }
                if (t.self->number_() == 0) t.self->crowding_.count_wait();
                // long, also compared with the work: shares are never quite equal
                if (began && now() - began > std::max(kLong, (began - start) / 3)) t.self->crowding_.count_long_wait();
            },
            &team, unsigned(shares), 0);
        crowding_.look_back();
        return team.complete.load(std::memory_order_relaxed);
    }

private:
    static constexpr int64_t kLong = 2'000'000;  // nanoseconds
    mutable Crowding crowding_;

    void (*run_)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
    int (*number_)() = nullptr;
    int (*size_)() = nullptr;
    int (*inside_)() = nullptr;

    OpenMPPool() {
#if defined(__linux__)
        void* library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
        if (!library) return;
        find(library, "GOMP_parallel", run_);
        find(library, "omp_get_thread_num", number_);
        find(library, "omp_get_num_threads", size_);
        find(library, "omp_in_parallel", inside_);
#endif
    }
    template <class F>
    static void find(void* library, const char* name, F& to) {
#if defined(__linux__)
        to = reinterpret_cast<F>(dlsym(library, name));
#endif
    }
};

class Pool {
public:
    // After a fork, torch's threads do not exist in the child.
    explicit Pool(bool child) : openmp_(child ? nullptr : &OpenMPPool::threads()) {}

    // Does nothing and returns false if another thread of the program uses the pool.
    bool run(int shares, Work work, Team team) {
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        if (!turn.owns_lock()) return false;
        work_ = &work, shares_ = shares, team_ = team, begun_ = now();
        if (openmp_ && (team == Team::shared || crowding_.noticed()) && openmp_->available()) {
            const bool done = openmp_->run(shares, [this](int share) { guarded(share); });
            if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
            return done;
        }
        while (int(workers_.size()) < shares - 1) {
            const int index = int(workers_.size()) + 1;
            workers_.emplace_back([this, index, seen = round_.load()] { serve(index, seen); });
            workers_.back().detach();
        }
        left_.store(int(workers_.size()), std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            round_.fetch_add(1, std::memory_order_release);
        }
        const bool asleep = asleep_.load() > 0;
        if (asleep) wake_.notify_all();
        guarded(0);
        const int64_t began = team == Team::brief ? now() : 0;
        for (int i = 0; left_.load(std::memory_order_acquire) > 0; ++i) pause(i, shares);
        if (team == Team::brief && !asleep) {
            crowding_.count_wait();
            if (now() - began > kLong) crowding_.count_long_wait();
            crowding_.look_back();
        }
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
        return true;
    }

private:
    void serve(int index, uint64_t seen) {
        for (;;) {
            for (int i = 0; round_.load(std::memory_order_acquire) == seen && i < kSpins; ++i) RECURRA_PAUSE();
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                asleep_.fetch_add(1);
                wake_.wait(lock, [&] { return round_.load() != seen; });
                asleep_.fetch_sub(1);
            }
            ++seen;
            if (index < shares_) guarded(index);
            left_.fetch_sub(1, std::memory_order_release);
        }
    }

    void guarded(int share) {
        if (share && share + 1 == shares_) start_cost(team_).observe(double(now() - begun_), shares_);
        try {
            ScopedFlushDenormals flush;
            (*work_)(share);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mutex_);
            error_ = std::current_exception();
        }
    }

    static constexpr int64_t kLong = 50'000;  // nanoseconds, for work of some microseconds

    const OpenMPPool* const openmp_;
    Crowding crowding_;  // of threads with brief work, for example by spinning threads of torch
    std::mutex turn_, mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> workers_;
    std::atomic<uint64_t> round_{0};
    std::atomic<int> left_{0}, asleep_{0};
    const Work* work_ = nullptr;
    int shares_ = 0;
    Team team_ = Team::shared;
    int64_t begun_ = 0;  // time at the start of the work
    std::exception_ptr error_;
};

Pool* pool = nullptr;
std::once_flag once, measured[2];

void start() {
    pool = new Pool(false);  // never destroyed: its threads may outlive every static object
    pthread_atfork(nullptr, nullptr, [] { pool = new Pool(true); });  // a child has the memory but not the threads
}

// Observes some starts and meetings of two threads. Takes some tens of microseconds, or some milliseconds if other
// programs use the cores. It is repeated so seldom that it takes less than a hundredth of the time.
void measure(Team team) {
    constexpr int kStarts = 16, kMeetings = 64;
    const int64_t begin = now(), end = begin + 1'000'000;
    if (cores == 1) return;
    for (int i = 0; i < kStarts && now() < end; ++i)
        if (!together(2, [](int) {}, team)) return;
    Barrier meeting(2, 2);
    std::atomic<bool> late{false};
    together(
        2,
        [&](int share) {
            for (int i = 0; i < kMeetings; ++i) {
                if (!share) late.store(now() > end, std::memory_order_relaxed);
                meeting.wait();
                const bool stop = late.load(std::memory_order_relaxed);
                meeting.wait();  // both have read the same
                if (stop) return;
            }
        },
        team);
    measure_after.store(std::max(5e7, 500. * double(now() - begin)));
}

}  // namespace

int threads_for(int64_t work, int64_t microsecond, int64_t most, int64_t meetings, Team team) {
    const double nanoseconds = 1000. * double(work) / double(microsecond);
    if (most <= 1) return 1;
    if (const ThreadCosts* costs = replaced.load()) return costs->threads_for(nanoseconds, most, meetings);
    if (nanoseconds < 100) return 1;  // less than any cost: a program with only small calls starts no threads
    std::call_once(measured[int(team)], measure, team);
    const double limit = measure_after.load(std::memory_order_relaxed);
    const bool old = start_cost(team).is_old(nanoseconds, limit);
    if ((meetings && meeting_cost.is_old(nanoseconds, limit)) || old) measure(team);
    return thread_costs(team).threads_for(nanoseconds, most, meetings);
}

ThreadCosts thread_costs(Team team) {
    const ThreadCosts* costs = replaced.load();
    return costs ? *costs : ThreadCosts{start_cost(team).value(), meeting_cost.value(), cores};
}

void replace_costs(const ThreadCosts* costs) { replaced.store(costs); }

void parallel(int shares, Work work) {
    if (shares > 1 && together(shares, work)) return;
    ScopedFlushDenormals flush;
    for (int i = 0; i < shares; ++i) work(i);  // one thread is faster than waiting
}

bool together(int shares, Work work, Team team) {
    std::call_once(once, start);
    return pool->run(shares, work, team);
}

void Barrier::wait() {
    // After long work most of the waiting is due to unequal shares, which says nothing about short work.
    constexpr int64_t kLong = 50'000;
    static thread_local int64_t begun = 0;  // time at the start of the work before an observed round
    const uint32_t round = round_.load(std::memory_order_acquire), turn = round % every_;
    const bool next = turn + 1 == every_ / 2;
    const int64_t start = turn == every_ / 2 ? now() : 0;
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == shares_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        if (next) begun = now();
        return;
    }
    for (int i = 0; round_.load(std::memory_order_acquire) == round; ++i) pause(i, shares_);
    if (next) begun = now();
    if (start && start - begun < kLong) meeting_cost.observe(double(now() - start), shares_);
}

}  // namespace recurra
