/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How many streaming requests each tenant has open in this process.
 *
 * Ownership: whoever took gives back. Threads: any, one lock.
 * Bounds: a node for each tenant that has a bound and streams now. */
#include <stdbool.h>
#include <stdint.h>

struct weir_streams;

int weir_streams_create(struct weir_streams **ret_streams);
void weir_streams_destroy(struct weir_streams *s); /* NULL ok */

/* WEIR_E_BUSY: the tenant has `limit` of them. WEIR_E_NOMEM. */
int weir_streams_take(struct weir_streams *s, uint64_t tenant_hash, uint32_t limit);
void weir_streams_give(struct weir_streams *s, uint64_t tenant_hash);
