/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A step's batch in the form that the stages work on: one row per token, and the lists of work that
 * do not follow from the number of rows.
 *
 * Why: the host's batch comes from outside: it is checked once, here, and a sequence with a bad
 * part is answered without disturbing the others. Work lists are the same for every layer.
 * Ownership: init() allocates for the stated limits, set() allocates nothing.
 * Threads: one. Errors: set() returns WEIR_E_ARG when the batch as a whole breaks a limit; a bad
 * part gets its own rc and no rows. */
#include <stdint.h>

#include "base/error.h"
#include "engine/model/hparams.h"
#include "weir/backend_step.h"

struct weir_cpu_limits {
    uint32_t max_tokens, max_parts;
    uint32_t n_vocab, n_ctx, n_pages;
    uint32_t n_threads;
};

/* An accepted part. */
struct weir_cpu_part {
    const weir_step_part *in;
    weir_step_result *result;
    uint32_t row; /* of its first token */
};

enum { WEIR_CPU_ALL_CHUNKS = UINT32_MAX };

/* Queries [first, first + n_queries) of a part against a KV head. */
struct weir_cpu_attend_item {
    uint32_t part, kv_head;
    uint32_t first, n_queries;
    uint32_t chunk;   /* or WEIR_CPU_ALL_CHUNKS */
    uint32_t partial; /* where a single chunk's result goes */
};

/* Chunk results of a single token's KV head that were computed apart. */
struct weir_cpu_merge_item {
    uint32_t part, kv_head;
    uint32_t partial, n_chunks;
};

struct weir_cpu_batch {
    struct weir_cpu_limits limits;
    uint32_t n_head_kv, group, tile_queries, max_items, max_partials;

    uint32_t n_tokens;
    int32_t *token;    /* [n_tokens] */
    uint32_t *pos;     /* [n_tokens] */
    uint32_t *part_of; /* [n_tokens] index in parts */

    struct weir_cpu_part *parts;
    uint32_t n_parts;
    uint32_t *rope_rows; /* rows of parts with several tokens */
    uint32_t n_rope_rows;
    uint32_t *out_parts; /* parts whose last row is sampled, in order */
    uint32_t *out_rows;  /* those rows, ascending */
    uint32_t n_out;

    struct weir_cpu_attend_item *items;
    uint32_t n_items;
    struct weir_cpu_merge_item *merges;
    uint32_t n_merges;
    uint32_t n_partials;
};

WEIR_NODISCARD int weir_cpu_batch_init(struct weir_cpu_batch *b, const struct weir_hparams *hparams,
                                       const struct weir_cpu_limits *limits);
void weir_cpu_batch_finish(struct weir_cpu_batch *b); /* copes with a zeroed batch */

WEIR_NODISCARD int weir_cpu_batch_set(struct weir_cpu_batch *b, const weir_step_batch *in,
                                      weir_step_result *results);
