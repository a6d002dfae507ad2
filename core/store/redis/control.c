/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the server, checks it, and keeps watch: one try at a time, at most one in a second.
 *
 * A try: (Sentinel: ask all for the master's address;) resolve the name; connect; the server must
 * be a master and its data of our schema. A success is published; the connection stays as the one
 * that takes messages, unless there is one already. */
#include "core/store/redis/control.h"

#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/store/redis/command.h"

enum {
    TRY_MS = 2000,           /* for a whole try */
    GATHER_MS = 300,         /* of it: how long the first Sentinels' answers wait for the others */
    TRY_EVERY_MS = 1000,     /* at most */
    STEADY_US = 10 * 1000000 /* closed for so long: the next outage is a new one */
};

static void begin_try(struct weir_redis_control *c);

static void notice(const struct weir_redis_control *c, bool is_bad, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void notice(const struct weir_redis_control *c, bool is_bad, const char *fmt, ...)
{
    const struct weir_store_redis_options *o = &c->r->options;
    if (o->notice) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        o->notice(o->notice_arg, is_bad, text);
    }
}

static uint32_t draw(struct weir_redis_control *c)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(c->random >> 33);
}

static void describe(const struct weir_redis_address *a, char *to, size_t cap)
{
    if (a->is_unix) {
        (void)snprintf(to, cap, "%s", a->path);
    } else {
        (void)snprintf(to, cap, strchr(a->name, ':') ? "[%s]:%u" : "%s:%u", a->name, a->port);
    }
}

/* ---- when to try ---- */

static void on_timer(uv_timer_t *timer);

/* Tries after delay_ms, or when an earlier try was due already. */
static void try_in(struct weir_redis_control *c, uint64_t delay_ms)
{
    uint64_t now_us = weir_clock_mono_us();
    uint64_t next_us = now_us + delay_ms * 1000;
    if (c->step != CONTROL_IDLE || (c->next_us && c->next_us <= next_us)) {
        return;
    }
    c->next_us = next_us;
    (void)uv_timer_start(&c->timer, on_timer, delay_ms, 0);
}

static uint64_t until_allowed_ms(struct weir_redis_control *c)
{
    uint64_t now_us = weir_clock_mono_us();
    uint64_t allowed_us = c->tried_us ? c->tried_us + TRY_EVERY_MS * 1000 : 0;
    return allowed_us > now_us ? (allowed_us - now_us) / 1000 + 1 + draw(c) % 100 : 0;
}

static void end_probe(struct weir_redis_control *c)
{
    weir_redis_link_close(c->probe);
    c->probe = NULL;
    c->step = CONTROL_IDLE;
    c->next_us = 0;
    (void)uv_timer_stop(&c->timer);
}

void weir_redis_control_fail(struct weir_redis_control *c, const char *why)
{
    struct weir_redis *r = c->r;
    char where[300];
    describe(&c->candidate, where, sizeof(where));
    end_probe(c);
    bool useless = atomic_load(&r->n_links) == 0;
    enum weir_redis_state state = weir_redis_breaker_state(&r->breaker);
    if (useless || state != WEIR_REDIS_CLOSED) {
        bool first = state == WEIR_REDIS_CLOSED || state == WEIR_REDIS_STARTING;
        (void)weir_redis_breaker_enter(&r->breaker, WEIR_REDIS_OPEN);
        if (first || strcmp(why, c->last_why) != 0) {
            notice(c, true, "cannot use %s: %s", where, why);
        }
        (void)snprintf(c->last_why, sizeof(c->last_why), "%s", why);
        if (first) {
            weir_redis_control_stop_listening(c);
            weir_redis_wake_loops(r);
        }
    }
    try_in(c, c->has_switched ? until_allowed_ms(c)
                              : weir_redis_backoff_ms(&r->breaker, c->n_failed, draw(c)));
    c->n_failed += c->n_failed < 16;
}

/* The candidate is none; a Sentinel may know another. */
static void refuse(struct weir_redis_control *c, const char *why)
{
    weir_redis_link_close(c->probe);
    c->probe = NULL;
    if (!weir_redis_control_try_other(c, why)) {
        weir_redis_control_fail(c, why);
    }
}

static void succeed(struct weir_redis_control *c)
{
    struct weir_redis *r = c->r;
    struct weir_redis_link *probe = c->probe;
    c->probe = NULL; /* kept by listen() or closed below */
    end_probe(c);
    pthread_mutex_lock(&r->lock);
    bool moved = r->epoch && !weir_redis_address_is_same(&r->address, &c->candidate);
    r->address = c->candidate;
    r->epoch++;
    pthread_mutex_unlock(&r->lock);
    if (moved) {
        weir_redis_control_stop_listening(c);
    }
    if (c->messages) {
        weir_redis_link_close(probe);
    } else {
        weir_redis_control_listen(c, probe);
    }
    if (weir_redis_breaker_enter(&r->breaker, WEIR_REDIS_CLOSED) || moved) {
        char where[300];
        describe(&c->candidate, where, sizeof(where));
        notice(c, false, "using %s", where);
        c->closed_us = weir_clock_mono_us();
    }
    c->last_why[0] = '\0';
    weir_redis_wake_loops(r);
    if (c->has_switched) { /* this may be the master before */
        try_in(c, until_allowed_ms(c));
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct weir_redis_control *c = timer->data;
    if (c->step == CONTROL_IDLE) {
        begin_try(c);
    } else if (c->n_sentinels && !c->has_gathered) {
        (void)uv_timer_start(&c->timer, on_timer, TRY_MS - GATHER_MS, 0);
        weir_redis_control_gathered(c);
    } else {
        weir_redis_control_fail(c, "no answer in time");
    }
}

void weir_redis_control_look(struct weir_redis_control *c)
{
    struct weir_redis *r = c->r;
    bool suspected = atomic_exchange(&r->suspected, false);
    bool tripped = atomic_exchange(&r->tripped, false);
    if (!suspected && !tripped) {
        return;
    }
    bool steady = c->closed_us && weir_clock_mono_us() - c->closed_us > STEADY_US;
    if (steady) {
        c->n_failed = 0;
    }
    if (tripped) {
        char where[300];
        describe(&r->address, where, sizeof(where));
        notice(c, true, "%s does not answer or cannot serve: refusing until it is usable", where);
        c->closed_us = 0;
        weir_redis_control_stop_listening(c);
        /* Sentinel may know a better one at once; the same server needs a while. */
        bool elsewhere = r->options.url.kind == WEIR_STORE_URL_SENTINEL;
        try_in(c, elsewhere ? until_allowed_ms(c)
                            : weir_redis_backoff_ms(&r->breaker, c->n_failed, draw(c)));
        c->n_failed += c->n_failed < 16;
    } else {
        try_in(c, until_allowed_ms(c));
    }
}

/* ---- a try ---- */

struct resolve {
    uv_getaddrinfo_t req; /* first: callbacks cast */
    struct weir_redis_control *control;
    uint32_t n_try; /* that it belongs to */
    weir_redis_resolved then;
    void *arg;
    struct weir_redis_address found;
};

static void drop_ref(struct weir_redis_control *c)
{
    if (--c->n_refs == 0) {
        free(c);
    }
}

static void keep_address(struct weir_redis_address *to, const struct addrinfo *a)
{
    memcpy(&to->ip, a->ai_addr, a->ai_addrlen);
    if (a->ai_family == AF_INET) {
        ((struct sockaddr_in *)&to->ip)->sin_port = htons(to->port);
    } else {
        ((struct sockaddr_in6 *)&to->ip)->sin6_port = htons(to->port);
    }
}

/* A name with several addresses: each try takes the next. */
static const struct addrinfo *take_turn(const struct addrinfo *list, uint32_t n_try)
{
    unsigned n = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        n++;
    }
    for (unsigned i = n_try % n; i > 0; i--) {
        list = list->ai_next;
    }
    return list;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct resolve *q = (struct resolve *)req;
    struct weir_redis_control *c = q->control;
    char why[128] = "cannot resolve the name: no address";
    bool ok = status == 0 && list;
    if (ok) {
        keep_address(&q->found, take_turn(list, q->n_try));
    } else if (status < 0) {
        (void)snprintf(why, sizeof(why), "cannot resolve the name: %s", uv_strerror(status));
    }
    if (!c->is_closed) {
        q->then(q->arg, q->n_try, &q->found, ok ? NULL : why);
    }
    uv_freeaddrinfo(list);
    free(q);
    drop_ref(c);
}

int weir_redis_control_resolve(struct weir_redis_control *c, const char *name, uint16_t port,
                               weir_redis_resolved then, void *arg)
{
    struct resolve *q = calloc(1, sizeof(*q));
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (!q) {
        return WEIR_E_NOMEM;
    }
    *q = (struct resolve){.control = c, .n_try = c->n_try, .then = then, .arg = arg};
    (void)snprintf(q->found.name, sizeof(q->found.name), "%s", name);
    q->found.port = port;
    if (uv_getaddrinfo(c->loop->uv, &q->req, on_resolved, name, NULL, &hints) != 0) {
        free(q);
        return WEIR_E_IO;
    }
    c->n_refs++;
    return 0;
}

static void probe(struct weir_redis_control *c);

static void on_looked_up(void *arg, uint32_t n_try, const struct weir_redis_address *found,
                         const char *why)
{
    struct weir_redis_control *c = arg;
    if (n_try != c->n_try || c->step != CONTROL_RESOLVING) {
        return; /* too late */
    }
    c->candidate = *found;
    if (why) {
        refuse(c, why);
    } else {
        probe(c);
    }
}

void weir_redis_control_look_up(struct weir_redis_control *c, const char *name, uint16_t port)
{
    c->step = CONTROL_RESOLVING;
    if (weir_redis_control_resolve(c, name, port, on_looked_up, c) < 0) {
        refuse(c, "cannot resolve the name");
    }
}

static void on_probe_ready(void *user, struct weir_redis_link *link)
{
    struct weir_redis_control *c = user;
    struct weir_buf *out = weir_redis_link_out(link);
    const weir_str schema[] = {weir_redis_prefix(c->r), WEIR_STR_INIT(":schema")};
    weir_redis_command_begin(out, 1);
    weir_redis_command_text(out, "ROLE");
    weir_redis_command_begin(out, 4);
    weir_redis_command_text(out, "SET");
    weir_redis_command_join(out, schema, 2);
    weir_redis_command_text(out, WEIR_REDIS_SCHEMA);
    weir_redis_command_text(out, "NX");
    weir_redis_command_begin(out, 2);
    weir_redis_command_text(out, "GET");
    weir_redis_command_join(out, schema, 2);
    weir_redis_link_flush(link);
}

/* Why the server cannot be used, or NULL. */
static const char *judge(struct weir_redis_control *c, const redisReply *reply, char *text,
                         size_t cap)
{
    bool is_error = reply->type == REDIS_REPLY_ERROR;
    switch (c->n_answers) {
    case 0: /* ROLE, which a user may not be allowed to ask */
        if (is_error) {
            return strncmp(reply->str, "NOPERM", 6) == 0 ? NULL : reply->str;
        }
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
            reply->element[0]->type != REDIS_REPLY_STRING) {
            return "it is no Redis";
        }
        return strcmp(reply->element[0]->str, "master") == 0 ? NULL : "it is a replica";
    case 1: /* SET: a full store can still be read */
        if (is_error && strncmp(reply->str, "MOVED", 5) == 0) {
            return "it is one node of a Redis Cluster of several, which needs a proxy in front";
        }
        return is_error && strncmp(reply->str, "OOM", 3) != 0 ? reply->str : NULL;
    default: /* GET; nothing there: the store is full and empty of ours */
        if (is_error) {
            return reply->str;
        }
        if (reply->type == REDIS_REPLY_STRING && strcmp(reply->str, WEIR_REDIS_SCHEMA) != 0) {
            (void)snprintf(text, cap,
                           "its data have schema %.20s, this weir knows schema %s: run versions "
                           "that share one, or use another store.prefix",
                           reply->str, WEIR_REDIS_SCHEMA);
            return text;
        }
        return NULL;
    }
}

static void on_probe_reply(void *user, struct weir_redis_link *link, redisReply *reply)
{
    (void)link;
    struct weir_redis_control *c = user;
    if (c->probe != link) { /* it became the one for messages */
        weir_redis_control_heard(c, reply);
        return;
    }
    char text[192];
    const char *why = judge(c, reply, text, sizeof(text));
    c->n_answers++;
    if (why) {
        refuse(c, why);
    } else if (c->n_answers == 3) {
        succeed(c);
    }
}

static void on_probe_down(void *user, struct weir_redis_link *link, const char *why)
{
    struct weir_redis_control *c = user;
    if (c->probe == link) {
        c->probe = NULL;
        refuse(c, why);
    } else if (c->messages == link) {
        c->messages = NULL;
        try_in(c, until_allowed_ms(c));
    }
}

static void probe(struct weir_redis_control *c)
{
    static const struct weir_redis_link_events events = {on_probe_ready, on_probe_reply,
                                                         on_probe_down};
    struct weir_redis_login login;
    weir_redis_login_fill(c->r, false, &login);
    c->n_answers = 0;
    c->step = CONTROL_PROBING;
    if (weir_redis_link_open(c->loop->uv, &c->loop->scratch, &c->candidate, &login, &events, c,
                             &c->probe) < 0) {
        c->probe = NULL;
        refuse(c, "cannot connect");
    }
}

static void begin_try(struct weir_redis_control *c)
{
    struct weir_redis *r = c->r;
    const struct weir_store_url *url = &r->options.url;
    if (weir_redis_breaker_state(&r->breaker) == WEIR_REDIS_OPEN) {
        (void)weir_redis_breaker_enter(&r->breaker, WEIR_REDIS_HALF_OPEN);
    }
    c->tried_us = weir_clock_mono_us();
    c->next_us = 0;
    c->n_try++;
    c->has_switched = false;
    c->candidate = (struct weir_redis_address){0};
    (void)uv_timer_start(&c->timer, on_timer, c->n_sentinels ? GATHER_MS : TRY_MS, 0);
    if (url->kind == WEIR_STORE_URL_UNIX) {
        c->candidate.is_unix = true;
        (void)snprintf(c->candidate.path, sizeof(c->candidate.path), "%s", url->path);
        probe(c);
    } else if (c->n_sentinels) {
        weir_redis_control_ask_sentinels(c);
    } else {
        weir_redis_control_look_up(c, url->hosts[0].name, url->hosts[0].port);
    }
}

void weir_redis_control_try_soon(struct weir_redis_control *c)
{
    try_in(c, until_allowed_ms(c));
}

void weir_redis_control_switched(struct weir_redis_control *c)
{
    c->has_switched = true;
    try_in(c, 0);
}

/* ---- life ---- */

int weir_redis_control_create(struct weir_redis *r, struct weir_redis_loop *loop,
                              struct weir_redis_control **ret_control)
{
    struct weir_redis_control *c = calloc(1, sizeof(*c));
    if (!c) {
        return WEIR_E_NOMEM;
    }
    c->r = r;
    c->loop = loop;
    c->random = weir_clock_wall_us() ^ (uint64_t)(uintptr_t)c;
    c->n_refs = 2; /* the handles */
    (void)uv_timer_init(loop->uv, &c->timer);
    (void)uv_timer_init(loop->uv, &c->beat);
    c->timer.data = c->beat.data = c;
    weir_redis_control_start_sentinels(c);
    weir_redis_control_start_beat(c);
    *ret_control = c;
    begin_try(c);
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    drop_ref(handle->data);
}

void weir_redis_control_close(struct weir_redis_control *c)
{
    c->is_closed = true;
    weir_redis_link_close(c->probe);
    weir_redis_link_close(c->messages);
    weir_redis_control_close_sentinels(c);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->beat, on_handle_closed);
}
