/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_server.h"

#include <stdlib.h>

#include "core/net/http_server_internal.h"

enum {
    MIN_TICK_MS = 5,
    MAX_TICK_MS = 500,
    N_OWN_HANDLES = 4 /* flusher, spinner, ticker, sockets */
};

/* Sends what this turn of the loop produced, and then tells the handlers: they are much code, and
 * sending is, so that in turns each would push the other out of the processor's cache. What the
 * handlers add meanwhile waits for the next turn, which the spinner makes come at once; so no
 * connection can keep the loop here. */
static void on_flush(uv_prepare_t *flusher)
{
    struct weir_http_server *s = flusher->data;
    struct weir_http_connection_list now = LIST_HEAD_INITIALIZER(now);
    struct weir_http_connection *c;
    (void)uv_idle_stop(&s->spinner);
    now.lh_first = s->dirty.lh_first;
    if (!now.lh_first) {
        return;
    }
    now.lh_first->dirty.le_prev = &now.lh_first;
    LIST_INIT(&s->dirty);
    while ((c = now.lh_first)) {
        LIST_REMOVE(c, dirty);
        c->is_dirty = false;
        c->has_sent = weir_http_connection_send(c);
        if (c->has_sent) {
            LIST_INSERT_HEAD(&s->sent, c, sent);
        }
    }
    while ((c = s->sent.lh_first)) {
        LIST_REMOVE(c, sent);
        c->has_sent = false;
        weir_http_connection_sent(c);
    }
}

static void on_spin(uv_idle_t *spinner)
{
    (void)spinner;
}

void weir_http_server_mark_dirty(struct weir_http_connection *c)
{
    if (c->is_dirty || c->state == WEIR_HTTP_CLOSED) {
        return;
    }
    struct weir_http_server *s = c->server;
    c->is_dirty = true;
    if (!s->dirty.lh_first) {
        (void)uv_idle_start(&s->spinner, on_spin);
    }
    LIST_INSERT_HEAD(&s->dirty, c, dirty);
}

static void on_tick(uv_timer_t *ticker)
{
    struct weir_http_server *s = ticker->data;
    uint64_t now = uv_now(s->loop);
    bool is_late = now - s->last_tick_ms > 4 * s->tick_ms;
    s->last_tick_ms = now;
    /* A loop that was held up reads what has come before anyone is called slow. */
    s->skips_tick = is_late && !s->skips_tick;
    if (s->skips_tick) {
        return;
    }
    struct weir_http_connection *next;
    for (struct weir_http_connection *c = s->all.lh_first; c; c = next) {
        next = c->all.le_next;
        weir_http_connection_tick(c, now);
    }
}

/* A quarter of the shortest time limit, so that a limit is overrun by a quarter at most. */
static uint64_t tick_of(const struct weir_http_limits *l)
{
    const uint32_t times[] = {l->header_timeout_ms,      l->body_idle_timeout_ms,
                              l->body_grace_ms,          l->keepalive_timeout_ms,
                              l->write_stall_timeout_ms, l->linger_timeout_ms};
    uint64_t tick = MAX_TICK_MS;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        tick = times[i] / 4 < tick ? times[i] / 4 : tick;
    }
    return tick < MIN_TICK_MS ? MIN_TICK_MS : tick;
}

int weir_http_server_create(uv_loop_t *loop, const struct weir_http_limits *limits,
                            const struct weir_http_handler *handler, void *user,
                            struct weir_http_server **ret_server)
{
    struct weir_http_server *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    s->loop = loop;
    s->limits = *limits;
    s->handler = *handler;
    s->user = user;
    s->tick_ms = tick_of(limits);
    LIST_INIT(&s->all);
    LIST_INIT(&s->dirty);
    LIST_INIT(&s->sent);
    /* With one connection in the pool an empty server can always accept; a full one tries again
     * when somebody leaves. */
    struct weir_http_connection *spare = weir_http_server_take_connection(s);
    if (!spare) {
        free(s);
        return WEIR_E_NOMEM;
    }
    weir_http_server_give_connection(s, spare);
    if (weir_sockets_open(&s->sockets, loop, WEIR_HTTP_CONNECTION_NEAR) < 0) {
        weir_http_server_free_pools(s);
        free(s);
        return WEIR_E_IO;
    }
    weir_http_server_open_spare(s);
    /* None of these can fail (libuv returns 0 always). They do not keep the loop alive. */
    (void)uv_prepare_init(loop, &s->flusher);
    (void)uv_idle_init(loop, &s->spinner);
    (void)uv_timer_init(loop, &s->ticker);
    s->flusher.data = s->spinner.data = s->ticker.data = s;
    (void)uv_prepare_start(&s->flusher, on_flush);
    uv_unref((uv_handle_t *)&s->flusher);
    uv_unref((uv_handle_t *)&s->spinner);
    uv_unref((uv_handle_t *)&s->ticker);
    s->n_handles = N_OWN_HANDLES;
    *ret_server = s;
    return WEIR_OK;
}

void weir_http_server_add_connection(struct weir_http_server *s, struct weir_http_connection *c)
{
    LIST_INSERT_HEAD(&s->all, c, all);
    s->n_handles++;
    if (s->stats.n_connections++ == 0) {
        uv_update_time(s->loop);
        s->last_tick_ms = uv_now(s->loop);
        (void)uv_timer_start(&s->ticker, on_tick, s->tick_ms, s->tick_ms);
    }
}

void weir_http_server_handle_closed(struct weir_http_server *s)
{
    s->n_handles--;
    if (s->is_destroyed) {
        if (s->n_handles == 0) {
            weir_http_server_free_pools(s);
            weir_http_server_close_spare(s);
            free(s);
        }
        return;
    }
    if (s->is_draining && !s->is_drained && s->n_handles == N_OWN_HANDLES) {
        s->is_drained = true;
        if (s->handler.on_drained) {
            s->handler.on_drained(s->user);
        }
    }
}

void weir_http_server_forget(struct weir_http_connection *c)
{
    struct weir_http_server *s = c->server;
    LIST_REMOVE(c, all);
    if (c->is_dirty) {
        LIST_REMOVE(c, dirty);
    }
    if (c->has_sent) {
        LIST_REMOVE(c, sent);
    }
    weir_http_server_give_connection(s, c);
    if (--s->stats.n_connections == 0 && !s->is_destroyed) {
        (void)uv_timer_stop(&s->ticker);
    }
    weir_http_server_retry_accept(s);
    weir_http_server_handle_closed(s);
}

void weir_http_server_use_tls(struct weir_http_server *s, struct weir_tls_context *context)
{
    s->tls = context;
}

void weir_http_server_drain(struct weir_http_server *s)
{
    if (s->is_draining) {
        return;
    }
    s->is_draining = true;
    weir_http_server_accept_backlog(s);
    weir_http_server_close_listeners(s);
    struct weir_http_connection *next;
    for (struct weir_http_connection *c = s->all.lh_first; c; c = next) {
        next = c->all.le_next;
        weir_http_connection_drain(c);
    }
}

bool weir_http_server_is_empty(const struct weir_http_server *s)
{
    return s->stats.n_connections == 0;
}

static void on_own_close(uv_handle_t *handle)
{
    weir_http_server_handle_closed(handle->data);
}

static void on_sockets_close(struct weir_sockets *set)
{
    weir_http_server_handle_closed(
        (struct weir_http_server *)((char *)set - offsetof(struct weir_http_server, sockets)));
}

void weir_http_server_destroy(struct weir_http_server *s)
{
    if (!s) {
        return;
    }
    s->is_destroyed = true;
    weir_http_server_close_listeners(s);
    for (struct weir_http_connection *c = s->all.lh_first; c; c = c->all.le_next) {
        weir_http_connection_close(c, WEIR_HTTP_END_ABORTED);
    }
    weir_sockets_close(&s->sockets, on_sockets_close);
    uv_close((uv_handle_t *)&s->flusher, on_own_close);
    uv_close((uv_handle_t *)&s->spinner, on_own_close);
    uv_close((uv_handle_t *)&s->ticker, on_own_close);
}

const struct weir_http_stats *weir_http_server_stats(const struct weir_http_server *s)
{
    return &s->stats;
}
