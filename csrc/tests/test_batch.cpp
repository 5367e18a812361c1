// The order of a ragged batch.
#include "../engine/batch.h"

#include <stdexcept>

#include "testing.h"

using recurra::Batch;
using recurra::RowRange;

void test_batch() {
    const int64_t lengths[] = {2, 0, 5, 2};
    const Batch batch(4, 6, lengths);
    check(batch.order == std::vector<int64_t>{2, 0, 3, 1}, "longest first, equal lengths in their order");
    check(batch.length == std::vector<int64_t>{5, 2, 2, 0}, "lengths by row");
    check(batch.steps == 5 && batch.rows == 3 && batch.tokens == 9, "steps, rows and tokens");
    check(batch.first == std::vector<int64_t>{0, 3, 6, 7, 8, 9}, "the first token of each step");
    check(batch.active == std::vector<int>{3, 3, 1, 1, 1, 0}, "active rows of each step");
    const RowRange both = batch.active_rows(1, {1, 3}), none = batch.active_rows(2, {1, 3});
    check(both.begin == 1 && both.end == 3 && none.begin == none.end, "active rows of a range");
    int covered = 0;
    for (int share = 0; share < 2; ++share) {
        const RowRange rows = batch.share_of({0, batch.rows}, share, 2);
        check(rows.begin == covered, "shares follow each other");
        covered = rows.end;
    }
    check(covered == batch.rows, "shares cover all rows");
    check(batch.share_of({0, batch.rows}, 0, 2).end == 1, "shares have about equally many tokens");
    const Batch full(2, 3, nullptr);
    check(full.tokens == 6 && full.rows == 2, "without lengths all sequences are full");
    for (int64_t wrong : {-1, 7}) {
        const int64_t bad[] = {1, wrong};
        bool thrown = false;
        try {
            Batch(2, 6, bad);
        } catch (std::invalid_argument&) {
            thrown = true;
        }
        check(thrown, "a length outside of the batch", double(wrong));
    }
}
