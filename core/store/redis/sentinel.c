/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a Sentinel where the master is, and stays connected to hear when that changes. */
#include <stdio.h>
#include <stdlib.h>

#include "core/store/redis/command.h"
#include "core/store/redis/control.h"

static void ask(struct weir_redis_control *c)
{
    struct weir_buf *out = weir_redis_link_out(c->sentinel);
    c->sentinel_answered = false;
    weir_redis_command_begin(out, 3);
    weir_redis_command_text(out, "SENTINEL");
    weir_redis_command_text(out, "get-master-addr-by-name");
    weir_redis_command_text(out, c->r->options.url.master);
    /* In one go with the question: a switch after the answer is then heard of. */
    weir_redis_command_begin(out, 2);
    weir_redis_command_text(out, "SUBSCRIBE");
    weir_redis_command_text(out, "+switch-master");
    weir_redis_link_flush(c->sentinel);
}

static void on_ready(void *user, struct weir_redis_link *link)
{
    (void)link;
    ask(user);
}

static void take_answer(struct weir_redis_control *c, const redisReply *reply)
{
    char why[300];
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)snprintf(why, sizeof(why), "Sentinel: %.200s", reply->str);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->type == REDIS_REPLY_STRING &&
               reply->element[1]->type == REDIS_REPLY_STRING) {
        long port = strtol(reply->element[1]->str, NULL, 10);
        if (port > 0 && port < 65536 && reply->element[0]->len < 256) {
            weir_redis_control_resolve(c, reply->element[0]->str, (uint16_t)port,
                                       weir_redis_control_probe);
            return;
        }
        (void)snprintf(why, sizeof(why), "Sentinel gave an address that is none");
    } else {
        (void)snprintf(why, sizeof(why), "Sentinel knows no master %s", c->r->options.url.master);
    }
    weir_redis_link_close(c->sentinel);
    c->sentinel = NULL;
    weir_redis_control_fail(c, why);
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
        weir_redis_control_try_now(c);
    }
}

static void on_reply(void *user, struct weir_redis_link *link, redisReply *reply)
{
    (void)link;
    struct weir_redis_control *c = user;
    if (c->sentinel_answered) {
        take_message(c, reply);
    } else {
        c->sentinel_answered = true;
        if (c->step == CONTROL_FINDING) {
            take_answer(c, reply);
        }
    }
}

static void on_down(void *user, struct weir_redis_link *link, const char *why)
{
    (void)link;
    struct weir_redis_control *c = user;
    c->sentinel = NULL;
    if (c->step == CONTROL_FINDING) {
        weir_redis_control_fail(c, why);
    } else {
        weir_redis_control_try_soon(c); /* with the next one: somebody must tell of a switch */
    }
}

static void connect_sentinel(struct weir_redis_control *c)
{
    static const struct weir_redis_link_events events = {on_ready, on_reply, on_down};
    struct weir_redis_login login;
    weir_redis_login_fill(c->r, true, &login);
    if (weir_redis_link_open(c->loop->uv, &c->loop->scratch, &c->candidate, &login, &events, c,
                             &c->sentinel) < 0) {
        c->sentinel = NULL;
        weir_redis_control_fail(c, "cannot connect");
    }
}

/* Anew each time: a subscribed connection takes no questions. */
void weir_redis_control_ask_sentinel(struct weir_redis_control *c)
{
    const struct weir_store_url *url = &c->r->options.url;
    weir_redis_link_close(c->sentinel);
    c->sentinel = NULL;
    const struct weir_store_host *host = &url->hosts[c->next_host % url->n_hosts];
    weir_redis_control_resolve(c, host->name, host->port, connect_sentinel);
}
