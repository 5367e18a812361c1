// Some threads that compute the backward pass of some parts of the batch.
//
// With more threads than parts, all of them share the rows, the tokens and the weights of all parts. The parts stay as
// they are, so the sums have the same order with any number of threads.
#pragma once
#include <memory>

#include "backward_chunk.h"

namespace recurra::RECURRA_ISA {

template <class T>
class BackwardTeam {
    const Spec& spec;
    const Sizes<T> sizes;
    const Gradients<T>& to;
    const Forward<T>& forward;
    const int side, threads;

public:
    Vector<BackwardChunk<T>*> parts;

    // `side`: as in BackwardChunk.
    BackwardTeam(const Forward<T>& forward_, const Gradients<T>& to_, int side_, int threads_)
        : spec(forward_.spec),
          sizes(spec),
          to(to_),
          forward(forward_),
          side(side_),
          threads(threads_) {}

    // Computes the steps `begin` … `end` - 1 of a layer in one or both directions. `above` and `below` are gradients of
    // layer outputs, from the first token of the spans on.
    void run(const Vector<LayerSpan<T>>& spans, int begin, int end, const T* above, T* below) {
        int64_t tokens = 0;
        for (BackwardChunk<T>* part : parts) tokens += part->start(spans, begin, end);
        if (!tokens) return;
        const RowRange rows{parts.front()->rows.begin, parts.back()->rows.end};
        const int64_t work = tokens * sizes.products * sizes.units * sizes.out * int64_t(spans.size());
        forward.deal(int(spans.size()), (sizes.units / lanes<T> + side - 1) / side, rows, threads,
                     {work, end - begin, forward.batch.rows == 1}, [&](int i, RowRange rows_, ThreadSlice slice) {
                         for (BackwardChunk<T>* part : parts) part->walk(spans[i], rows_, slice, above);
                     });
        if (spans[0].layer || to.x.data) inputs(spans, below, tokens);
        if (!to.weights.empty()) weights(spans, tokens);
    }

private:
    // Threads take some tokens of a part at a time.
    void inputs(const Vector<LayerSpan<T>>& spans, T* below, int64_t tokens) {
        struct Item {
            BackwardChunk<T>* part;
            int64_t first;
            int count;
        };
        const int64_t columns = sizes.inputs(spans[0].layer);
        const int n = threads_for(tokens * columns * sizes.units * sizes.products, kMicrosecond<T>, threads);
        const int64_t most = std::min<int64_t>(kTogether, (tokens + n - 1) / n);
        Vector<Item> items;
        for (BackwardChunk<T>* part : parts)
            for (int64_t i = 0; i < part->tokens(); i += most)
                items.push_back({part, i, int(std::min(most, part->tokens() - i))});
        in_turn(int(items.size()), n, [&](int i) {
            const Item& item = items[i];
            item.part->input_gradient(spans, below, item.first, item.count);
        });
    }

    // Threads take some rows of a weight of a part at a time.
    void weights(const Vector<LayerSpan<T>>& spans, int64_t tokens) {
        struct Item {
            BackwardChunk<T>* part;
            const LayerSpan<T>* span;
            int which, first, last;
        };
        const int64_t height = int64_t(sizes.products) * sizes.hidden, inputs = sizes.inputs(spans[0].layer),
                      work = tokens * height * (inputs + sizes.out) * int64_t(spans.size());
        const int n = threads_for(work, kMicrosecond<T>, threads);
        const int matrices = int(parts.size() * spans.size()) * (sizes.projects ? 3 : 2);
        Vector<Item> items;
        for (BackwardChunk<T>* part : parts)
            for (const LayerSpan<T>& span : spans) {
                part->results.reserve(index_of(span));
                for (int which : {1, 0, 4}) {
                    if (which == 4 && !sizes.projects) continue;
                    // enough rows per item that packing the tokens again costs little
                    const int rows = part->results.height(which),
                              pieces = n == 1 ? 1 : std::max((2 * n + matrices - 1) / matrices, rows / 128);
                    for (int i = 0; i < pieces; ++i)
                        items.push_back({part, &span, which, int(int64_t(rows) * i / pieces),
                                         int(int64_t(rows) * (i + 1) / pieces)});
                }
            }
        in_turn(int(items.size()), n, [&](int i) {
            const Item& item = items[i];
            item.part->weight_gradient(*item.span, item.which, item.first, item.last);
        });
        for (BackwardChunk<T>* part : parts)
            for (const LayerSpan<T>& span : spans)
                if (part->tokens()) part->results.begun[index_of(span)] = true;
    }
    int index_of(const LayerSpan<T>& span) const { return span.layer * sizes.directions + span.direction; }
};

}  // namespace recurra::RECURRA_ISA
