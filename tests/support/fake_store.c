/* SPDX-License-Identifier: Apache-2.0 */
/* The store of the fake world. */
#include "tests/support/fake_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/cmocka.h"

enum { MAX_IDS = 4096 };

struct fake_limit {
    struct fake_limit *next;
    char *name;
    __int128 until_ns; /* theoretical arrival time */
};

struct fake_reservation {
    char id[600];
    uint64_t units, expires_us;
    bool keep, settled;
};

struct fake_budget {
    struct fake_budget *next;
    char *name;
    uint64_t used;
    struct fake_reservation *list;
    uint32_t n;
};

enum kind { TAKE, GIVE, RESERVE, SETTLE };

struct item {
    char name[1200];
    uint64_t units, limit, period_us, burst;
};

struct fake_call {
    struct fake_call *next;
    struct fake_host *from;
    enum kind kind;
    struct item items[WEIR_STORE_MAX_LEVELS];
    uint32_t n;
    char id[600];
    uint64_t ttl_ms;
    uint32_t flags;
    weir_store_done done;
    void *arg;
    bool hangs;
    weir_store_result result;
    weir_store_left left[WEIR_STORE_MAX_LEVELS];
};

static char *name_of(weir_str tenant, weir_str key, char out[1200])
{
    assert_true(tenant.n <= 512 && key.n > 0 && key.n <= 512);
    (void)snprintf(out, 1200, "%.*s|%.*s", (int)tenant.n, tenant.p ? tenant.p : "", (int)key.n,
                   key.p);
    return out;
}

static struct fake_limit *limit_at(struct fake_world *w, const char *name)
{
    for (struct fake_limit *l = w->limits; l; l = l->next) {
        if (strcmp(l->name, name) == 0) {
            return l;
        }
    }
    struct fake_limit *l = calloc(1, sizeof(*l));
    l->name = strdup(name);
    l->next = w->limits;
    w->limits = l;
    return l;
}

static struct fake_budget *budget_at(struct fake_world *w, const char *name)
{
    for (struct fake_budget *b = w->budgets; b; b = b->next) {
        if (strcmp(b->name, name) == 0) {
            return b;
        }
    }
    struct fake_budget *b = calloc(1, sizeof(*b));
    b->name = strdup(name);
    b->list = calloc(MAX_IDS, sizeof(*b->list));
    b->next = w->budgets;
    w->budgets = b;
    return b;
}

static struct fake_reservation *reservation_at(struct fake_budget *b, const char *id, bool make)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (strcmp(b->list[i].id, id) == 0) {
            return &b->list[i];
        }
    }
    if (!make) {
        return NULL;
    }
    assert_true(b->n < MAX_IDS);
    struct fake_reservation *r = &b->list[b->n++];
    *r = (struct fake_reservation){.units = 0};
    (void)snprintf(r->id, sizeof(r->id), "%s", id);
    return r;
}

static void age(struct fake_budget *b, uint64_t now_us)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (!b->list[i].settled && !b->list[i].keep && b->list[i].expires_us <= now_us) {
            b->list[i].units = 0;
        }
    }
}

static uint64_t taken(const struct fake_budget *b)
{
    uint64_t sum = b->used;
    for (uint32_t i = 0; i < b->n; i++) {
        sum += b->list[i].units;
    }
    return sum;
}

uint64_t fake_budget_taken(struct fake_world *w, const char *tenant, const char *key)
{
    char name[1200];
    struct fake_budget *b = budget_at(w, name_of(weir_str_from(tenant), weir_str_from(key), name));
    age(b, w->now_us);
    return taken(b);
}

static __int128 span_ns(const struct item *it, uint64_t units)
{
    return ((__int128)units * it->period_us * 1000 + it->limit - 1) / it->limit;
}

/* Rounded-up spans of single units may not cost the last unit of a burst. */
static __int128 depth_ns(const struct item *it)
{
    uint64_t unit_ns = it->period_us * 1000 / it->limit;
    uint64_t slack_ns = unit_ns ? unit_ns - 1 : 0;
    return span_ns(it, it->burst) + (slack_ns < it->burst ? slack_ns : it->burst);
}

static void tell_left(const struct fake_world *w, struct fake_call *c, uint32_t i, __int128 until)
{
    const struct item *it = &c->items[i];
    __int128 now_ns = (__int128)w->now_us * 1000, depth = depth_ns(it);
    __int128 free_ns = depth - (until > now_ns ? until - now_ns : 0);
    c->left[i].units =
        free_ns > 0 ? (int64_t)(free_ns * it->limit / ((__int128)it->period_us * 1000)) : 0;
    c->left[i].reset_us = until > now_ns ? (uint64_t)((until - now_ns) / 1000) : 0;
}

static void do_take(struct fake_world *w, struct fake_call *c)
{
    __int128 now_ns = (__int128)w->now_us * 1000;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct item *it = &c->items[i];
        const struct fake_limit *l = limit_at(w, it->name);
        __int128 from = l->until_ns > now_ns ? l->until_ns : now_ns;
        tell_left(w, c, i, l->until_ns);
        if (c->result.rc == 0 && it->units > it->burst) {
            c->result.rc = WEIR_E_TOOBIG;
            c->result.refused_by = i;
        } else if (c->result.rc == 0 && from + span_ns(it, it->units) - now_ns > depth_ns(it)) {
            c->result.rc = WEIR_E_BUSY;
            c->result.refused_by = i;
        }
    }
    for (uint32_t i = 0; i < c->n && c->result.rc == 0; i++) {
        struct fake_limit *l = limit_at(w, c->items[i].name);
        l->until_ns = (l->until_ns > now_ns ? l->until_ns : now_ns) +
                      span_ns(&c->items[i], c->items[i].units);
        tell_left(w, c, i, l->until_ns);
    }
}

static void do_give(struct fake_world *w, struct fake_call *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        limit_at(w, c->items[i].name)->until_ns -= span_ns(&c->items[i], c->items[i].units);
    }
}

static void do_reserve(struct fake_world *w, struct fake_call *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct fake_budget *b = budget_at(w, c->items[i].name);
        age(b, w->now_us);
        const struct fake_reservation *r = reservation_at(b, c->id, false);
        uint64_t others = taken(b) - (r ? r->units : 0);
        c->left[i].units = (int64_t)c->items[i].limit - (int64_t)taken(b);
        if (c->result.rc == 0 && others + c->items[i].units > c->items[i].limit) {
            c->result.rc = WEIR_E_BUSY;
            c->result.refused_by = i;
        }
    }
    for (uint32_t i = 0; i < c->n && c->result.rc == 0; i++) {
        struct fake_budget *b = budget_at(w, c->items[i].name);
        struct fake_reservation *r = reservation_at(b, c->id, true);
        r->units = c->items[i].units;
        r->expires_us = w->now_us + c->ttl_ms * 1000;
        r->keep = c->flags & WEIR_STORE_KEEP;
        c->left[i].units = (int64_t)c->items[i].limit - (int64_t)taken(b);
    }
}

static void do_settle(struct fake_world *w, struct fake_call *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct fake_budget *b = budget_at(w, c->items[i].name);
        struct fake_reservation *r = reservation_at(b, c->id, true);
        if (!r->settled) {
            r->units = c->items[i].units;
            r->settled = true;
        }
        c->left[i].units = (int64_t)c->items[i].limit - (int64_t)taken(b);
    }
}

static void perform(struct fake_world *w, struct fake_call *c)
{
    switch (c->kind) {
    case TAKE: do_take(w, c); break;
    case GIVE: do_give(w, c); break;
    case RESERVE: do_reserve(w, c); break;
    case SETTLE: do_settle(w, c); break;
    }
}

static void tell(struct fake_world *w, struct fake_call *c)
{
    w->n_waiting--;
    c->result.struct_size = sizeof(c->result);
    if (c->result.rc == 0 || c->result.rc == WEIR_E_BUSY || c->result.rc == WEIR_E_TOOBIG) {
        c->result.left = c->left;
        c->result.n_left = c->n;
    }
    if (c->done) {
        c->done(c->arg, &c->result);
    }
    free(c);
}

static int submit(const weir_host *host, struct fake_call *c, weir_store_done done, void *arg)
{
    struct fake_host *h = (struct fake_host *)host;
    struct fake_world *w = h->world;
    for (uint32_t i = 0; i < c->n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(c->items[i].name, c->items[k].name);
        }
    }
    c->from = h;
    c->done = done;
    c->arg = arg;
    w->n_calls++;
    w->n_waiting++;
    switch (w->fault) {
    case FAKE_STORE_IS_GONE: c->result.rc = WEIR_E_IO; break;
    case FAKE_STORE_IS_FULL: c->result.rc = WEIR_E_NOMEM; break;
    case FAKE_STORE_HANGS: c->hangs = true; break;
    case FAKE_STORE_FORGETS:
        perform(w, c);
        c->hangs = true;
        break;
    case FAKE_STORE_WORKS: perform(w, c); break;
    }
    if (w->is_sync && !c->hangs) {
        tell(w, c);
        return 0;
    }
    struct fake_call **at = &w->calls;
    while (*at) {
        at = &(*at)->next;
    }
    *at = c;
    return 0;
}

static struct fake_call *take_out(struct fake_world *w, struct fake_call **at)
{
    struct fake_call *c = *at;
    (void)w;
    *at = c->next;
    return c;
}

static void resume_due(struct fake_world *w)
{
    fake_advance(w, 0);
}

void fake_answer(struct fake_world *w, uint32_t i)
{
    struct fake_call **at = &w->calls;
    while (*at && ((*at)->hangs || i-- > 0)) {
        at = &(*at)->next;
    }
    if (*at) {
        tell(w, take_out(w, at));
        resume_due(w);
    }
}

static bool can_answer(const struct fake_world *w)
{
    for (const struct fake_call *c = w->calls; c; c = c->next) {
        if (!c->hangs) {
            return true;
        }
    }
    return false;
}

void fake_answer_all(struct fake_world *w)
{
    for (int i = 0; can_answer(w); i++) {
        assert_true(i < 100000); /* calls that breed calls without end */
        fake_answer(w, 0);
    }
}

void fake_time_out(struct fake_world *w)
{
    struct fake_call **at = &w->calls;
    while (*at) {
        if (!(*at)->hangs) {
            at = &(*at)->next;
            continue;
        }
        struct fake_call *c = take_out(w, at);
        c->result.rc = WEIR_E_TIMEOUT;
        tell(w, c);
        at = &w->calls;
    }
    resume_due(w);
}

void fake_store_drop(struct fake_world *w, const struct fake_host *h)
{
    struct fake_call **at = &w->calls;
    while (*at) {
        if ((*at)->from == h) {
            w->n_waiting--;
            free(take_out(w, at));
        } else {
            at = &(*at)->next;
        }
    }
}

void fake_store_finish(struct fake_world *w)
{
    while (w->calls) {
        free(take_out(w, &w->calls));
    }
    while (w->limits) {
        struct fake_limit *l = w->limits;
        w->limits = l->next;
        free(l->name);
        free(l);
    }
    while (w->budgets) {
        struct fake_budget *b = w->budgets;
        w->budgets = b->next;
        free(b->name);
        free(b->list);
        free(b);
    }
}

static int on_levels(const weir_host *h, enum kind kind, weir_str tenant,
                     const weir_store_limit *levels, uint32_t n, weir_store_done done, void *arg)
{
    assert_true(n > 0 && n <= WEIR_STORE_MAX_LEVELS);
    struct fake_call *c = calloc(1, sizeof(*c));
    c->kind = kind;
    c->n = n;
    for (uint32_t i = 0; i < n; i++) {
        c->items[i].units = levels[i].units;
        c->items[i].limit = levels[i].limit;
        c->items[i].period_us = levels[i].period_us;
        c->items[i].burst = levels[i].burst;
        (void)name_of(tenant, levels[i].key, c->items[i].name);
        assert_true(levels[i].limit > 0 && levels[i].period_us > 0);
    }
    return submit(h, c, done, arg);
}

static int take(const weir_host *h, weir_str tenant, const weir_store_limit *levels, uint32_t n,
                weir_store_done done, void *arg)
{
    return on_levels(h, TAKE, tenant, levels, n, done, arg);
}

static int give(const weir_host *h, weir_str tenant, const weir_store_limit *levels, uint32_t n,
                weir_store_done done, void *arg)
{
    return on_levels(h, GIVE, tenant, levels, n, done, arg);
}

/* ---- limits at hand ---- */

struct weir_store_limit_state {
    struct item item;
};

static int limit_open(const weir_host *h, weir_str tenant, const weir_store_limit *l,
                      weir_store_limit_state **ret_state)
{
    (void)h;
    weir_store_limit_state *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->item.limit = l->limit;
    s->item.period_us = l->period_us;
    s->item.burst = l->burst;
    (void)name_of(tenant, l->key, s->item.name);
    *ret_state = s;
    return 0;
}

static void limit_close(const weir_host *h, weir_store_limit_state *s)
{
    (void)h;
    free(s);
}

static void fill(struct fake_call *c, weir_store_limit_state *const *limits, const uint64_t *units,
                 uint32_t n)
{
    assert_true(n > 0 && n <= WEIR_STORE_MAX_LEVELS);
    *c = (struct fake_call){.n = n};
    for (uint32_t i = 0; i < n; i++) {
        c->items[i] = limits[i]->item;
        c->items[i].units = units[i];
    }
}

static int limit_take(const weir_host *h, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n, int64_t *ret_left)
{
    struct fake_call c;
    fill(&c, limits, units, n);
    do_take(((const struct fake_host *)h)->world, &c);
    for (uint32_t i = 0; i < n; i++) {
        ret_left[i] = c.left[i].units;
    }
    return c.result.rc;
}

static int limit_give(const weir_host *h, weir_store_limit_state *const *limits,
                      const uint64_t *units, uint32_t n)
{
    struct fake_call c;
    fill(&c, limits, units, n);
    do_give(((const struct fake_host *)h)->world, &c);
    return 0;
}

static struct fake_call *holds_call(enum kind kind, weir_str tenant, const weir_store_hold *holds,
                                    uint32_t n, weir_str id)
{
    assert_true(n > 0 && n <= WEIR_STORE_MAX_LEVELS && id.n > 0 && id.n <= 512);
    struct fake_call *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->kind = kind;
    c->n = n;
    (void)snprintf(c->id, sizeof(c->id), "%.*s", (int)id.n, id.p);
    for (uint32_t i = 0; i < n; i++) {
        c->items[i].units = holds[i].units;
        c->items[i].limit = holds[i].limit;
        (void)name_of(tenant, holds[i].key, c->items[i].name);
    }
    return c;
}

static int reserve(const weir_host *h, weir_str tenant, const weir_store_hold *holds, uint32_t n,
                   weir_str id, uint64_t ttl_ms, uint32_t flags, weir_store_done done, void *arg)
{
    struct fake_call *c = holds_call(RESERVE, tenant, holds, n, id);
    c->ttl_ms = ttl_ms;
    c->flags = flags;
    return submit(h, c, done, arg);
}

static int settle(const weir_host *h, weir_str tenant, const weir_store_hold *holds, uint32_t n,
                  weir_str id, weir_store_done done, void *arg)
{
    return submit(h, holds_call(SETTLE, tenant, holds, n, id), done, arg);
}

/* ---- budgets at hand ---- */

struct weir_store_budget_state {
    char name[1200];
    uint32_t n_held;
    bool is_closed;
};

static int budget_open(const weir_host *h, weir_str tenant, weir_str key,
                       weir_store_budget_state **ret_state)
{
    (void)h;
    weir_store_budget_state *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    (void)name_of(tenant, key, s->name);
    *ret_state = s;
    return 0;
}

static void end_if_unused(weir_store_budget_state *s)
{
    if (s->is_closed && s->n_held == 0) {
        free(s);
    }
}

static void budget_close(const weir_host *h, weir_store_budget_state *s)
{
    (void)h;
    assert_false(s->is_closed);
    s->is_closed = true;
    end_if_unused(s);
}

static int fault_of(struct fake_world *w)
{
    w->n_calls++;
    assert_true(w->fault != FAKE_STORE_HANGS && w->fault != FAKE_STORE_FORGETS);
    return w->fault == FAKE_STORE_WORKS ? 0 : WEIR_E_NOMEM;
}

static int budget_hold(const weir_host *host, weir_store_holding *h, uint32_t n,
                       uint32_t *ret_refused_by)
{
    struct fake_world *w = ((const struct fake_host *)host)->world;
    int rc = fault_of(w);
    assert_true(n > 0 && n <= WEIR_STORE_MAX_LEVELS);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        assert_true(!h[i].budget->is_closed && h[i].mark == 0);
        if (taken(budget_at(w, h[i].budget->name)) + h[i].units > h[i].limit) {
            rc = WEIR_E_BUSY;
            *ret_refused_by = i;
        }
    }
    for (uint32_t i = 0; i < n && rc != WEIR_E_NOMEM; i++) {
        struct fake_budget *b = budget_at(w, h[i].budget->name);
        if (rc == 0) {
            char id[32];
            h[i].mark = ++w->last_id;
            (void)snprintf(id, sizeof(id), "at hand %llu", (unsigned long long)h[i].mark);
            *reservation_at(b, id, true) =
                (struct fake_reservation){.units = h[i].units, .keep = true};
            (void)snprintf(b->list[b->n - 1].id, sizeof(b->list->id), "%s", id);
            h[i].budget->n_held++;
        }
        h[i].left = (int64_t)h[i].limit - (int64_t)taken(b);
    }
    return rc;
}

static int budget_settle(const weir_host *host, weir_store_holding *h, uint32_t n)
{
    struct fake_world *w = ((const struct fake_host *)host)->world;
    int rc = fault_of(w);
    assert_true(n > 0 && n <= WEIR_STORE_MAX_LEVELS);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct fake_budget *b = budget_at(w, h[i].budget->name);
        assert_true(h[i].mark || !h[i].budget->is_closed);
        if (h[i].mark) {
            char id[32];
            (void)snprintf(id, sizeof(id), "at hand %llu", (unsigned long long)h[i].mark);
            reservation_at(b, id, false)->units = 0;
            h[i].budget->n_held--;
        }
        b->used += h[i].units;
        h[i].left = (int64_t)h[i].limit - (int64_t)taken(b);
        h[i].mark = 0;
        end_if_unused(h[i].budget);
    }
    return rc;
}

const weir_ext_store fake_store_template = {
    .struct_size = sizeof(weir_ext_store),
    .take = take,
    .give = give,
    .reserve = reserve,
    .settle = settle,
    .limit_open = limit_open,
    .limit_close = limit_close,
    .limit_take = limit_take,
    .limit_give = limit_give,
    .budget_open = budget_open,
    .budget_close = budget_close,
    .budget_hold = budget_hold,
    .budget_settle = budget_settle,
};
