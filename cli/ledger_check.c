/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_check.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "cli/ledger_sums.h"
#include "price_book.h"

struct chain { /* of an adjusted request */
    char *id;
    int64_t next_seq;
    bool broken;
    struct weir_ledger_totals sum;
    struct weir_ledger_price price; /* of the last entry */
};

struct weir_ledger_check {
    void (*report)(void *arg, const char *problem);
    void *arg;
    uint64_t n_problems;
    char month[8];
    uint64_t next_place; /* 0: any */
    XXH128_hash_t *seen; /* of id and number of each entry */
    size_t n_seen, cap_seen;
    void *chains; /* tree of struct chain */
};

__attribute__((format(printf, 2, 3))) static void problem(struct weir_ledger_check *c,
                                                          const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->n_problems++;
    c->report(c->arg, text);
}

static int compare_chains(const void *a, const void *b)
{
    return strcmp(((const struct chain *)a)->id, ((const struct chain *)b)->id);
}

static void free_chain(void *p)
{
    struct chain *chain = p;
    free(chain->id);
    free(chain);
}

int weir_ledger_check_create(void (*report)(void *arg, const char *problem), void *arg,
                             struct weir_ledger_check **ret_check)
{
    struct weir_ledger_check *c = calloc(1, sizeof(*c));
    if (!c) {
        return WEIR_E_NOMEM;
    }
    c->report = report;
    c->arg = arg;
    *ret_check = c;
    return 0;
}

void weir_ledger_check_destroy(struct weir_ledger_check *c)
{
    if (c) {
        tdestroy(c->chains, free_chain);
        free(c->seen);
        free(c);
    }
}

static void check_place(struct weir_ledger_check *c, const struct weir_ledger_entry *e)
{
    if (strcmp(c->month, e->month) != 0) { /* each month counts its places from 1 */
        (void)snprintf(c->month, sizeof(c->month), "%s", e->month);
        c->next_place = 1;
    }
    if (e->place != c->next_place) {
        problem(c, "%s: place %llu follows where %llu is due", e->month,
                (unsigned long long)e->place, (unsigned long long)c->next_place);
    }
    c->next_place = e->place + 1;
}

static int remember(struct weir_ledger_check *c, const struct weir_ledger_entry *e)
{
    if (c->n_seen == c->cap_seen) {
        size_t cap = c->cap_seen ? 2 * c->cap_seen : 1024;
        XXH128_hash_t *seen = reallocarray(c->seen, cap, sizeof(*seen));
        if (!seen) {
            return WEIR_E_NOMEM;
        }
        c->seen = seen;
        c->cap_seen = cap;
    }
    char name[128];
    int n = snprintf(name, sizeof(name), "%s/%lld", e->id, (long long)e->seq);
    c->seen[c->n_seen++] = XXH3_128bits(name, (size_t)n);
    return 0;
}

static int64_t amount_of(const struct weir_ledger_totals *t, const struct weir_ledger_price *p)
{
    const struct price price = {.prompt = p->prompt,
                                .cached = p->cached,
                                .completion = p->completion,
                                .request = p->request,
                                .gpu_second = p->gpu_second};
    const struct price_usage usage = {.prompt_tokens = (uint64_t)t->prompt,
                                      .cached_tokens = (uint64_t)t->cached,
                                      .completion_tokens = (uint64_t)t->delivered,
                                      .requests = (uint64_t)t->requests,
                                      .gpu_us = (uint64_t)t->gpu_us};
    return p->is_there ? (int64_t)price_amount(&price, &usage) : 0;
}

static bool is_possible(const struct weir_ledger_totals *t)
{
    return t->requests >= 0 && t->requests <= 1 && t->prompt >= 0 && t->cached >= 0 &&
           t->cached <= t->prompt && t->delivered >= 0 && t->delivered <= t->completion &&
           t->gpu_us >= 0;
}

static void check_totals(struct weir_ledger_check *c, const char *id,
                         const struct weir_ledger_totals *t, const struct weir_ledger_price *price)
{
    if (!is_possible(t)) {
        problem(c,
                "%s: its numbers cannot be: %lld requests, %lld prompt, %lld cached, %lld of "
                "%lld tokens delivered",
                id, (long long)t->requests, (long long)t->prompt, (long long)t->cached,
                (long long)t->delivered, (long long)t->completion);
    } else if (t->amount != amount_of(t, price)) {
        problem(c, "%s: its amount is %lld micro-units; its tokens and price make %lld", id,
                (long long)t->amount, (long long)amount_of(t, price));
    }
}

static struct chain *find_chain(const struct weir_ledger_check *c, const char *id)
{
    const struct chain wanted = {.id = (char *)id};
    void *node = tfind(&wanted, &c->chains, compare_chains);
    return node ? *(struct chain **)node : NULL;
}

static int add_chain(struct weir_ledger_check *c, const char *id)
{
    if (find_chain(c, id)) {
        return 0;
    }
    struct chain *chain = calloc(1, sizeof(*chain));
    if (!chain) {
        return WEIR_E_NOMEM;
    }
    chain->id = strdup(id);
    if (!chain->id || !tsearch(chain, &c->chains, compare_chains)) {
        free_chain(chain);
        return WEIR_E_NOMEM;
    }
    return 0;
}

int weir_ledger_check_first(struct weir_ledger_check *c, const struct weir_ledger_entry *e)
{
    check_place(c, e);
    if (remember(c, e) < 0) {
        return WEIR_E_NOMEM;
    }
    if (e->seq > 0) {
        return add_chain(c, e->id);
    }
    check_totals(c, e->id, &e->add, &e->price);
    return 0;
}

bool weir_ledger_check_needs_second(const struct weir_ledger_check *c)
{
    return c->chains != NULL;
}

int weir_ledger_check_second(struct weir_ledger_check *c, const struct weir_ledger_entry *e)
{
    struct chain *chain = find_chain(c, e->id);
    if (!chain) {
        return 0;
    }
    if (e->seq != chain->next_seq && !chain->broken) {
        chain->broken = true;
        problem(c, "%s: entry %lld follows where %lld is due", e->id, (long long)e->seq,
                (long long)chain->next_seq);
    }
    chain->next_seq = e->seq + 1;
    chain->price = e->price;
    weir_ledger_totals_add(&chain->sum, &e->add);
    return 0;
}

static int compare_hashes(const void *a, const void *b)
{
    return XXH128_cmp(a, b);
}

static void finish_chain(const void *node, VISIT which, void *closure)
{
    const struct chain *chain = *(struct chain *const *)node;
    if (which == postorder || which == leaf) {
        check_totals(closure, chain->id, &chain->sum, &chain->price);
    }
}

uint64_t weir_ledger_check_finish(struct weir_ledger_check *c)
{
    uint64_t n_twice = 0;
    if (c->n_seen) {
        qsort(c->seen, c->n_seen, sizeof(*c->seen), compare_hashes);
    }
    for (size_t i = 1; i < c->n_seen; i++) {
        n_twice += XXH128_isEqual(c->seen[i - 1], c->seen[i]);
    }
    if (n_twice) {
        problem(c, "%llu entries are there twice", (unsigned long long)n_twice);
    }
    twalk_r(c->chains, finish_chain, c);
    return c->n_problems;
}
