/* SPDX-License-Identifier: Apache-2.0 */
#include "http_limits.h"

enum { KIB = 1024, MIB = 1024 * 1024, SECOND_MS = 1000 };

void weir_http_limits_init(struct weir_http_limits *limits)
{
    *limits = (struct weir_http_limits){
        .max_target_bytes = 8 * KIB,
        .max_head_bytes = 32 * KIB,
        .max_headers = 100,
        .max_body_bytes = 10 * MIB,
        .max_pipelined_bytes = 64 * KIB,
        .max_pending_bytes = 16 * MIB,
        .pending_high_bytes = 256 * KIB,
        .pending_low_bytes = 64 * KIB,
        .arena_bytes = 64 * MIB,
        .max_connections = 10000,
        .max_streams = 128,
        .max_requests_per_connection = 0,
        .header_timeout_ms = 10 * SECOND_MS,
        .body_idle_timeout_ms = 30 * SECOND_MS,
        .body_grace_ms = 5 * SECOND_MS,
        .min_body_bytes_per_s = 1 * KIB,
        .keepalive_timeout_ms = 60 * SECOND_MS,
        .write_stall_timeout_ms = 30 * SECOND_MS,
        .linger_timeout_ms = 1 * SECOND_MS,
        .linger_bytes = 256 * KIB,
    };
}
