/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_parser.h"

#include "core/net/http_head_rules.h"

enum { STOP = -1 };

static int fail(struct weir_http_parser *p, enum weir_http_problem problem)
{
    p->problem = problem;
    return STOP;
}

/* Counts raw bytes of the head, for a pointer into the bytes that are being fed. */
static size_t raw_offset(const struct weir_http_parser *p, const char *at)
{
    return p->n_head_raw + (size_t)(at - p->feeding);
}

/* The head is kept as it was sent: until it is complete, what was found in it are offsets. llhttp
 * refuses folded fields, so that the pieces of one text follow each other there. */
static weir_str offset_view(size_t start, size_t n)
{
    return (weir_str){(const char *)(uintptr_t)start, n};
}

static int on_message_begin(llhttp_t *llhttp)
{
    struct weir_http_parser *p = llhttp->data;
    p->has_begun = true;
    return 0;
}

static int on_method(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_http_parser *p = llhttp->data;
    p->method_end = raw_offset(p, bytes) + n;
    return 0;
}

static int on_url(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_http_parser *p = llhttp->data;
    if (p->target.n == 0) {
        size_t start = raw_offset(p, bytes);
        if (start != p->method_end + 1) {
            return fail(p, WEIR_HTTP_BAD_REQUEST_LINE); /* llhttp takes any number of spaces */
        }
        p->target = offset_view(start, 0);
    }
    if (n > p->limits->max_target_bytes - p->target.n) {
        return fail(p, WEIR_HTTP_TARGET_TOO_LONG);
    }
    p->target.n += n;
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_http_parser *p = llhttp->data;
    struct weir_http_request *r = p->request;
    if (r->is_head_complete) {
        return 0; /* trailers are read and dropped */
    }
    if (p->name.n == 0) {
        if (r->n_fields == r->max_fields) {
            return fail(p, WEIR_HTTP_TOO_MANY_HEADERS);
        }
        p->name = offset_view(raw_offset(p, bytes), 0);
    }
    p->name.n += n;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_http_parser *p = llhttp->data;
    if (p->value.n == 0) {
        p->value = offset_view(raw_offset(p, bytes), 0);
    }
    p->value.n += n;
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct weir_http_parser *p = llhttp->data;
    struct weir_http_request *r = p->request;
    if (!r->is_head_complete) {
        r->fields[r->n_fields++] = (struct weir_http_field){.name = p->name, .value = p->value};
    }
    p->name.n = p->value.n = 0;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    /* Upgrades are not offered; without this llhttp would take the body for another protocol. */
    llhttp->upgrade = 0;
    return HPE_PAUSED;
}

static bool is_spoken(const llhttp_t *llhttp)
{
    return llhttp->http_major == 1 && llhttp->http_minor <= 1;
}

static void trim_values(struct weir_http_request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        weir_str *v = &r->fields[i].value;
        while (v->n > 0 && (v->p[v->n - 1] == ' ' || v->p[v->n - 1] == '\t')) {
            v->n--;
        }
    }
}

/* All bytes of the head are there. */
static void finish_head(struct weir_http_parser *p)
{
    struct weir_http_request *r = p->request;
    llhttp_t *llhttp = &p->llhttp;
    weir_http_request_resolve(r);
    trim_values(r);
    r->method = weir_str_from(llhttp_method_name((llhttp_method_t)llhttp_get_method(llhttp)));
    r->version_minor = llhttp_get_http_minor(llhttp);
    r->keep_alive = llhttp_should_keep_alive(llhttp);
    weir_str target = weir_http_request_resolved(r, p->target);
    p->problem =
        is_spoken(llhttp) ? weir_http_head_check(r, target, p->limits) : WEIR_HTTP_BAD_VERSION;
    r->is_head_complete = p->problem == WEIR_HTTP_OK;
}

/* Chunk sizes, extensions and trailers are bounded by max_head_bytes and the size of the body. */
static bool has_chunk_overhead(const struct weir_http_parser *p, size_t n_raw)
{
    size_t n_body = p->request->body.len;
    return n_raw - n_body > p->limits->max_head_bytes + n_body;
}

static int on_body(llhttp_t *llhttp, const char *bytes, size_t n)
{
    struct weir_http_parser *p = llhttp->data;
    struct weir_buf *body = &p->request->body;
    if (has_chunk_overhead(p, p->n_body_raw + (size_t)(bytes - p->feeding))) {
        return fail(p, WEIR_HTTP_CHUNK_OVERHEAD);
    }
    if (n > body->max_bytes - body->len) {
        return fail(p, WEIR_HTTP_BODY_TOO_LARGE);
    }
    weir_buf_add(body, bytes, n);
    return body->failed ? fail(p, WEIR_HTTP_NO_MEMORY) : 0;
}

/* Refuses a chunk by its announced size, so that a body that cannot fit is not read at all. */
static int on_chunk_header(llhttp_t *llhttp)
{
    struct weir_http_parser *p = llhttp->data;
    const struct weir_buf *body = &p->request->body;
    return llhttp->content_length > body->max_bytes - body->len ? fail(p, WEIR_HTTP_BODY_TOO_LARGE)
                                                                : 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct weir_http_parser *p = llhttp->data;
    p->request->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

void weir_http_parser_init(struct weir_http_parser *p, const struct weir_http_limits *limits)
{
    *p = (struct weir_http_parser){.limits = limits};
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    p->llhttp.data = p;
}

void weir_http_parser_begin(struct weir_http_parser *p, struct weir_http_request *request)
{
    weir_http_parser_init(p, p->limits);
    p->request = request;
}

/* What llhttp's own complaint means to the client. */
static enum weir_http_problem problem_of(const struct weir_http_parser *p, llhttp_errno_t e)
{
    switch (e) {
    case HPE_INVALID_METHOD: return WEIR_HTTP_BAD_METHOD;
    case HPE_INVALID_URL: return WEIR_HTTP_BAD_TARGET;
    case HPE_INVALID_CONSTANT:
    case HPE_UNEXPECTED_SPACE: return WEIR_HTTP_BAD_REQUEST_LINE;
    case HPE_INVALID_VERSION:
        return is_spoken(&p->llhttp) ? WEIR_HTTP_BAD_REQUEST_LINE : WEIR_HTTP_BAD_VERSION;
    case HPE_PAUSED_H2_UPGRADE: return WEIR_HTTP_BAD_VERSION;
    case HPE_INVALID_CONTENT_LENGTH: return WEIR_HTTP_BAD_LENGTH;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return p->llhttp.flags & F_TRANSFER_ENCODING ? WEIR_HTTP_LENGTH_AND_CODING
                                                     : WEIR_HTTP_BAD_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING: return WEIR_HTTP_BAD_CODING;
    case HPE_INVALID_CHUNK_SIZE: return WEIR_HTTP_BAD_CHUNK;
    default: return p->request->is_head_complete ? WEIR_HTTP_BAD_CHUNK : WEIR_HTTP_BAD_HEADER;
    }
}

/* Keeps what was read of the head. */
static void take_head(struct weir_http_parser *p, const char *bytes, size_t n)
{
    struct weir_buf *head = &p->request->head;
    weir_buf_add(head, bytes, n);
    if (head->failed) {
        p->problem = WEIR_HTTP_NO_MEMORY;
    } else if (p->is_paused) {
        finish_head(p);
    }
}

/* Bounds that hold over any number of feeds. */
static enum weir_http_problem check_totals(struct weir_http_parser *p, bool was_head, size_t used)
{
    if (was_head) {
        p->n_head_raw += used;
        bool is_full = p->n_head_raw == p->limits->max_head_bytes;
        return is_full && !p->request->is_head_complete ? WEIR_HTTP_HEAD_TOO_LARGE : WEIR_HTTP_OK;
    }
    p->n_body_raw += used;
    return has_chunk_overhead(p, p->n_body_raw) ? WEIR_HTTP_CHUNK_OVERHEAD : WEIR_HTTP_OK;
}

enum weir_http_parsed weir_http_parser_feed(struct weir_http_parser *p, const char *bytes, size_t n,
                                            size_t *ret_used)
{
    bool was_head = !p->request->is_head_complete;
    if (was_head && n > p->limits->max_head_bytes - p->n_head_raw) {
        n = p->limits->max_head_bytes - p->n_head_raw;
    }
    if (p->is_paused) {
        llhttp_resume(&p->llhttp);
        p->is_paused = false;
    }
    p->feeding = bytes;
    llhttp_errno_t e = llhttp_execute(&p->llhttp, bytes, n);
    size_t used = e == HPE_OK ? n : (size_t)(llhttp_get_error_pos(&p->llhttp) - bytes);
    *ret_used = used;
    p->is_paused = e == HPE_PAUSED;
    bool is_error = e != HPE_OK && e != HPE_PAUSED;
    if (was_head && !is_error) {
        take_head(p, bytes, used);
    }
    enum weir_http_problem problem = check_totals(p, was_head, used);
    if (p->problem == WEIR_HTTP_OK) {
        p->problem = problem == WEIR_HTTP_OK && is_error ? problem_of(p, e) : problem;
    }
    if (p->problem != WEIR_HTTP_OK) {
        return WEIR_HTTP_PARSED_BAD;
    }
    if (!p->is_paused) {
        return WEIR_HTTP_PARSED_MORE;
    }
    return p->request->is_complete ? WEIR_HTTP_PARSED_ALL : WEIR_HTTP_PARSED_HEAD;
}
