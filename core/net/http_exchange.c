/* SPDX-License-Identifier: Apache-2.0 */
/* The request side of an exchange; http_response.c has the other. */
#include "core/net/http_exchange.h"

#include "core/net/http_connection.h"

weir_str weir_http_method(const struct weir_http_exchange *ex)
{
    return ex->request.method;
}

weir_str weir_http_path(const struct weir_http_exchange *ex)
{
    return ex->request.target.path;
}

weir_str weir_http_query(const struct weir_http_exchange *ex)
{
    return ex->request.target.query;
}

weir_str weir_http_authority(const struct weir_http_exchange *ex)
{
    return ex->request.authority;
}

int weir_http_version_minor(const struct weir_http_exchange *ex)
{
    return ex->request.version_minor;
}

weir_str weir_http_peer(const struct weir_http_exchange *ex)
{
    return weir_str_from(ex->connection->peer);
}

weir_str weir_http_header_named(const struct weir_http_exchange *ex, weir_str name)
{
    const struct weir_http_field *f = weir_http_request_find(&ex->request, name);
    return f ? f->value : (weir_str){NULL, 0};
}

size_t weir_http_n_headers(const struct weir_http_exchange *ex)
{
    return ex->request.n_fields;
}

void weir_http_header_at(const struct weir_http_exchange *ex, size_t i, weir_str *ret_name,
                         weir_str *ret_value)
{
    *ret_name = ex->request.fields[i].name;
    *ret_value = ex->request.fields[i].value;
}

weir_str weir_http_body(const struct weir_http_exchange *ex)
{
    static const weir_str empty = WEIR_STR_INIT("");
    return ex->request.body.data ? weir_buf_view(&ex->request.body) : empty;
}

struct weir_arena *weir_http_arena(struct weir_http_exchange *ex)
{
    return &ex->arena;
}

void weir_http_set_user(struct weir_http_exchange *ex, void *user)
{
    ex->user = user;
}

void *weir_http_user(const struct weir_http_exchange *ex)
{
    return ex->user;
}

bool weir_http_response_begun(const struct weir_http_exchange *ex)
{
    return ex->reply != WEIR_HTTP_REPLY_NONE;
}

size_t weir_http_pending_bytes(const struct weir_http_exchange *ex)
{
    return ex->connection->protocol->pending(ex);
}

uint64_t weir_http_given_bytes(const struct weir_http_exchange *ex)
{
    return ex->connection->protocol->given(ex);
}

uint64_t weir_http_taken_bytes(const struct weir_http_exchange *ex)
{
    return ex->connection->protocol->taken(ex);
}

uint64_t weir_http_sent_bytes(const struct weir_http_exchange *ex)
{
    return ex->n_sent;
}
