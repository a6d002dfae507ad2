/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/faulty_store.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

struct faulty_call { /* an answer that waits */
    struct faulty_call *next;
    struct weir_store_then then;
    weir_store_result result;
    weir_store_item *items;
    char *bytes;
};

static struct faulty_store *from(struct weir_store *s)
{
    return (struct faulty_store *)s;
}

static weir_str keep(char **at, weir_str s)
{
    weir_str copy = {*at, s.n};
    if (s.n) {
        memcpy(*at, s.p, s.n);
        *at += s.n;
    }
    return copy;
}

static void copy_result(void *arg, const weir_store_result *r)
{
    struct faulty_call *c = arg;
    size_t n = r->value.n;
    for (uint32_t i = 0; i < r->n_items; i++) {
        n += r->items[i].key.n + r->items[i].value.n;
    }
    c->result = *r;
    char *at = c->bytes = malloc(n + 1);
    c->items = calloc(r->n_items + 1, sizeof(*c->items));
    assert_non_null(at);
    assert_non_null(c->items);
    c->result.value = keep(&at, r->value);
    for (uint32_t i = 0; i < r->n_items; i++) {
        c->items[i] = r->items[i];
        c->items[i].key = keep(&at, r->items[i].key);
        c->items[i].value = keep(&at, r->items[i].value);
    }
    c->result.items = c->items;
}

static void free_call(struct faulty_call *c)
{
    free(c->items);
    free(c->bytes);
    free(c);
}

static int call(struct weir_store *s, const struct weir_store_call *c,
                const struct weir_store_then *then)
{
    struct faulty_store *f = from(s);
    enum fault fault = f->decide ? f->decide(f->arg, f->n_calls, c->op) : FAULT_NONE;
    f->n_calls++;
    struct faulty_call *kept = calloc(1, sizeof(*kept));
    assert_non_null(kept);
    kept->then = *then;
    if (fault == FAULT_AWAY || fault == FAULT_AWAY_LATE || fault == FAULT_DEAD) {
        kept->result.rc = WEIR_E_IO;
    } else {
        struct weir_store_call inner = *c;
        inner.owner = NULL;
        int rc = weir_store_call(f->inner, &inner, copy_result, kept);
        if (rc < 0) {
            free_call(kept);
            return rc;
        }
        if (fault == FAULT_UNKNOWN) {
            kept->result = (weir_store_result){.rc = WEIR_E_TIMEOUT};
        }
    }
    if (fault == FAULT_NONE || fault == FAULT_AWAY) {
        weir_store_complete(s, then, &kept->result);
        free_call(kept);
    } else {
        *(f->last ? &f->last->next : &f->first) = kept;
        f->last = kept;
    }
    return 0;
}

static void destroy(struct weir_store *s)
{
    (void)s;
}

static const struct weir_store_driver driver = {
    .name = "faulty", .flags = WEIR_STORE_SHARED, .call = call, .destroy = destroy};

void faulty_store_init(struct faulty_store *f, struct weir_store *inner)
{
    *f = (struct faulty_store){.inner = inner};
    assert_int_equal(weir_store_init(&f->store, &driver), 0);
}

uint32_t faulty_store_release(struct faulty_store *f)
{
    uint32_t n = 0;
    while (f->first) {
        struct faulty_call *c = f->first;
        f->first = c->next;
        if (!f->first) {
            f->last = NULL;
        }
        weir_store_complete(&f->store, &c->then, &c->result);
        free_call(c);
        n++;
    }
    return n;
}

void faulty_store_finish(struct faulty_store *f)
{
    while (f->first) {
        struct faulty_call *c = f->first;
        f->first = c->next;
        free_call(c);
    }
    f->last = NULL;
    weir_store_finish(&f->store);
}
