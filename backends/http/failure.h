/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Why a generation failed at an upstream, and what its client should be told.
 *
 * Why: an upstream can fail in many ways, but a client needs one of few answers: its own mistake
 * (the upstream's 4xx), come back later (429, 503), took too long (504), or broken (502).
 * Threads: none; a value. Bounds: texts are cut. */
#include <stdbool.h>

#include "weir/backend_stream.h"

struct weir_upstream_failure {
    const char *kind; /* for metrics: connect, timeout, reset, protocol, status, too_big, ... */
    int rc;
    uint32_t status;
    uint32_t flags; /* WEIR_OUTCOME_* */
    uint64_t retry_after_us;
    char code[64], param[64];
    char message[300];
};

/* The answer is not HTTP, not JSON, not what it should be: 502. */
void weir_upstream_fail_protocol(struct weir_upstream_failure *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* No connection, or it broke: 502. sent: bytes of the request may have reached the upstream. */
void weir_upstream_fail_link(struct weir_upstream_failure *f, bool sent, const char *kind,
                             const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* 504. */
void weir_upstream_fail_timeout(struct weir_upstream_failure *f, bool sent, const char *what,
                                uint32_t limit_ms);
/* An answer with a status that is not 200, and its body: {"error": {...}} or anything. */
void weir_upstream_fail_status(struct weir_upstream_failure *f, uint32_t status,
                               uint64_t retry_after_us, weir_str body);
/* Retry-After (seconds or an HTTP date) in microseconds from now; 0: unusable. */
uint64_t weir_upstream_retry_after(weir_str seconds_or_date);
uint64_t weir_upstream_retry_after_ms(weir_str ms);
