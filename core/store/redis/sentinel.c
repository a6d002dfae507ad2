/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the Sentinels where the master is, and stays connected to all, to hear when that changes.
 *
 * Why all: one that hangs or is cut off from the others knows nothing of a switch, while the old
 * master may still answer. A try asks them at once and takes the address that most of them name,
 * then the others', until one is a usable master. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/store/redis/command.h"
#include "core/store/redis/control.h"

enum { SILENCE_US = 15 * 1000000 };

static void choose(struct weir_redis_control *c);

/* Its answer has come, or will not. */
static void end_question(struct weir_redis_sentinel *s)
{
    struct weir_redis_control *c = s->control;
    if (!s->is_awaited) {
        return;
    }
    s->is_awaited = false;
    c->n_awaited--;
    if (c->step == CONTROL_ASKING && (c->has_gathered || c->n_awaited == 0)) {
        choose(c);
    }
}

static void lose(struct weir_redis_sentinel *s, const char *why)
{
    struct weir_redis_control *c = s->control;
    weir_redis_link_close(s->link);
    s->link = NULL;
    if (s->is_awaited && c->step == CONTROL_ASKING) {
        c->candidate = s->address;
        (void)snprintf(c->sentinel_why, sizeof(c->sentinel_why), "%s", why);
    }
    end_question(s);
}

/* ---- what a Sentinel says ---- */

/* Where nobody asked, it was connected to again: a switch may have been missed meanwhile. */
static void take_address(struct weir_redis_sentinel *s, const char *name, uint16_t port)
{
    struct weir_redis_control *c = s->control;
    (void)snprintf(s->master.name, sizeof(s->master.name), "%s", name);
    s->master.port = port;
    if (s->is_awaited) {
        end_question(s);
    } else if (port != c->r->address.port || strcmp(name, c->r->address.name) != 0) {
        weir_redis_control_try_soon(c);
    }
}

static void take_answer(struct weir_redis_sentinel *s, const redisReply *reply)
{
    char why[300];
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)snprintf(why, sizeof(why), "Sentinel: %.200s", reply->str);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->type == REDIS_REPLY_STRING &&
               reply->element[1]->type == REDIS_REPLY_STRING) {
        long port = strtol(reply->element[1]->str, NULL, 10);
        if (port > 0 && port < 65536 && reply->element[0]->len < sizeof(s->master.name)) {
            take_address(s, reply->element[0]->str, (uint16_t)port);
            return;
        }
        (void)snprintf(why, sizeof(why), "Sentinel gave an address that is none");
    } else {
        (void)snprintf(why, sizeof(why), "Sentinel knows no master %s",
                       s->control->r->options.url.master);
    }
    lose(s, why);
}

/* "NAME OLD-IP OLD-PORT NEW-IP NEW-PORT"; a Sentinel may watch several masters. */
static void take_message(struct weir_redis_control *c, const redisReply *reply)
{
    const char *master = c->r->options.url.master;
    size_t n = strlen(master);
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        strcmp(reply->element[0]->str, "message") == 0 &&
        reply->element[2]->type == REDIS_REPLY_STRING &&
        strncmp(reply->element[2]->str, master, n) == 0 && reply->element[2]->str[n] == ' ') {
        weir_redis_control_switched(c);
    }
}

static void on_reply(void *user, struct weir_redis_link *link, redisReply *reply)
{
    (void)link;
    struct weir_redis_sentinel *s = user;
    s->heard_us = weir_clock_mono_us();
    if (s->has_answered) {
        take_message(s->control, reply);
    } else {
        s->has_answered = true;
        take_answer(s, reply);
    }
}

/* ---- connecting ---- */

static void on_ready(void *user, struct weir_redis_link *link)
{
    struct weir_redis_sentinel *s = user;
    struct weir_buf *out = weir_redis_link_out(link);
    weir_redis_command_begin(out, 3);
    weir_redis_command_text(out, "SENTINEL");
    weir_redis_command_text(out, "get-master-addr-by-name");
    weir_redis_command_text(out, s->control->r->options.url.master);
    /* In one go with the question: a switch after the answer is then heard of. */
    weir_redis_command_begin(out, 2);
    weir_redis_command_text(out, "SUBSCRIBE");
    weir_redis_command_text(out, "+switch-master");
    weir_redis_link_flush(link);
}

static void on_down(void *user, struct weir_redis_link *link, const char *why)
{
    (void)link;
    struct weir_redis_sentinel *s = user;
    s->link = NULL; /* the next beat connects again, unless a try does before */
    lose(s, why);
}

static void on_resolved(void *arg, uint32_t n_try, const struct weir_redis_address *found,
                        const char *why)
{
    static const struct weir_redis_link_events events = {on_ready, on_reply, on_down};
    struct weir_redis_sentinel *s = arg;
    struct weir_redis_control *c = s->control;
    struct weir_redis_login login;
    (void)n_try; /* of any: it is the same Sentinel */
    s->is_resolving = false;
    s->address = *found;
    if (why) {
        lose(s, why);
        return;
    }
    weir_redis_login_fill(c->r, true, &login);
    s->has_answered = false;
    s->heard_us = weir_clock_mono_us();
    if (weir_redis_link_open(c->loop->uv, &c->loop->scratch, &s->address, &login, &events, s,
                             &s->link) < 0) {
        s->link = NULL;
        lose(s, "cannot connect");
    }
}

static void connect_sentinel(struct weir_redis_sentinel *s)
{
    struct weir_redis_control *c = s->control;
    if (s->is_resolving) {
        return;
    }
    const struct weir_store_host *host = &c->r->options.url.hosts[s - c->sentinels];
    s->is_resolving = true;
    if (weir_redis_control_resolve(c, host->name, host->port, on_resolved, s) < 0) {
        s->is_resolving = false;
        lose(s, "cannot resolve the name");
    }
}

/* ---- a try ---- */

static bool is_same_master(const struct weir_redis_sentinel *a, const struct weir_redis_sentinel *b)
{
    return a->master.port == b->master.port && strcmp(a->master.name, b->master.name) == 0;
}

/* The address that most name, of those that were not tried; NULL: there is none. */
static struct weir_redis_sentinel *find_most_named(struct weir_redis_control *c)
{
    struct weir_redis_sentinel *best = NULL;
    uint32_t n_best = 0, n_all = c->n_sentinels;
    for (uint32_t i = 0; i < n_all; i++) {
        struct weir_redis_sentinel *s = &c->sentinels[i];
        uint32_t n = 0;
        for (uint32_t k = 0; k < n_all && s->master.port && !s->was_tried; k++) {
            n += is_same_master(s, &c->sentinels[k]);
        }
        if (n > n_best) {
            best = s;
            n_best = n;
        }
    }
    return best;
}

static void choose(struct weir_redis_control *c)
{
    struct weir_redis_sentinel *best = find_most_named(c);
    if (best) {
        for (uint32_t i = 0; i < c->n_sentinels; i++) {
            struct weir_redis_sentinel *s = &c->sentinels[i];
            s->was_tried |= is_same_master(s, best);
        }
        weir_redis_control_look_up(c, best->master.name, best->master.port);
    } else if (c->n_awaited == 0) {
        weir_redis_control_fail(c, c->sentinel_why);
    } /* else those that have not answered yet may know one */
}

/* Anew each time: a subscribed connection takes no questions. */
void weir_redis_control_ask_sentinels(struct weir_redis_control *c)
{
    c->step = CONTROL_ASKING;
    c->has_gathered = false;
    c->n_awaited = c->n_sentinels;
    for (uint32_t i = 0; i < c->n_sentinels; i++) {
        struct weir_redis_sentinel *s = &c->sentinels[i];
        weir_redis_link_close(s->link);
        s->link = NULL;
        s->is_awaited = true;
        s->was_tried = false;
        s->master.port = 0;
    }
    for (uint32_t i = 0; i < c->n_sentinels && c->step == CONTROL_ASKING; i++) {
        connect_sentinel(&c->sentinels[i]);
    }
}

void weir_redis_control_gathered(struct weir_redis_control *c)
{
    c->has_gathered = true;
    if (c->step == CONTROL_ASKING) {
        choose(c);
    }
}

bool weir_redis_control_try_other(struct weir_redis_control *c, const char *why)
{
    if (c->n_awaited == 0 && !find_most_named(c)) {
        return false;
    }
    (void)snprintf(c->sentinel_why, sizeof(c->sentinel_why), "%s", why);
    c->step = CONTROL_ASKING;
    c->has_gathered = true;
    choose(c);
    return true;
}

/* ---- between tries ---- */

static void look_after(struct weir_redis_sentinel *s)
{
    if (s->link && weir_clock_mono_us() - s->heard_us > SILENCE_US) {
        lose(s, "it is silent");
    }
    if (!s->link) {
        connect_sentinel(s);
    } else if (s->has_answered) {
        struct weir_buf *out = weir_redis_link_out(s->link);
        weir_redis_command_begin(out, 1);
        weir_redis_command_text(out, "PING");
        weir_redis_link_flush(s->link);
    }
}

void weir_redis_control_look_after_sentinels(struct weir_redis_control *c)
{
    for (uint32_t i = 0; i < c->n_sentinels && c->step == CONTROL_IDLE; i++) {
        look_after(&c->sentinels[i]);
    }
}

void weir_redis_control_start_sentinels(struct weir_redis_control *c)
{
    const struct weir_store_url *url = &c->r->options.url;
    c->n_sentinels = url->kind == WEIR_STORE_URL_SENTINEL ? url->n_hosts : 0;
    for (uint32_t i = 0; i < c->n_sentinels; i++) {
        c->sentinels[i].control = c;
    }
}

void weir_redis_control_close_sentinels(struct weir_redis_control *c)
{
    for (uint32_t i = 0; i < c->n_sentinels; i++) {
        weir_redis_link_close(c->sentinels[i].link);
        c->sentinels[i].link = NULL;
    }
}
