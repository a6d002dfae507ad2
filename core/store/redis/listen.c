/* SPDX-License-Identifier: Apache-2.0 */
/* The connection that takes messages. */
#include "base/clock.h"
#include "core/store/redis/command.h"
#include "core/store/redis/control.h"

enum { BEAT_MS = 5000, SILENCE_US = 15 * 1000000 };

static const weir_str beat_channel = WEIR_STR_INIT("~beat");

static void write_subscribe(struct weir_redis_control *c, const char *command, weir_str channel)
{
    const weir_str pieces[] = {weir_redis_prefix(c->r), {":", 1}, channel};
    struct weir_buf *out = weir_redis_link_out(c->messages);
    weir_redis_command_begin(out, 2);
    weir_redis_command_text(out, command);
    weir_redis_command_join(out, pieces, 3);
}

void weir_redis_control_listen(struct weir_redis_control *c, struct weir_redis_link *link)
{
    c->messages = link;
    c->heard_us = weir_clock_mono_us();
    write_subscribe(c, "SUBSCRIBE", beat_channel);
    const struct weir_store_subscription *s = c->r->base.messages.subscriptions;
    for (; s; s = s->next) { /* a channel that several listen to comes twice, which is harmless */
        write_subscribe(c, "SUBSCRIBE", (weir_str){s->channel, s->channel_len});
    }
    weir_redis_link_flush(link);
}

void weir_redis_control_stop_listening(struct weir_redis_control *c)
{
    weir_redis_link_close(c->messages);
    c->messages = NULL;
}

void weir_redis_control_subscribed(struct weir_redis_control *c, weir_str channel, bool first)
{
    if (c->messages) {
        write_subscribe(c, first ? "SUBSCRIBE" : "UNSUBSCRIBE", channel);
        weir_redis_link_flush(c->messages);
    }
}

/* Without the prefix; false: it is not ours. */
static bool channel_of(const struct weir_redis_control *c, const redisReply *name,
                       weir_str *ret_channel)
{
    weir_str prefix = weir_redis_prefix(c->r);
    if (name->type != REDIS_REPLY_STRING || (size_t)name->len <= prefix.n + 1 ||
        memcmp(name->str, prefix.p, prefix.n) != 0) {
        return false;
    }
    *ret_channel = (weir_str){name->str + prefix.n + 1, (size_t)name->len - prefix.n - 1};
    return true;
}

void weir_redis_control_heard(struct weir_redis_control *c, const redisReply *reply)
{
    weir_str channel;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        !channel_of(c, reply->element[1], &channel)) {
        return;
    }
    bool is_beat = weir_str_eq(channel, beat_channel);
    if (strcmp(reply->element[0]->str, "message") == 0 &&
        reply->element[2]->type == REDIS_REPLY_STRING) {
        c->heard_us = weir_clock_mono_us();
        if (!is_beat) {
            weir_store_messages_add(
                &c->r->base.messages, channel,
                (weir_str){reply->element[2]->str, (size_t)reply->element[2]->len});
        }
    } else if (strcmp(reply->element[0]->str, "subscribe") == 0 && !is_beat) {
        /* What was said before this was not heard. */
        weir_store_messages_lose(&c->r->base.messages);
    }
}

static void on_beat_sent(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result; /* what counts is whether it comes back */
}

static void beat(struct weir_redis_control *c)
{
    if (!c->messages || weir_redis_breaker_state(&c->r->breaker) != WEIR_REDIS_CLOSED) {
        return;
    }
    if (weir_clock_mono_us() - c->heard_us > SILENCE_US) {
        weir_redis_control_stop_listening(c);
        weir_redis_control_try_soon(c);
        return;
    }
    (void)weir_store_call(&c->r->base,
                          &(struct weir_store_call){.op = WEIR_STORE_PUBLISH, .key = beat_channel},
                          on_beat_sent, NULL);
}

static void on_beat(uv_timer_t *timer)
{
    struct weir_redis_control *c = timer->data;
    beat(c);
    weir_redis_control_look_after_sentinels(c);
}

void weir_redis_control_start_beat(struct weir_redis_control *c)
{
    (void)uv_timer_start(&c->beat, on_beat, BEAT_MS, BEAT_MS);
}
