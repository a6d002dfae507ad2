/* SPDX-License-Identifier: Apache-2.0 */
#include "nearest.h"

enum { MAX_WORD = 64, MAX_DISTANCE = 2 };

void weir_nearest_init(struct weir_nearest *s, weir_str word)
{
    size_t allowed = word.n / 3;
    if (allowed < 1) {
        allowed = 1;
    }
    if (allowed > MAX_DISTANCE) {
        allowed = MAX_DISTANCE;
    }
    *s = (struct weir_nearest){.word = word, .distance = allowed + 1};
}

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Three rows of the usual table are enough for swaps of neighbours. */
static size_t distance(weir_str a, weir_str b)
{
    size_t rows[3][MAX_WORD + 1];
    for (size_t j = 0; j <= b.n; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3];
        const size_t *up = rows[(i + 2) % 3];
        const size_t *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t same = a.p[i - 1] == b.p[j - 1] ? 0 : 1;
            size_t d = min2(min2(up[j] + 1, row[j - 1] + 1), up[j - 1] + same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1]) {
                d = min2(d, up2[j - 2] + 1);
            }
            row[j] = d;
        }
    }
    return rows[a.n % 3][b.n];
}

void weir_nearest_offer(struct weir_nearest *s, weir_str candidate)
{
    if (s->word.n == 0 || s->word.n > MAX_WORD || candidate.n > MAX_WORD) {
        return;
    }
    size_t d = distance(s->word, candidate);
    if (d < s->distance) {
        s->best = candidate;
        s->distance = d;
    }
}
