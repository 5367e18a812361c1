// The input products of the rows of a table, such as the vectors of words. Texts repeat their words, and the product of
// a row is the same wherever it occurs, so calls without gradients compute it once.
#pragma once
#include <atomic>
#include <cstring>

#include "batch.h"
#include "weights.h"

namespace recurra::RECURRA_ISA {

// A line per entry: a copy of the row, then the gates of each direction before the recurrent product. A line is computed
// when its entry first occurs. The copy shows whether the row has changed since. Changed weights are packed anew, with
// new products.
template <class T>
class TableProducts {
public:
    static constexpr int64_t kMostBytes = int64_t(64) << 20;  // of all lines

    explicit TableProducts(const Spec& spec) : sizes_(spec), line_(round_up(sizes_.input, lanes<T>) + all_gates()) {}

    // Computes the missing lines for a batch. Returns false if the table has too many rows.
    bool take(const Batch& batch, const Inputs<T>& in, Weights<T>& weights, int threads) {
        if (in.table_rows > kMostBytes / int64_t(line_ * sizeof(T))) return false;
        if (int64_t(calls_.size()) != in.table_rows) {
            calls_.assign(in.table_rows, 0);
            lines_.resize(in.table_rows * line_);
            call_ = 0;
        }
        if (!++call_) std::fill(calls_.begin(), calls_.end(), 0), call_ = 1;
        try {
            fill(missing(batch, in), in, weights, threads);
        } catch (...) {
            calls_.clear();  // lines are marked that were not computed
            throw;
        }
        return true;
    }

    // Returns the gates of an entry, in the order of a row of gates.
    T* of(int64_t entry, int direction) const {
        return at(entry) + line_ - all_gates() + direction * int64_t(sizes_.gate_stride);
    }

    // The use of the products by one call. It is not `mine` if there are none, or if another thread uses them.
    class Use {
    public:
        explicit Use(TableProducts* of)
            : of_(of && !of->busy_.exchange(true, std::memory_order_acquire) ? of : nullptr) {}
        Use(const Use&) = delete;
        ~Use() {
            if (of_) of_->busy_.store(false, std::memory_order_release);
        }
        bool mine() const { return of_; }

    private:
        TableProducts* const of_;
    };

private:
    const Sizes<T> sizes_;
    const int64_t line_;
    Buffer<T> lines_;
    Vector<uint32_t> calls_;  // by entry: number of the last call that checked its line, 0 for none
    uint32_t call_ = 0;
    std::atomic<bool> busy_{false};

    int64_t all_gates() const { return int64_t(sizes_.directions) * sizes_.gate_stride; }
    T* at(int64_t entry) const { return lines_.get() + entry * line_; }

    // Returns the entries of a batch whose lines are not computed yet, or whose rows have changed.
    Vector<int64_t> missing(const Batch& batch, const Inputs<T>& in) {
        Vector<int64_t> found;
        for (int row = 0; row < batch.rows; ++row) {
            const int64_t* entry = in.entries.data + batch.order[row] * in.entries.batch;
            for (int64_t step = 0; step < batch.length[row]; ++step, entry += in.entries.time) {
                uint32_t& last = calls_[*entry];
                if (last == call_) continue;
                const size_t bytes = sizes_.input * sizeof(T);
                if (!last || std::memcmp(at(*entry), in.x.data + *entry * in.x.batch, bytes)) found.push_back(*entry);
                last = call_;
            }
        }
        return found;
    }

    void fill(const Vector<int64_t>& entries, const Inputs<T>& in, Weights<T>& weights, int threads) {
        constexpr size_t kAtOnce = 96;
        if (entries.empty()) return;
        const int apart = sizes_.stored * lanes<T> * sizes_.unit_vectors;
        const int64_t work = int64_t(entries.size()) * sizes_.units * sizes_.products * sizes_.input;
        const int items = int((entries.size() + kAtOnce - 1) / kAtOnce);
        in_turn(items, threads_for(work, kMicrosecond<T>, threads), [&](int item) {
            const T* from[kAtOnce];
            T* to[kAtOnce];
            const size_t first = item * kAtOnce, n = std::min(kAtOnce, entries.size() - first);
            for (size_t i = 0; i < n; ++i) {
                T* copy = at(entries[first + i]);
                std::copy_n(in.x.data + entries[first + i] * in.x.batch, sizes_.input, copy);
                from[i] = copy;
            }
            for (int direction = 0; direction < sizes_.directions; ++direction) {
                DirectionWeights<T>& dir = weights.at(0, direction);
                for (size_t i = 0; i < n; ++i) to[i] = of(entries[first + i], direction);
                rows_times<T>(int(n), from, to, dir.in, 0, dir.in.strips(), apart, Start::bias, dir.bias.get());
            }
        });
    }
};

}  // namespace recurra::RECURRA_ISA
