/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A tenant's share of the machine, as `resources` of its entry says it.
 *
 * Threads: any; a plain value. Zeros: nothing was said. */
#include <stdbool.h>
#include <stdint.h>

#include <yyjson.h>

struct weir_tenant_resources {
    uint32_t weight;
    uint32_t share_ppm; /* of the device's time */
    bool share_is_hard;
    uint64_t kv_bytes;
    uint64_t cache_bytes; /* of kept answers */
    uint32_t queue;       /* waiting requests, of each model */
    uint32_t streams;     /* at a time */
};

/* From the object that the schema has checked; NULL: there is none. */
struct weir_tenant_resources weir_tenant_resources_read(yyjson_val *json);
