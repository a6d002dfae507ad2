/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Keeps the listeners' certificate fresh: looks at its files, reads them again, says when it ends.
 *
 * Why: certificates are renewed by other programs, which replace files; nobody should have to tell
 * the daemon. Files are looked at rather than watched, since a mount that swaps links (as
 * Kubernetes does) and a rename are all the same then. A pair that does not work is not taken; the
 * next change is tried again.
 * Ownership: create/destroy; the context is for listeners until destroy. Threads: [main], the
 * context [any]. Errors: at start WEIR_E_* and a sentence; later in the log and the metrics. */
#include "core/config/config.h"
#include "core/metrics/metrics.h"
#include "core/net/tls.h"

struct weir_tls_watch;

/* *ret_watch is NULL where the configuration has no certificate. */
int weir_tls_watch_create(const struct weir_config_server *config, struct weir_metrics *metrics,
                          struct weir_tls_watch **ret_watch, struct weir_error *err);
void weir_tls_watch_destroy(struct weir_tls_watch *w);                     /* NULL ok */
struct weir_tls_context *weir_tls_watch_context(struct weir_tls_watch *w); /* NULL ok: NULL */
/* Reads the files again if they have changed, or at once when `asked`. NULL ok. */
void weir_tls_watch_look(struct weir_tls_watch *w, uint64_t now_us, bool asked);
