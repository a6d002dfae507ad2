/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The texts among a request's facts: what the request says, and copies of it.
 *
 * Why copies: a bill says what was true when its request was admitted, and outlives it. Ownership:
 * read() borrows from the request; keep() makes them the caller's bytes. Threads: the request's
 * loop. */
#include "record.h"
#include "weir/host.h"

struct billing;

/* may_have_key: the request may carry an Idempotency-Key. */
void billing_facts_read(const struct billing *b, weir_req *r, bool may_have_key,
                        struct billing_facts *f);
size_t billing_facts_bytes(struct billing_facts *f); /* of all texts */
void billing_facts_keep(struct billing_facts *f, char *at);
