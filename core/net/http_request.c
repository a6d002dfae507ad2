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

static bool is_named(const struct weir_http_field *f, weir_str name)
{
    /* Names of one length mostly differ in their first letter. */
    return f->name.n == name.n && name.n > 0 && ((f->name.p[0] ^ name.p[0]) & ~0x20) == 0 &&
           strncasecmp(f->name.p, name.p, name.n) == 0;
}

const struct weir_http_field *weir_http_request_find(const struct weir_http_request *r,
                                                     weir_str name)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (is_named(&r->fields[i], name)) {
            return &r->fields[i];
        }
    }
    return NULL;
}

size_t weir_http_request_count(const struct weir_http_request *r, weir_str name)
{
    size_t n_found = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        n_found += is_named(&r->fields[i], name);
    }
    return n_found;
}

enum weir_http_problem weir_http_request_keep(struct weir_http_request *r, weir_str text,
                                              weir_str *ret_kept)
{
    *ret_kept = (weir_str){(const char *)(uintptr_t)r->head.len, text.n};
    weir_buf_add_str(&r->head, text);
    return r->head.failed ? WEIR_HTTP_NO_MEMORY : WEIR_HTTP_OK;
}

enum weir_http_problem weir_http_request_add_field(struct weir_http_request *r, weir_str name,
                                                   weir_str value)
{
    if (r->n_fields == r->max_fields) {
        return WEIR_HTTP_TOO_MANY_HEADERS;
    }
    struct weir_http_field *f = &r->fields[r->n_fields];
    enum weir_http_problem problem = weir_http_request_keep(r, name, &f->name);
    problem = problem == WEIR_HTTP_OK ? weir_http_request_keep(r, value, &f->value) : problem;
    r->n_fields += problem == WEIR_HTTP_OK;
    return problem;
}

weir_str weir_http_request_resolved(const struct weir_http_request *r, weir_str kept)
{
    return kept.n > 0 ? (weir_str){r->head.data + (uintptr_t)kept.p, kept.n} : weir_str_from("");
}

void weir_http_request_resolve(struct weir_http_request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        r->fields[i].name = weir_http_request_resolved(r, r->fields[i].name);
        r->fields[i].value = weir_http_request_resolved(r, r->fields[i].value);
    }
}
