/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Redis driver of the store: one Redis (7.0 or later, or what speaks like it) for all replicas.
 *
 * Each loop that attaches has a few connections of its own and writes once per turn what was asked
 * for in it. Every operation but a plain read is one Lua script, so atomic; all keys of a call lie
 * under the tenant's hash tag and so in one slot. The main loop finds the master (through Sentinel
 * where the URL says so), checks that it can be used, tells the loops, and takes messages.
 * When it does not answer, a breaker opens: operations are refused at once until a probe succeeds.
 * Ownership: strings of options are copied. Threads, errors: store.h.
 * Bounds: max_in_flight operations and 64 MiB of commands per loop; more are refused with
 * WEIR_E_IO.
 */
#include "core/config/store_url.h"
#include "core/store/redis/breaker.h"
#include "core/store/store.h"

struct weir_store_redis_options {
    struct weir_store_url url; /* with the password, wherever it came from */
    uint32_t timeout_ms;
    uint32_t n_connections; /* per loop, at least 1; of two or more, the last is for large things */
    uint32_t max_in_flight; /* operations per loop */
    struct weir_store_redis_breaker breaker;
    const char *prefix;                      /* of all keys */
    const char *tls_ca, *tls_cert, *tls_key; /* files; NULL: the system's, none, none */
    const char *tls_name;                    /* of the server; NULL: as in the URL */
    /* What happened, for the log; only when something changed. [main] NULL ok. */
    void (*notice)(void *arg, bool is_bad, const char *text);
    void *notice_arg;
};

enum { WEIR_STORE_REDIS_MAX_CONNECTIONS = 16, WEIR_STORE_REDIS_MAX_PREFIX_BYTES = 64 };

int weir_store_redis_create(const struct weir_store_redis_options *options,
                            struct weir_store **ret_store, struct weir_error *err);
