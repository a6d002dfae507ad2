/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Packs matrices from the mapped model file, on all threads, without keeping the file resident.
 *
 * Why: packing reads each byte of the file once. It goes in slices, and a slice's source pages are
 * given back as soon as it is packed, so that the peak is one copy of the weights and a slice.
 * Threads: one caller; it uses the pool. Errors: WEIR_E_CANCELLED when progress asks for it. */
#include "backends/cpu/linear/linear.h"
#include "backends/cpu/pool.h"

/* progress(arg, 0..1) is called after every slice, may be NULL, and ends the work when non-zero. */
WEIR_NODISCARD int weir_cpu_pack(struct weir_cpu_matrix *matrices, uint32_t n_matrices,
                                 struct weir_cpu_pool *pool,
                                 int (*progress)(void *arg, float fraction), void *progress_arg);
