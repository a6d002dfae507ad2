/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP parser over arbitrary bytes. Property: how the bytes are split over reads does not
 * change what is understood and what is refused (which of two faults is named may differ), and no
 * view points outside its buffer (a sanitizer tells). */
#include <stdlib.h>

#include "core/net/http_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FNV-1a over everything that a handler could see. */
struct digest {
    uint64_t hash;
    size_t n_requests;
    enum weir_http_problem problem;
};

static void add(struct digest *d, weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        d->hash = (d->hash ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    }
    d->hash = (d->hash ^ s.n) * 0x100000001b3u;
}

static void add_request(struct digest *d, const struct weir_http_request *r)
{
    d->n_requests++;
    add(d, r->method);
    add(d, r->target.path);
    add(d, r->target.query);
    add(d, r->authority);
    for (size_t i = 0; i < r->n_fields; i++) {
        add(d, r->fields[i].name);
        add(d, r->fields[i].value);
    }
    add(d, weir_buf_view(&r->body));
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Pieces of random length from 1 to max_piece. */
static struct digest read_pieces(const char *bytes, size_t n, size_t max_piece)
{
    struct weir_http_limits limits;
    weir_http_limits_init(&limits);
    limits.max_head_bytes = 2000;
    limits.max_target_bytes = 300;
    limits.max_headers = 20;
    limits.max_body_bytes = 5000;
    struct weir_http_request request;
    if (weir_http_request_init(&request, &limits) < 0) {
        abort();
    }
    struct weir_http_parser p;
    weir_http_parser_init(&p, &limits);
    weir_http_parser_begin(&p, &request);

    struct digest d = {.hash = 0xcbf29ce484222325u};
    uint32_t random = (uint32_t)n * 2654435761u + 1;
    size_t at = 0;
    enum weir_http_parsed what = WEIR_HTTP_PARSED_MORE;
    while (at < n && what != WEIR_HTTP_PARSED_BAD) {
        size_t piece = 1 + next_random(&random) % max_piece;
        size_t end = piece < n - at ? at + piece : n;
        do {
            size_t used;
            what = weir_http_parser_feed(&p, bytes + at, end - at, &used);
            at += used;
            if (what == WEIR_HTTP_PARSED_ALL) {
                add_request(&d, &request);
                weir_http_request_reset(&request);
                weir_http_parser_begin(&p, &request);
            }
        } while (what == WEIR_HTTP_PARSED_HEAD || (at < end && what == WEIR_HTTP_PARSED_ALL));
    }
    d.problem = p.problem;
    weir_http_request_finish(&request);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t max_pieces[] = {1, 5, 100};
    const char *bytes = (const char *)data;
    struct digest whole = read_pieces(bytes, size, UINT32_MAX);
    for (size_t i = 0; i < sizeof(max_pieces) / sizeof(max_pieces[0]); i++) {
        struct digest split = read_pieces(bytes, size, max_pieces[i]);
        if (split.hash != whole.hash || split.n_requests != whole.n_requests ||
            (split.problem == WEIR_HTTP_OK) != (whole.problem == WEIR_HTTP_OK)) {
            abort();
        }
    }
    return 0;
}
