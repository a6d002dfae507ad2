/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Posts ledger entries to an operator's URL, at least once each.
 *
 * How: settlements put a job per entry; any replica claims a batch, a thread of ours posts it with
 * libcurl, [main] acknowledges or puts again with a longer delay. After `attempts` tries an entry
 * goes to the tenant's log "webhook.dead". A replica that dies while it posts leaves its claim to
 * run out: then others post the same entries again, under the same event ids.
 * A circuit (circuit_set.h), which all replicas share, claims nothing while the receiver fails, so
 * that no entry's tries are spent on an outage but the first ones. Body:
 * {"events":[{"id":"CHAIN/N","data":ENTRY},…]}. Signature (header Weir-Signature):
 * "t=SECONDS,v1=HEX" with HEX = HMAC-SHA256(secret, SECONDS "." BODY).
 * Threads: all [main] but the sender. Bounds: one batch under way, BATCH entries, 4 MiB. */
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

struct billing;
struct billing_webhook;

/* NULL: no memory, no thread, or the store takes no subscription. Inside instance_create. */
struct billing_webhook *billing_webhook_create(struct billing *b);
void billing_webhook_destroy(struct billing_webhook *w); /* NULL ok; ends what is being sent */
/* Claims a batch unless one is under way. */
void billing_webhook_claim(struct billing_webhook *w);

enum { BILLING_SIGNATURE_BYTES = 96 };
/* "t=…,v1=…" for a body sent at unix_s. */
void billing_webhook_sign(const char *secret, uint64_t unix_s, weir_str body,
                          char out[BILLING_SIGNATURE_BYTES]);
/* Delay before try n + 1: doubling from 1 s to 1 h, spread evenly over 50 to 150 % by `random`. */
uint64_t billing_webhook_delay_ms(uint32_t n_tried, uint32_t random);
