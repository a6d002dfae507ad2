/* SPDX-License-Identifier: Apache-2.0 */
/* A loop's connections, and the operations on them. */
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/store/redis/command.h"
#include "core/store/redis/redis_internal.h"

enum {
    MAX_SPARE = 256,
    MAX_SPARE_BYTES = 16 * 1024,
    MAX_COMMAND_BYTES = 8 * 1024 * 1024,
    MAX_BYTES = 64 * 1024 * 1024
};

/* ---- operations ---- */

static struct weir_redis_op *take_op(struct weir_redis_loop *l)
{
    struct weir_redis_op *op = l->spare;
    if (op) {
        l->spare = op->next;
        l->n_spare--;
        op->next = op->older = op->newer = NULL;
        op->deadline_us = 0;
        op->is_told = op->looks_only = false;
        op->n_loads = op->n_skip = 0;
        op->number = 0;
        op->again.tenant = (weir_str){NULL, 0};
    } else {
        op = calloc(1, sizeof(*op));
        if (!op) {
            return NULL;
        }
        weir_buf_init(&op->command, MAX_COMMAND_BYTES);
    }
    l->n_ops++;
    atomic_fetch_add_explicit(&l->r->n_in_flight, 1, memory_order_relaxed);
    return op;
}

static void free_op(struct weir_redis_op *op)
{
    weir_buf_finish(&op->command);
    free(op);
}

static void release_op(struct weir_redis_loop *l, struct weir_redis_op *op)
{
    l->n_ops--;
    l->n_bytes -= op->command.len;
    atomic_fetch_sub_explicit(&l->r->n_in_flight, 1, memory_order_relaxed);
    if (l->n_spare == MAX_SPARE) {
        free_op(op);
        return;
    }
    if (op->command.cap > MAX_SPARE_BYTES) {
        weir_buf_finish(&op->command);
        weir_buf_init(&op->command, MAX_COMMAND_BYTES);
    }
    op->next = l->spare;
    l->spare = op;
    l->n_spare++;
}

static void on_spin(uv_idle_t *spinner)
{
    (void)spinner;
}

static void call_prepare(struct weir_redis_loop *l)
{
    (void)uv_idle_start(&l->spinner, on_spin); /* nothing, when it is started already */
}

/* At the end of those that wait to be told; its deadline counts from the loop's next turn, so that
 * a loop that did not turn for a while is not mistaken for a slow store. */
static void add_untold(struct weir_redis_loop *l, struct weir_redis_op *op)
{
    op->deadline_us = 0;
    op->newer = NULL;
    op->older = l->newest;
    *(op->older ? &op->older->newer : &l->oldest) = op;
    l->newest = op;
    l->n_untold++;
    l->has_fresh = true;
    call_prepare(l);
}

static void remove_untold(struct weir_redis_loop *l, struct weir_redis_op *op)
{
    *(op->newer ? &op->newer->older : &l->newest) = op->older;
    *(op->older ? &op->older->newer : &l->oldest) = op->newer;
    op->older = op->newer = NULL;
    l->n_untold--;
}

static void tell(struct weir_redis_loop *l, struct weir_redis_op *op, weir_store_result *result)
{
    remove_untold(l, op);
    op->is_told = true;
    weir_store_complete(&l->r->base, &op->then, result);
}

static void tell_rc(struct weir_redis_loop *l, struct weir_redis_op *op, int rc)
{
    tell(l, op, &(weir_store_result){.rc = rc});
}

static void drop_waiting(struct weir_redis_loop *l, struct weir_redis_op *op)
{
    struct weir_redis_op **at = &l->waiting;
    while (*at != op) {
        at = &(*at)->next;
    }
    *at = op->next;
    if (!op->next) {
        l->last_waiting = at;
    }
}

static void add_waiting(struct weir_redis_loop *l, struct weir_redis_op *op)
{
    op->is_sent = false;
    op->next = NULL;
    *l->last_waiting = op;
    l->last_waiting = &op->next;
}

/* Nothing was sent of these. */
static void refuse_waiting(struct weir_redis_loop *l)
{
    while (l->waiting) {
        struct weir_redis_op *op = l->waiting;
        drop_waiting(l, op);
        tell_rc(l, op, WEIR_E_IO);
        release_op(l, op);
    }
}

/* ---- connections ---- */

static bool is_opening(const struct weir_redis_loop *l)
{
    for (uint32_t i = 0; i < l->r->options.n_connections; i++) {
        if (l->connections[i].link && !l->connections[i].is_ready) {
            return true;
        }
    }
    return false;
}

/* The last connection is for what is large, so that small things do not wait behind it. */
static struct weir_redis_connection *choose(struct weir_redis_loop *l, bool is_large)
{
    uint32_t n = l->r->options.n_connections;
    struct weir_redis_connection *best = NULL;
    if (is_large && l->connections[n - 1].is_ready) {
        return &l->connections[n - 1];
    }
    for (uint32_t i = 0; i < n; i++) {
        struct weir_redis_connection *c = &l->connections[i];
        bool last_of_many = n > 1 && i == n - 1;
        if (c->is_ready && (!best || (!last_of_many && c->n < best->n))) {
            best = c;
        }
    }
    return best;
}

static void send_op(struct weir_redis_connection *c, struct weir_redis_op *op)
{
    weir_buf_add(weir_redis_link_out(c->link), op->command.data, op->command.len);
    op->is_sent = true;
    op->next = NULL;
    *c->last = op;
    c->last = &op->next;
    c->n++;
    call_prepare(c->loop);
}

/* The connection has gone: what was sent may have happened. */
static void fail_sent(struct weir_redis_loop *l, struct weir_redis_connection *c)
{
    struct weir_redis_op *op = c->first;
    c->first = NULL;
    c->last = &c->first;
    c->n = 0;
    while (op) { /* `done` may call again, but not reach this list */
        struct weir_redis_op *next = op->next;
        if (!op->is_told) {
            tell_rc(l, op, WEIR_E_TIMEOUT);
        }
        release_op(l, op);
        op = next;
    }
}

static void forget_link(struct weir_redis_connection *c)
{
    if (c->is_ready) {
        atomic_fetch_sub_explicit(&c->loop->r->n_links, 1, memory_order_relaxed);
    }
    c->is_ready = false;
    c->link = NULL;
}

static void count_failure(struct weir_redis_loop *l)
{
    if (weir_redis_breaker_failed(&l->r->breaker, &l->window, weir_clock_mono_us())) {
        weir_redis_trip(l->r, l->epoch);
    }
}

static void on_down(void *user, struct weir_redis_link *link, const char *why)
{
    (void)link;
    (void)why; /* control will meet the same, and say so once */
    struct weir_redis_connection *c = user;
    struct weir_redis_loop *l = c->loop;
    forget_link(c);
    weir_redis_suspect(l->r);
    count_failure(l);
    fail_sent(l, c);
    if (!choose(l, false) && !is_opening(l)) {
        refuse_waiting(l);
    }
}

static void on_ready(void *user, struct weir_redis_link *link)
{
    (void)link;
    struct weir_redis_connection *c = user;
    struct weir_redis_loop *l = c->loop;
    c->is_ready = true;
    atomic_fetch_add_explicit(&l->r->n_links, 1, memory_order_relaxed);
    while (l->waiting) {
        struct weir_redis_op *op = l->waiting;
        drop_waiting(l, op);
        send_op(c, op);
    }
}

static void load_script(struct weir_redis_connection *c, struct weir_redis_op *op)
{
    const struct weir_redis *r = c->loop->r;
    struct weir_buf *out = weir_redis_link_out(c->link);
    weir_redis_command_begin(out, 3);
    weir_redis_command_text(out, "SCRIPT");
    weir_redis_command_text(out, "LOAD");
    weir_redis_command_add(
        out, (weir_str){r->scripts.list[op->script].text, r->scripts.list[op->script].len});
    op->n_skip = 1;
    send_op(c, op);
}

static void finish_op(struct weir_redis_connection *c, struct weir_redis_op *op,
                      const redisReply *reply)
{
    struct weir_redis_loop *l = c->loop;
    struct weir_redis *r = l->r;
    weir_store_result result = {0};
    size_t n_before = op->command.len;
    enum weir_redis_answer answer =
        weir_redis_decode(op, &r->scripts, weir_redis_prefix(r), reply, &l->room, &result);
    l->n_bytes = l->n_bytes - n_before + op->command.len;
    if (answer == WEIR_REDIS_LOAD && !op->is_told) {
        atomic_fetch_add_explicit(&r->n_loads, 1, memory_order_relaxed);
        load_script(c, op);
        return;
    }
    if (answer == WEIR_REDIS_GO_ON && !op->is_told) {
        remove_untold(l, op);
        add_untold(l, op);
        send_op(c, op);
        return;
    }
    if (answer == WEIR_REDIS_AWAY) {
        weir_redis_trip(r, l->epoch);
    }
    if (!op->is_told) {
        tell(l, op, &result);
    }
    release_op(l, op);
}

static void on_reply(void *user, struct weir_redis_link *link, redisReply *reply)
{
    struct weir_redis_connection *c = user;
    struct weir_redis_op *op = c->first;
    if (!op) { /* an answer that nobody asked for, such as "max number of clients reached" */
        weir_redis_link_close(link);
        on_down(c, link, "unexpected answer");
        return;
    }
    weir_redis_breaker_succeeded(&c->loop->r->breaker, &c->loop->window);
    if (op->n_skip) {
        op->n_skip--;
        return;
    }
    c->first = op->next;
    c->n--;
    if (!c->first) {
        c->last = &c->first;
    }
    finish_op(c, op, reply);
}

static void open_connections(struct weir_redis_loop *l)
{
    static const struct weir_redis_link_events events = {on_ready, on_reply, on_down};
    for (uint32_t i = 0; i < l->r->options.n_connections; i++) {
        struct weir_redis_connection *c = &l->connections[i];
        if (!c->link && weir_redis_link_open(l->uv, &l->scratch, &l->address, &l->login, &events, c,
                                             &c->link) == 0) {
            atomic_fetch_add_explicit(&l->r->n_connects, 1, memory_order_relaxed);
        }
    }
    if (!choose(l, false) && !is_opening(l)) {
        refuse_waiting(l);
    }
}

static void close_connections(struct weir_redis_loop *l)
{
    for (uint32_t i = 0; i < l->r->options.n_connections; i++) {
        struct weir_redis_connection *c = &l->connections[i];
        struct weir_redis_link *link = c->link;
        forget_link(c);
        weir_redis_link_close(link);
    }
    for (uint32_t i = 0; i < l->r->options.n_connections; i++) {
        fail_sent(l, &l->connections[i]); /* when none is left that `done` could use */
    }
}

/* ---- turns ---- */

/* Takes over what control has published. */
static void look(struct weir_redis_loop *l)
{
    struct weir_redis *r = l->r;
    enum weir_redis_state state = weir_redis_breaker_state(&r->breaker);
    if (state == WEIR_REDIS_OPEN || state == WEIR_REDIS_HALF_OPEN) {
        close_connections(l);
        refuse_waiting(l);
        return;
    }
    pthread_mutex_lock(&r->lock);
    uint64_t epoch = r->epoch;
    struct weir_redis_address address = r->address;
    pthread_mutex_unlock(&r->lock);
    if (epoch == l->epoch) {
        return;
    }
    bool moved = l->epoch && !weir_redis_address_is_same(&address, &l->address);
    l->epoch = epoch;
    l->address = address;
    if (moved) {
        close_connections(l);
    }
    open_connections(l);
}

static struct weir_redis_loop *loop_of(struct weir_waker *w)
{
    return (struct weir_redis_loop *)((char *)w - offsetof(struct weir_redis_loop, waker));
}

static void on_woken(struct weir_waker *w)
{
    struct weir_redis_loop *l = loop_of(w);
    look(l);
    if (l->control) {
        weir_redis_control_look(l->control);
    }
}

static void on_timer(uv_timer_t *timer);

static void arm(struct weir_redis_loop *l, uint64_t now_us)
{
    const struct weir_redis_op *op = l->oldest;
    if (!op || op->deadline_us == 0) {
        return;
    }
    uint64_t ms = op->deadline_us > now_us ? (op->deadline_us - now_us + 999) / 1000 : 1;
    uv_update_time(l->uv);
    (void)uv_timer_start(&l->timer, on_timer, ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct weir_redis_loop *l = timer->data;
    uint64_t now_us = weir_clock_mono_us();
    /* tell() unlinks it before the release. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (l->oldest && l->oldest->deadline_us && l->oldest->deadline_us <= now_us) {
        struct weir_redis_op *op = l->oldest;
        count_failure(l); /* also a connection that does not come about */
        if (op->is_sent) {
            tell_rc(l, op, WEIR_E_TIMEOUT);
        } else {
            drop_waiting(l, op);
            tell_rc(l, op, WEIR_E_IO);
            release_op(l, op);
        }
    }
    arm(l, now_us);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct weir_redis_loop *l = prepare->data;
    (void)uv_idle_stop(&l->spinner);
    if (l->has_fresh) {
        uint64_t now_us = weir_clock_mono_us();
        uint64_t deadline_us = now_us + (uint64_t)l->r->options.timeout_ms * 1000;
        for (struct weir_redis_op *op = l->newest; op && op->deadline_us == 0; op = op->older) {
            op->deadline_us = deadline_us;
        }
        l->has_fresh = false;
        if (!uv_is_active((const uv_handle_t *)&l->timer)) {
            arm(l, now_us);
        }
    }
    for (uint32_t i = 0; i < l->r->options.n_connections; i++) {
        if (l->connections[i].is_ready) {
            weir_redis_link_flush(l->connections[i].link);
        }
    }
}

int weir_redis_loop_call(struct weir_redis_loop *l, const struct weir_store_call *call,
                         const struct weir_store_then *then)
{
    struct weir_redis *r = l->r;
    enum weir_redis_state state = weir_redis_breaker_state(&r->breaker);
    bool is_full = l->n_ops >= r->options.max_in_flight || l->n_bytes >= MAX_BYTES;
    atomic_fetch_add_explicit(&r->n_overflows, is_full, memory_order_relaxed);
    if (is_full || state == WEIR_REDIS_OPEN || state == WEIR_REDIS_HALF_OPEN) {
        weir_store_complete(&r->base, then, &(weir_store_result){.rc = WEIR_E_IO});
        return 0;
    }
    struct weir_redis_op *op = take_op(l);
    if (!op) {
        return WEIR_E_NOMEM;
    }
    op->then = *then;
    int rc = weir_redis_encode(op, &r->scripts, weir_redis_prefix(r), call);
    l->n_bytes += op->command.len;
    if (rc < 0) {
        release_op(l, op);
        return rc;
    }
    add_untold(l, op);
    struct weir_redis_connection *c = choose(l, op->is_large);
    if (c) {
        send_op(c, op);
    } else {
        add_waiting(l, op);
        if (state == WEIR_REDIS_CLOSED && l->epoch && !is_opening(l)) {
            refuse_waiting(l);
        }
    }
    return 0;
}

/* ---- life ---- */

int weir_redis_loop_create(struct weir_redis *r, uv_loop_t *uv, struct weir_redis_loop **ret_loop)
{
    struct weir_redis_loop *l = calloc(1, sizeof(*l));
    if (!l) {
        return WEIR_E_NOMEM;
    }
    l->r = r;
    l->uv = uv;
    l->last_waiting = &l->waiting;
    weir_redis_login_fill(r, false, &l->login);
    for (uint32_t i = 0; i < WEIR_STORE_REDIS_MAX_CONNECTIONS; i++) {
        l->connections[i].loop = l;
        l->connections[i].last = &l->connections[i].first;
    }
    if (weir_waker_open(&l->waker, uv, on_woken) < 0) {
        free(l);
        return WEIR_E_IO;
    }
    (void)uv_prepare_init(uv, &l->prepare); /* these cannot fail: they only fill the struct */
    (void)uv_idle_init(uv, &l->spinner);
    (void)uv_timer_init(uv, &l->timer);
    l->prepare.data = l->spinner.data = l->timer.data = l;
    l->n_handles = 4;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    *ret_loop = l;
    return 0;
}

static void count_closed(struct weir_redis_loop *l)
{
    if (--l->n_handles == 0) {
        while (l->spare) {
            struct weir_redis_op *next = l->spare->next;
            free_op(l->spare);
            l->spare = next;
        }
        free(l);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

static void on_waker_closed(struct weir_waker *w)
{
    count_closed(loop_of(w));
}

void weir_redis_loop_close(struct weir_redis_loop *l)
{
    close_connections(l);
    refuse_waiting(l);
    weir_waker_close(&l->waker, on_waker_closed);
    uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&l->spinner, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}
