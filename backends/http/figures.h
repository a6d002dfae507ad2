/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is counted of upstreams: weir_upstream_*, by target (host:port).
 *
 * Threads: define [main]; the rest [any]. */
#include "weir/backend_stream.h"

enum weir_upstream_end { /* of a generation */
                         WEIR_UPSTREAM_OK,
                         WEIR_UPSTREAM_FAILED,
                         WEIR_UPSTREAM_CANCELLED,
                         WEIR_UPSTREAM_ENDS
};

struct weir_upstream_figures {
    const weir_host *host;
    const weir_ext_metrics *ext; /* NULL: the host has none */
    weir_str target;
    weir_metric requests, errors, connections, connect_seconds, first_token_seconds, open;
    _Atomic int32_t n_open;
};

void weir_upstream_figures_define(struct weir_upstream_figures *f, const weir_host *host,
                                  const char *target);
void weir_upstream_count_ends(struct weir_upstream_figures *f, enum weir_upstream_end how,
                              uint32_t n);
void weir_upstream_count_error(struct weir_upstream_figures *f, const char *kind);
void weir_upstream_count_connect(struct weir_upstream_figures *f, uint64_t us);
void weir_upstream_count_first_token(struct weir_upstream_figures *f, uint64_t us);
void weir_upstream_count_open(struct weir_upstream_figures *f, int32_t change);
