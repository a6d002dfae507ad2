/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP/2 session to an upstream (nghttp2): one job is one stream.
 *
 * Why a stream's window is opened only for bytes that were used up: a reader that is full stops its
 * own stream and no other.
 * Threads: the loop's. Ownership: the link owns the session; jobs are borrowed while their stream
 * lives. Errors: WEIR_E_FORMAT: the session is broken, problem() says how.
 * Bounds: nghttp2's frame and header limits, 64 KiB of header fields of a response; what the peer
 * floods with (settings, pings, resets) ends the session. */
#include "job.h"

struct weir_upstream_h2;
struct weir_upstream_link;

int weir_upstream_h2_create(struct weir_upstream_link *link, struct weir_upstream_h2 **ret_h2);
void weir_upstream_h2_destroy(struct weir_upstream_h2 *h); /* NULL ok */

bool weir_upstream_h2_has_room(const struct weir_upstream_h2 *h);
/* `body` is copied. */
void weir_upstream_h2_take(struct weir_upstream_h2 *h, struct weir_upstream_job *job,
                           weir_str body);
/* Resets the job's stream if it is still open. */
void weir_upstream_h2_leave(struct weir_upstream_h2 *h, struct weir_upstream_job *job);
void weir_upstream_h2_pause(struct weir_upstream_h2 *h, struct weir_upstream_job *job, bool paused);
int weir_upstream_h2_feed(struct weir_upstream_h2 *h, const char *bytes, size_t n);
/* Appends what the peer should get. */
int weir_upstream_h2_fill(struct weir_upstream_h2 *h, struct weir_buf *out);
/* Every job on it fails. */
void weir_upstream_h2_fail(struct weir_upstream_h2 *h, const struct weir_upstream_failure *why);
const char *weir_upstream_h2_problem(const struct weir_upstream_h2 *h);
