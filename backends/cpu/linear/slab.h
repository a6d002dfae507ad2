/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One large piece of memory on huge pages for packed weights.
 *
 * Why: a decode step streams all weights; with 4 KB pages the walks of the page table cost a good
 * part of the bandwidth. Matrices are small against 2 MB, so all of a model share one slab.
 * Ownership: init maps, finish unmaps everything that take() handed out.
 * Threads: none; take() is called by one thread at a time.
 * Errors: WEIR_E_NOMEM from init; take() returns NULL past the size given to init. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct weir_cpu_slab {
    void *map;
    size_t map_bytes;
    uint8_t *base; /* 2 MB aligned, inside map */
    size_t size_bytes;
    size_t used_bytes;
};

/* Reserves size_bytes; pages are zero and become real when first written. */
WEIR_NODISCARD int weir_cpu_slab_init(struct weir_cpu_slab *s, size_t size_bytes,
                                      struct weir_error *err);
void weir_cpu_slab_finish(struct weir_cpu_slab *s);

/* The next n_bytes, 64-byte aligned; n_bytes counts up to a multiple of 64. */
void *weir_cpu_slab_take(struct weir_cpu_slab *s, size_t n_bytes);
