/* SPDX-License-Identifier: Apache-2.0 */
#include "expiry.h"

#include <stdio.h>
#include <yyjson.h>

#include "idempotency.h"

enum { AT_A_TIME = 64, LEASE_MS = 60 * 1000, GRACE_MS = 60 * 1000, NAME_BYTES = 512 };

static void ignore(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)
        result; /* a record that stays costs memory, and is overwritten when its key comes again */
}

/* The job's id is the record's name and tenant: it needs no value. */
void billing_expiry_plan(struct billing *b, weir_str tenant, const char *name)
{
    char bytes[NAME_BYTES];
    struct billing_text id = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_text_literal(&id, name);
    billing_text_add(&id, tenant);
    if (!id.failed) {
        (void)b->store->job_put(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_EXPIRED),
                                billing_text_view(&id), weir_str_from("{}"),
                                BILLING_IDEM_KEEP_US / 1000 + GRACE_MS, ignore, NULL);
    }
}

/* One claimed job, until its record has been looked at. */
struct expired {
    struct billing *b;
    size_t n_id;
    char id[]; /* name, then tenant */
};

static void forget(struct expired *e)
{
    (void)e->b->store->job_ack(e->b->host, (weir_str){NULL, 0},
                               weir_str_from(BILLING_QUEUE_EXPIRED), (weir_str){e->id, e->n_id},
                               ignore, NULL);
    e->b->host->free(e->b->host, e);
}

static weir_str name_of(const struct expired *e)
{
    return (weir_str){e->id, BILLING_IDEM_BYTES - 1};
}

static weir_str tenant_of(const struct expired *e)
{
    return (weir_str){e->id + BILLING_IDEM_BYTES - 1, e->n_id - (BILLING_IDEM_BYTES - 1)};
}

static void on_found(void *arg, const weir_store_result *result)
{
    struct expired *e = arg;
    if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        e->b->host->free(e->b->host, e); /* its lease runs out, then it is claimed again */
        return;
    }
    if (result->rc == 0 &&
        billing_idempotency_expires_us(result->value) <= e->b->host->wall_us(e->b->host)) {
        (void)e->b->store->put(e->b->host, tenant_of(e), weir_str_from(BILLING_COLLECTION_IDEM),
                               name_of(e), (weir_str){"", 0}, (uint64_t)result->number, ignore,
                               NULL);
    }
    forget(e);
}

static void look_at(struct billing *b, weir_str id)
{
    struct expired *e =
        id.n >= BILLING_IDEM_BYTES - 1 ? b->host->alloc(b->host, sizeof(*e) + id.n) : NULL;
    if (!e) {
        return;
    }
    *e = (struct expired){.b = b, .n_id = id.n};
    memcpy(e->id, id.p, id.n);
    int rc = b->store->find(b->host, tenant_of(e), weir_str_from(BILLING_COLLECTION_IDEM),
                            name_of(e), on_found, e);
    if (rc < 0) {
        b->host->free(b->host, e);
    }
}

static void on_claimed(void *arg, const weir_store_result *result)
{
    for (uint32_t i = 0; result->rc >= 0 && i < result->n_items; i++) {
        look_at(arg, result->items[i].key);
    }
}

void billing_expiry_claim(struct billing *b)
{
    (void)b->store->job_claim(b->host, (weir_str){NULL, 0}, weir_str_from(BILLING_QUEUE_EXPIRED),
                              AT_A_TIME, LEASE_MS, on_claimed, b);
}
