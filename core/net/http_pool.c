/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and exchanges that wait for their next use. */
#include <stdlib.h>

#include "core/net/http_server_internal.h"

enum {
    MAX_FREE_CONNECTIONS = 256,
    MAX_FREE_EXCHANGES = 256,
    MAX_FIELD_BYTES = 32 * 1024,
    KEEP_ARENA_BYTES = 64 * 1024
};

struct weir_http_connection *weir_http_server_take_connection(struct weir_http_server *s)
{
    struct weir_http_connection *c = s->free_connections;
    if (c) {
        s->free_connections = c->next_free;
        s->n_free_connections--;
    } else {
        c = malloc(sizeof(*c));
        if (!c) {
            return NULL;
        }
        weir_http_output_init(&c->out, s->limits.max_pending_bytes);
    }
    *c = (struct weir_http_connection){.server = s, .out = c->out};
    return c;
}

void weir_http_server_give_connection(struct weir_http_server *s, struct weir_http_connection *c)
{
    weir_buf_finish(&c->stash);
    weir_http2_session_destroy(c->h2);
    weir_tls_destroy(c->tls);
    c->h2 = NULL;
    c->tls = NULL;
    if (s->n_free_connections == MAX_FREE_CONNECTIONS) {
        weir_http_output_finish(&c->out);
        free(c);
        return;
    }
    weir_http_output_trim(&c->out);
    c->next_free = s->free_connections;
    s->free_connections = c;
    s->n_free_connections++;
}

static void destroy_exchange(struct weir_http_exchange *ex)
{
    if (!ex) {
        return;
    }
    weir_http_request_finish(&ex->request);
    weir_arena_finish(&ex->arena);
    weir_buf_finish(&ex->fields);
    weir_buf_finish(&ex->h2.pending);
    free(ex);
}

static struct weir_http_exchange *create_exchange(const struct weir_http_limits *limits)
{
    struct weir_http_exchange *ex = calloc(1, sizeof(*ex));
    if (!ex) {
        return NULL;
    }
    weir_arena_init(&ex->arena, limits->arena_bytes);
    weir_buf_init(&ex->fields, MAX_FIELD_BYTES);
    if (weir_http_request_init(&ex->request, limits) < 0) {
        destroy_exchange(ex);
        return NULL;
    }
    return ex;
}

struct weir_http_exchange *weir_http_server_take_exchange(struct weir_http_server *s)
{
    struct weir_http_exchange *ex = s->free_exchanges;
    if (!ex) {
        return create_exchange(&s->limits);
    }
    s->free_exchanges = ex->next_free;
    s->n_free_exchanges--;
    return ex;
}

void weir_http_server_give_exchange(struct weir_http_server *s, struct weir_http_exchange *ex)
{
    if (s->n_free_exchanges == MAX_FREE_EXCHANGES) {
        destroy_exchange(ex);
        return;
    }
    if (ex->arena.used_bytes > KEEP_ARENA_BYTES) {
        weir_arena_finish(&ex->arena);
    }
    weir_buf_finish(&ex->h2.pending);
    weir_arena_reset(&ex->arena);
    weir_buf_reset(&ex->fields);
    weir_http_request_reset(&ex->request);
    memset(ex, 0, offsetof(struct weir_http_exchange, request));
    memset(&ex->h2, 0, sizeof(ex->h2));
    ex->next_free = s->free_exchanges;
    s->free_exchanges = ex;
    s->n_free_exchanges++;
}

void weir_http_server_free_pools(struct weir_http_server *s)
{
    while (s->free_connections) {
        struct weir_http_connection *c = s->free_connections;
        s->free_connections = c->next_free;
        weir_http_output_finish(&c->out);
        free(c);
    }
    while (s->free_exchanges) {
        struct weir_http_exchange *ex = s->free_exchanges;
        s->free_exchanges = ex->next_free;
        destroy_exchange(ex);
    }
}
