/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter.h"

#include <stdlib.h>
#include <string.h>

/* No call, nothing debited or owed. */
static bool is_idle(const struct level_entry *e)
{
    const struct subject *s = (const struct subject *)e;
    if (subject_stays(s) || s->is_dirty || s->slots.reserved || s->slots.running) {
        return false;
    }
    for (unsigned i = 0; i < LIMIT_MAX_RATES; i++) {
        if (s->buckets[i] && s->buckets[i]->balance != 0) {
            return false;
        }
    }
    return true;
}

static void finish(struct level_entry *e)
{
    struct subject *s = (struct subject *)e;
    if (s->limiter) {
        direct_close(s);
    }
    for (unsigned i = 0; i < LIMIT_MAX_RATES; i++) {
        free(s->buckets[i]);
    }
    free(s->prefix);
}

const struct level_entry_type subject_type = {sizeof(struct subject), is_idle, finish};

static int put_rate(struct subject *s, const struct rate *rate, bool leased, uint64_t now_us)
{
    unsigned at = (unsigned)rate->resource * PERIOD__COUNT + rate->period;
    if (!s->buckets[at]) {
        s->buckets[at] = malloc(sizeof(*s->buckets[at]));
        if (!s->buckets[at]) {
            return WEIR_E_NOMEM;
        }
        bucket_init(s->buckets[at], rate, leased);
        s->made |= (uint16_t)(1u << at);
    } else if (!bucket_is_of(s->buckets[at], rate)) {
        bucket_change(s->buckets[at], rate, leased, now_us);
    }
    limit_text_make(&s->buckets[at]->text, level_name((enum level)s->e.level), rate);
    s->active |= (uint16_t)(1u << at);
    return 0;
}

static int make_prefix(struct subject *s)
{
    char buffer[LEVEL_KEY_BYTES];
    struct text t = text_on(buffer, sizeof(buffer));
    level_key_add(&t, "ratelimit", (enum level)s->e.level, level_entry_name(&s->e));
    s->prefix = malloc(t.n);
    if (!s->prefix) {
        return WEIR_E_NOMEM;
    }
    memcpy(s->prefix, buffer, t.n);
    s->prefix_len = (uint32_t)t.n;
    return 0;
}

static int make_limits(struct subject *s, yyjson_val *const *found, int n, bool leased,
                       uint64_t now_us)
{
    struct limit_set set = {.n_rates = 0};
    for (int i = 0; i < n; i++) {
        limit_set_add(&set, found[i]);
    }
    if (!s->prefix && (set.n_rates || set.concurrent) && make_prefix(s) < 0) {
        return WEIR_E_NOMEM;
    }
    s->active = 0;
    for (uint32_t i = 0; i < set.n_rates; i++) {
        int rc = put_rate(s, &set.rates[i], leased, now_us);
        if (rc < 0) {
            return rc;
        }
    }
    s->slots.limit = set.concurrent;
    s->slots.left_at_us = 0;
    if (set.concurrent) {
        s->active |= 1u << SUBJECT_SLOT;
    }
    return 0;
}

int subject_update(struct subject *s, const struct level_source *from, bool leased, uint64_t now_us)
{
    struct rules key;
    uint64_t version;
    yyjson_val *found[RULES_MAX];
    int n = level_entry_find_rules(&s->e, from, &key, &version, found);
    int rc = n < 0 || version == s->e.version ? n : make_limits(s, found, n, leased, now_us);
    rules_finish(&key);
    if (rc == 0) {
        s->e.version = version;
    }
    return rc;
}

void subject_key(const struct subject *s, const struct rate *rate, struct text *to)
{
    text_add(to, (weir_str){s->prefix, s->prefix_len});
    text_add(to, weir_str_from(rate ? limit_suffix(rate) : "slots"));
    if (rate) { /* a changed limit is another one, and begins anew */
        text_add_char(to, '/');
        text_add_u64(to, rate->limit);
        text_add_char(to, '/');
        text_add_u64(to, rate->burst);
    }
}
