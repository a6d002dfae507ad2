/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A step's batch as kernels read it: one block of memory, filled on the host and copied at once.
 *
 * Why: a graph is captured once per bucket and its kernels read everything that varies from fixed
 * addresses; one copy of one block costs a few microseconds, thirty small ones a hundred.
 * Layout: the pieces follow each other at offsets that do not change; the page tables come last, so
 * that only the rows in use are copied.
 * The host's batch comes from outside: it is checked once, here, and a sequence with a bad part is
 * answered without disturbing the others.
 * Ownership: init() borrows host and device memory of offsets[WEIR_GPU_PIECE__COUNT] bytes; set()
 * allocates nothing. Threads: one. Errors: set() gives WEIR_E_ARG when the batch as a whole breaks
 * a limit; a bad part gets its own rc and no rows. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/model/hparams.h"
#include "kernels/attn/attn_decode.h"
#include "kernels/attn/attn_prefill.h"
#include "kernels/kv/kv_layout.h"
#include "weir/backend_step.h"

struct weir_gpu_limits {
    uint32_t max_rows, max_parts; /* tokens and sequences of a step */
    uint32_t n_vocab, n_ctx, n_pages;
};

/* The pieces of the block, in order. */
enum weir_gpu_piece {
    WEIR_GPU_PIECE_COUNTS,   /* u32 [1] items */
    WEIR_GPU_PIECE_TOKENS,   /* i32 [rows] */
    WEIR_GPU_PIECE_POS,      /* i32 [rows]; -1: padding */
    WEIR_GPU_PIECE_TABLE,    /* i32 [rows] row of the page tables */
    WEIR_GPU_PIECE_PARTS,    /* struct weir_kv_part [parts] */
    WEIR_GPU_PIECE_OUT_ROWS, /* i32 [parts] rows whose logits are wanted */
    WEIR_GPU_PIECE_ITEMS,    /* struct weir_attn_item [items] */
    WEIR_GPU_PIECE_TILES,    /* struct weir_attn_tile [tiles] */
    WEIR_GPU_PIECE_PAGES,    /* u32 [parts][pages_stride] */
    WEIR_GPU_PIECE__COUNT
};

/* A part that takes part. */
struct weir_gpu_part {
    const weir_step_part *in;
    weir_step_result *result;
};

struct weir_gpu_batch {
    struct weir_gpu_limits limits;
    uint32_t pages_stride, max_items, max_tiles;
    size_t offsets[WEIR_GPU_PIECE__COUNT + 1]; /* the last one: bytes of the block */
    uint8_t *host, *device;

    struct weir_gpu_part *parts; /* [n_parts] */
    uint32_t *out_parts;         /* [n_out] which part a row of logits belongs to */
    uint32_t n_parts, n_rows, n_out, n_items, n_tiles;
    bool is_decode; /* every part is one token that is followed by sampling */
};

/* Fills limits, bounds and offsets alone. */
void weir_gpu_batch_lay_out(struct weir_gpu_batch *b, const struct weir_gpu_limits *limits);

WEIR_NODISCARD int weir_gpu_batch_init(struct weir_gpu_batch *b,
                                       const struct weir_gpu_limits *limits, void *host,
                                       void *device);
void weir_gpu_batch_finish(struct weir_gpu_batch *b); /* copes with a zeroed batch */

WEIR_NODISCARD int weir_gpu_batch_set(struct weir_gpu_batch *b, const weir_step_batch *in,
                                      weir_step_result *results);
/* Adds padding up to n rows, parts and outputs; only for batches that are decode steps. */
void weir_gpu_batch_pad(struct weir_gpu_batch *b, uint32_t n);

/* Bytes from the block's begin that the device needs for this batch. */
size_t weir_gpu_batch_used_bytes(const struct weir_gpu_batch *b);

static inline void *weir_gpu_batch_on_host(const struct weir_gpu_batch *b,
                                           enum weir_gpu_piece piece)
{
    return b->host + b->offsets[piece];
}

static inline void *weir_gpu_batch_on_device(const struct weir_gpu_batch *b,
                                             enum weir_gpu_piece piece)
{
    return b->device + b->offsets[piece];
}
