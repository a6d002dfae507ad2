/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_request.h"

#include <stdlib.h>
#include <strings.h>

enum { KEEP_BYTES = 64 * 1024 }; /* larger buffers go back to the heap between requests */

int weir_http_request_init(struct weir_http_request *r, const struct weir_http_limits *limits)
{
    *r = (struct weir_http_request){.max_fields = limits->max_headers};
    weir_buf_init(&r->head, limits->max_head_bytes);
    weir_buf_init(&r->body, limits->max_body_bytes);
    r->fields = calloc(limits->max_headers, sizeof(*r->fields));
    return r->fields ? WEIR_OK : WEIR_E_NOMEM;
}

void weir_http_request_finish(struct weir_http_request *r)
{
    free(r->fields);
    r->fields = NULL;
    weir_buf_finish(&r->head);
    weir_buf_finish(&r->body);
}

void weir_http_request_reset(struct weir_http_request *r)
{
    if (r->body.cap > KEEP_BYTES) {
        weir_buf_finish(&r->body);
    }
    weir_buf_reset(&r->head);
    weir_buf_reset(&r->body);
    *r = (struct weir_http_request){
        .fields = r->fields,
        .max_fields = r->max_fields,
        .head = r->head,
        .body = r->body,
    };
}

static bool is_named(const struct weir_http_field *f, const char *name, size_t n)
{
    return f->name.n == n && strncasecmp(f->name.p, name, n) == 0;
}

const struct weir_http_field *weir_http_request_find(const struct weir_http_request *r,
                                                     const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < r->n_fields; i++) {
        if (is_named(&r->fields[i], name, n)) {
            return &r->fields[i];
        }
    }
    return NULL;
}

size_t weir_http_request_count(const struct weir_http_request *r, const char *name)
{
    size_t n = strlen(name);
    size_t n_found = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        n_found += is_named(&r->fields[i], name, n);
    }
    return n_found;
}
