/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A set of candidate tokens and the selections on it.
 *
 * Why: every filter keeps a prefix of some order (largest first, most typical first), but nobody
 * needs the order itself: partitioning finds the prefix in expected linear time, also when the
 * distribution is flat and the prefix long.
 * Threads: none; a value over the caller's array. Errors: none.
 * Determinism: keys are ordered by (key, id), so that ties do not depend on the array's order. */
#include <stdint.h>

struct weir_candidate {
    float key;    /* smaller is kept first */
    float weight; /* unnormalised probability */
    float logit;
    int32_t id;
};

/* Moves the n_keep first candidates to the front. n_keep <= n. */
void weir_candidates_keep_count(struct weir_candidate *c, uint32_t n, uint32_t n_keep);

/* Moves the shortest prefix whose weights reach `mass` to the front; returns its length, at least 1
 * (n when all together do not reach it). n > 0. */
uint32_t weir_candidates_keep_mass(struct weir_candidate *c, uint32_t n, double mass);

/* Puts the candidates in order; for few of them. */
void weir_candidates_sort(struct weir_candidate *c, uint32_t n);
