/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sampling/candidates.h"

#include <stdbool.h>

enum { SMALL = 16 };

static bool is_before(const struct weir_candidate *a, const struct weir_candidate *b)
{
    return a->key < b->key || (a->key == b->key && a->id < b->id);
}

static void swap(struct weir_candidate *a, struct weir_candidate *b)
{
    struct weir_candidate t = *a;
    *a = *b;
    *b = t;
}

void weir_candidates_sort(struct weir_candidate *c, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct weir_candidate moving = c[i];
        uint32_t k = i;
        for (; k > 0 && is_before(&moving, &c[k - 1]); k--) {
            c[k] = c[k - 1];
        }
        c[k] = moving;
    }
}

/* Partitions [begin, end) around the median of three; returns the pivot's place. */
static uint32_t partition(struct weir_candidate *c, uint32_t begin, uint32_t end)
{
    uint32_t middle = begin + (end - begin) / 2;
    uint32_t last = end - 1;
    if (is_before(&c[middle], &c[begin])) {
        swap(&c[middle], &c[begin]);
    }
    if (is_before(&c[last], &c[begin])) {
        swap(&c[last], &c[begin]);
    }
    if (is_before(&c[last], &c[middle])) {
        swap(&c[last], &c[middle]);
    }
    swap(&c[middle], &c[last]);
    uint32_t place = begin;
    for (uint32_t i = begin; i < last; i++) {
        if (is_before(&c[i], &c[last])) {
            swap(&c[i], &c[place++]);
        }
    }
    swap(&c[place], &c[last]);
    return place;
}

void weir_candidates_keep_count(struct weir_candidate *c, uint32_t n, uint32_t n_keep)
{
    uint32_t begin = 0;
    uint32_t end = n;
    while (end - begin > SMALL) {
        uint32_t pivot = partition(c, begin, end);
        if (pivot == n_keep) {
            return;
        }
        if (pivot > n_keep) {
            end = pivot;
        } else {
            begin = pivot + 1;
        }
    }
    weir_candidates_sort(c + begin, end - begin);
}

uint32_t weir_candidates_keep_mass(struct weir_candidate *c, uint32_t n, double mass)
{
    uint32_t begin = 0; /* everything before is kept and weighs `kept` */
    uint32_t end = n;
    double kept = 0;
    while (end - begin > SMALL) {
        uint32_t pivot = partition(c, begin, end);
        double left = 0;
        for (uint32_t i = begin; i < pivot; i++) {
            left += c[i].weight;
        }
        if (kept + left >= mass) {
            end = pivot;
        } else {
            kept += left + c[pivot].weight;
            begin = pivot + 1;
            if (kept >= mass) {
                return begin;
            }
        }
    }
    weir_candidates_sort(c + begin, end - begin);
    while (begin < end && kept < mass) {
        kept += c[begin++].weight;
    }
    return begin > 0 ? begin : 1;
}
