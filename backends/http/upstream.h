/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A target of this backend: one server, seen from all loops.
 *
 * Why lanes: a request stays on the loop that read it. Each loop has a lane of its own: its
 * connections, its requests, its view of the server's addresses. Lanes share only the settings, the
 * TLS context and the figures of metrics.
 * Ownership: the target owns its lanes; a lane owns its links and jobs.
 * Threads: create, destroy [main]; a lane its loop's; status [any].
 * Bounds: pool.requests generations at a time, pool.connections links of a lane. */
#include <stdatomic.h>
#include <uv.h>

#include "answer.h"
#include "figures.h"
#include "settings.h"

enum { WEIR_UPSTREAM_MAX_LANES = 256 };

struct weir_upstream_lane;
struct weir_upstream_job;
struct weir_tls_client_context;

struct weir_upstream {
    const weir_host *host;
    const weir_sink *sink;
    struct weir_upstream_settings settings;
    struct weir_tls_client_context *tls;       /* NULL: http */
    struct weir_tls_client_context *check_tls; /* the same without HTTP/2 */
    struct weir_upstream_figures figures;
    struct weir_upstream_job **jobs; /* [sink->max_tickets], by a ticket's lower half; each entry is
                                        its loop's while the ticket lives */
    struct weir_upstream_lane *lanes[WEIR_UPSTREAM_MAX_LANES];
    uint32_t n_lanes;
    _Atomic uint64_t n_cancelled;
};

/* What a lane has counted, read by status() of any thread. Only the lane's loop writes, so that
 * adding needs no locked operation. */
struct weir_upstream_totals {
    _Atomic uint64_t running, done, prompt_tokens, completion_tokens;
};

static inline void weir_upstream_total_add(_Atomic uint64_t *total, uint64_t n)
{
    uint64_t before = atomic_load_explicit(total, memory_order_relaxed);
    atomic_store_explicit(total, before + n, memory_order_relaxed);
}

/* Whom the certificate must name. */
const char *weir_upstream_tls_name(const struct weir_upstream *u);

int weir_upstream_create(const weir_host *host, weir_str config_json, const weir_sink *sink,
                         struct weir_upstream **ret_upstream, struct weir_error *err);
void weir_upstream_destroy(struct weir_upstream *u);
void weir_upstream_status(struct weir_upstream *u, weir_target_status *out);
