// The sums for the gradients of the weights.
#pragma once
#include "weights.h"

namespace recurra::RECURRA_ISA {

// Parts of the batch, each with its own sums. Constant, so that results and memory do not depend on the number of
// threads.
constexpr int kParts = 2;

// The memory in which a gradient of weights is summed.
template <class T>
struct Sum {
    T* data;
    int ld;
};

// The weight gradients of one part of the batch. Those of the first part are summed in the result if its rows are whole
// vectors.
template <class T>
class WeightSums {
public:
    Vector<bool> begun;  // by layer and direction: whether the sums have a first value

    WeightSums(const Spec& spec_, const Gradients<T>& to, bool straight)
        : begun(spec_.layers * (spec_.bidirectional ? 2 : 1), false),
          spec(spec_),
          sizes(spec),
          to_(to),
          straight_(straight),
          beside_(begun.size() * 5) {}

    // `which`: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr
    Sum<T> at(int index, int which) {
        const int columns = columns_of(index, which), ld = wide(index, which);
        if (straight_ && columns == ld) return {result(index, which), columns};
        Buffer<T>& beside = beside_[index * 5 + which];
        if (!beside.get()) beside.resize(int64_t(height(which)) * ld);
        return {beside.get(), ld};
    }

    // Takes memory for the sums of a layer in one direction. From then on, several threads may call `at`.
    void reserve(int index) {
        for (int which = 0; which < 5; ++which)
            if (has(which)) at(index, which);
    }
    // Returns how many numbers of memory the sums take in addition to the results.
    int64_t numbers() const {
        int64_t found = 0;
        for (size_t i = 0; i < beside_.size(); ++i)
            if (beside_[i].get()) found += int64_t(height(int(i % 5))) * wide(int(i / 5), int(i % 5));
        return found;
    }

    // Adds the sums that are not in the result to it, for the rows `first` … `last` - 1 of one weight.
    void hand_over(int index, int which, int first, int last) {
        const int columns = columns_of(index, which);
        T* to = result(index, which);
        if (straight_ && !begun[index]) std::fill(to + int64_t(first) * columns, to + int64_t(last) * columns, T(0));
        const T* from = beside_[index * 5 + which].get();
        if (!from || !begun[index]) return;
        const int ld = wide(index, which);
        for (int m = first; m < last; ++m)
            for (int j = 0; j < columns; ++j) {
                T& sum = to[int64_t(m) * columns + j];
                sum = straight_ ? from[int64_t(m) * ld + j] : sum + from[int64_t(m) * ld + j];
            }
    }
    int height(int which) const { return which == 4 ? sizes.out : sizes.products * sizes.hidden; }
    bool has(int which) const { return which < 2 || (which < 4 ? spec.bias : sizes.projects); }

private:
    const Spec& spec;
    const Sizes<T> sizes;
    const Gradients<T>& to_;
    const bool straight_;
    Vector<Buffer<T>> beside_;

    int columns_of(int index, int which) const {
        return which == 0   ? sizes.inputs(index / sizes.directions)
               : which == 1 ? sizes.out
               : which == 4 ? sizes.hidden
                            : 1;
    }
    // Products are written in whole vectors, biases one number at a time.
    int wide(int index, int which) const {
        return which == 2 || which == 3 ? 1 : round_up(columns_of(index, which), lanes<T>);
    }
    T* result(int index, int which) const {
        const int names = sizes.weights_per_direction(spec.bias);
        return to_.weights[index * names + (which == 4 ? names - 1 : which)];
    }
};

}  // namespace recurra::RECURRA_ISA
