/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A request's Cache-Control (RFC 9111, 5.2.1), as far as it means something here.
 * Unknown directives are skipped. Threads: any; pure. */
#include <stdbool.h>

#include "weir/types.h"

struct cache_control {
    bool no_cache;       /* do not answer from the cache; the new answer is kept */
    bool no_store;       /* keep nothing of this, and do not look */
    bool only_if_cached; /* 504 instead of a run */
    uint64_t max_age_s;  /* UINT64_MAX: any */
};

struct cache_control cache_control_parse(weir_str header);
