/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Settles requests whose replica is gone: jobs that nobody puts again any more.
 *
 * Every replica claims them; the store gives each to one. What is billed is the last mark. Which
 * prompt tokens came from the cache is unknown then: all of them are billed as cached ones, which
 * is never more than was used. A replica that was only slow settles the rest itself. Time:
 * BILLING_HEARTBEAT_MS after the last mark and one claim later, and a lease and a claim more when
 * the claimer dies in the middle: within 10 s of a death. Threads: [main]. */
#include "billing.h"

void billing_reaper_claim(struct billing *b);
