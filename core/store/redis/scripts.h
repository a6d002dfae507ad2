/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Lua scripts (scripts/ *.lua): their texts, and the SHA-1 under which a server knows them.
 *
 * Ownership: static texts are put together at init, freed by finish. Threads: read-only after init.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum weir_redis_script {
    WEIR_REDIS_LIMITS,
    WEIR_REDIS_RESERVE,
    WEIR_REDIS_SETTLE,
    WEIR_REDIS_SET,
    WEIR_REDIS_INVALIDATE,
    WEIR_REDIS_REMOVE,
    WEIR_REDIS_ADD,
    WEIR_REDIS_PUT,
    WEIR_REDIS_LIST,
    WEIR_REDIS_APPEND,
    WEIR_REDIS_READ,
    WEIR_REDIS_JOB_PUT,
    WEIR_REDIS_JOB_CLAIM,
    WEIR_REDIS_JOB_ACK,
    WEIR_REDIS_ERASE,
    WEIR_REDIS_N_SCRIPTS,
    WEIR_REDIS_NO_SCRIPT = WEIR_REDIS_N_SCRIPTS
};

struct weir_redis_scripts {
    struct {
        char *text;
        size_t len;
        char sha[41];
    } list[WEIR_REDIS_N_SCRIPTS];
};

int weir_redis_scripts_init(struct weir_redis_scripts *scripts);
void weir_redis_scripts_finish(struct weir_redis_scripts *scripts);
