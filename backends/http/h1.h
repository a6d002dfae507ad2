/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An HTTP/1.1 response, taken apart by llhttp in strict mode.
 *
 * Life: init once, begin for each request, feed until is_done or an error. Interim (1xx) responses
 * are skipped, a few of them. Events come out of feed() and eof().
 * Bounds: 64 KiB of status line, fields, trailers and chunk extensions; 200 fields; 16 interim
 * responses. Threads: none. Errors: WEIR_E_FORMAT, WEIR_E_TOOBIG; `problem` says what is wrong. */
#include <llhttp.h>
#include <stdbool.h>

#include "weir/types.h"

/* What matters of a response's head. */
struct weir_upstream_head {
    uint32_t status;
    bool is_sse;     /* Content-Type: text/event-stream */
    bool is_json;    /* application/json, or none is given */
    bool is_encoded; /* Content-Encoding other than identity: nobody asked for it */
    uint64_t retry_after_us;
};

/* One field of a head, its name in any case; also for HTTP/2. */
void weir_upstream_head_add(struct weir_upstream_head *head, weir_str name, weir_str value);
void weir_upstream_head_begin(struct weir_upstream_head *head, uint32_t status);

struct weir_upstream_h1_events {
    void (*head)(void *arg, const struct weir_upstream_head *head);
    void (*body)(void *arg, const char *bytes, size_t n);
};

struct weir_upstream_h1 {
    llhttp_t llhttp;
    const struct weir_upstream_h1_events *events;
    void *arg;
    bool is_done;                   /* the response is complete */
    bool keeps_alive;               /* the connection may be used again */
    bool has_begun;                 /* bytes of a response have come */
    struct weir_upstream_head head; /* from here on read only with a head */
    char name[24], value[128];
    uint8_t n_name, n_value; /* cut: a longer one is none that matters */
    uint32_t n_fields, n_interim;
    size_t n_head_bytes;
    const char *problem;
};

void weir_upstream_h1_begin(struct weir_upstream_h1 *h,
                            const struct weir_upstream_h1_events *events, void *arg);
int weir_upstream_h1_feed(struct weir_upstream_h1 *h, const char *bytes, size_t n);
/* The connection has ended. 0: that was the response's end, is_done is set. */
int weir_upstream_h1_eof(struct weir_upstream_h1 *h);
