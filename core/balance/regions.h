/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which regions a model's requests go to: the nearest first, and away from one that fails.
 *
 * Distance: the home region first; the others by the time their targets' checks take, as soon as
 * that is known, and until then in the order of the file. A region is left when less than
 * `min_healthy` of its weight is usable for `leave_after`, and taken back when it has been above
 * for `return_after`: two times, so that requests do not run to and fro. When nothing of a region
 * is usable no request goes there anyhow, at once.
 * Threads: note_rtt [main]; tick by one thread at a time. */
#include "core/balance/balance.h"

struct weir_regions_config {
    uint32_t min_healthy_percent;
    uint32_t leave_after_ms, return_after_ms;
};

/* A check of the target took so long. */
void weir_regions_note_rtt(struct weir_balance *b, uint32_t target, uint64_t rtt_us);
/* Looks at all regions. True: one was left or taken back; its index in *ret_region. */
bool weir_regions_tick(struct weir_balance *b, const struct weir_regions_config *config,
                       uint64_t now_us, uint32_t *ret_region);
