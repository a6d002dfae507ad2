/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_records.h"

#include <stdlib.h>

#define COLLECTION "tenants"
#define CHANNEL "tenants"

enum { PAGE = 256, LIST_EVERY_US = 30 * 1000000, LIST_RETRY_US = 1000000 };

struct waiter {
    struct waiter *next;
    weir_tenant_records_done done;
    void *arg;
    int rc; /* of what it waited for; a failure is kept although the reading works */
};

struct reading { /* one name that is read anew */
    struct weir_tenant_records *records;
    bool busy;
    bool again; /* it was asked for while the read was under way, which may have been too early */
    char text[WEIR_TENANT_MAX_NAME_BYTES];
    weir_str name;
    struct waiter *waiters; /* for this read */
    struct waiter *later;   /* for the next */
};

struct weir_tenant_records {
    struct weir_tenants *tenants;
    struct weir_store *store;
    struct weir_store_owner *owner;
    struct weir_store_subscription *subscription;
    struct reading readings[WEIR_TENANT_RECORDS_MAX_READS];
    size_t n_readings;
    bool listing;
    bool looping; /* inside list_pages(): a store that answers at once does not make it recurse */
    bool next_page;
    bool list_wanted; /* at once */
    uint64_t now_us, next_list_us;
    char after[WEIR_TENANT_MAX_NAME_BYTES];
    size_t after_len;
    atomic_bool tried, read;
};

static int call(struct weir_tenant_records *rs, struct weir_store_call *c, weir_store_done done,
                void *arg)
{
    c->owner = rs->owner;
    return weir_store_call(rs->store, c, done, arg);
}

/* ---- one record ---- */

static void start_reading(struct reading *rd);

static void tell(struct waiter *list, int rc, uint64_t number)
{
    while (list) {
        struct waiter *w = list;
        list = w->next;
        w->done(w->arg, w->rc < 0 ? w->rc : rc, number);
        free(w);
    }
}

static void end_reading(struct reading *rd, int rc, uint64_t number)
{
    struct weir_tenant_records *rs = rd->records;
    struct waiter *waiters = rd->waiters;
    rd->waiters = NULL;
    if (rd->again) {
        rd->again = false;
        rd->waiters = rd->later;
        rd->later = NULL;
        start_reading(rd);
    } else {
        rd->busy = false;
        rs->n_readings--;
    }
    tell(waiters, rc, number);
}

static void record_came(void *arg, const weir_store_result *result)
{
    struct reading *rd = arg;
    int rc = result->rc;
    bool gone = rc == WEIR_E_NOTFOUND;
    if (rc == 0 || gone) {
        rc = weir_tenants_set_record(rd->records->tenants, rd->name,
                                     gone ? (weir_str){NULL, 0} : result->value,
                                     gone ? 0 : (uint64_t)result->number);
    } else {
        rd->records->list_wanted = true;
    }
    end_reading(rd, rc, gone || result->rc < 0 ? 0 : (uint64_t)result->number);
}

static void start_reading(struct reading *rd)
{
    struct weir_store_call c = {
        .op = WEIR_STORE_FIND, .key = WEIR_STR_INIT(COLLECTION), .id = rd->name};
    int rc = call(rd->records, &c, record_came, rd);
    if (rc < 0) {
        rd->records->list_wanted = true;
        end_reading(rd, rc, 0);
    }
}

static struct reading *find_reading(struct weir_tenant_records *rs, weir_str name)
{
    struct reading *spare = NULL;
    for (size_t i = 0; i < WEIR_TENANT_RECORDS_MAX_READS; i++) {
        struct reading *rd = &rs->readings[i];
        if (rd->busy && weir_str_eq(rd->name, name)) {
            return rd;
        }
        spare = spare || rd->busy ? spare : rd;
    }
    return spare;
}

static void read_anew(struct weir_tenant_records *rs, weir_str name, struct waiter *waiter)
{
    struct reading *rd = find_reading(rs, name);
    if (!rd || name.n > WEIR_TENANT_MAX_NAME_BYTES) {
        rs->list_wanted = true;
        tell(waiter, WEIR_E_NOMEM, 0);
        return;
    }
    if (rd->busy) {
        rd->again = true;
        if (waiter) {
            waiter->next = rd->later;
            rd->later = waiter;
        }
        return;
    }
    *rd = (struct reading){.records = rs, .busy = true, .waiters = waiter};
    memcpy(rd->text, name.p, name.n);
    rd->name = (weir_str){rd->text, name.n};
    rs->n_readings++;
    start_reading(rd);
}

static struct waiter *make_waiter(weir_tenant_records_done done, void *arg)
{
    struct waiter *w = calloc(1, sizeof(*w));
    if (!w) {
        done(arg, WEIR_E_NOMEM, 0);
        return NULL;
    }
    w->done = done;
    w->arg = arg;
    return w;
}

void weir_tenant_records_read(struct weir_tenant_records *rs, weir_str name,
                              weir_tenant_records_done done, void *arg)
{
    struct waiter *w = make_waiter(done, arg);
    if (w) {
        read_anew(rs, name, w);
    }
}

/* ---- changes ---- */

struct writing {
    struct weir_tenant_records *records;
    struct waiter *waiter;
    weir_str name; /* points behind the struct */
};

static void ignore(void *arg, const weir_store_result *result)
{
    (void)arg;
    (void)result;
}

static struct writing *make_writing(struct weir_tenant_records *rs, weir_str name,
                                    weir_tenant_records_done done, void *arg)
{
    struct waiter *waiter = make_waiter(done, arg);
    struct writing *w = waiter ? malloc(sizeof(*w) + name.n) : NULL;
    if (!w) {
        tell(waiter, WEIR_E_NOMEM, 0);
        return NULL;
    }
    char *text = (char *)(w + 1);
    memcpy(text, name.p, name.n);
    *w = (struct writing){rs, waiter, {text, name.n}};
    return w;
}

/* Tells the other replicas, reads it back, and then whoever waits is told. */
static void end_writing(struct writing *w, int rc)
{
    if (rc == 0) {
        struct weir_store_call c = {
            .op = WEIR_STORE_PUBLISH, .key = WEIR_STR_INIT(CHANNEL), .value = w->name};
        (void)call(w->records, &c, ignore, NULL); /* lost: the others' next list shows it */
    }
    w->waiter->rc = rc;
    read_anew(w->records, w->name, w->waiter);
    free(w);
}

static void written(void *arg, const weir_store_result *result)
{
    end_writing(arg, result->rc);
}

static void put(struct writing *w, weir_str record, uint64_t number)
{
    struct weir_store_call c = {.op = WEIR_STORE_PUT,
                                .key = WEIR_STR_INIT(COLLECTION),
                                .id = w->name,
                                .value = record,
                                .number = number};
    int rc = call(w->records, &c, written, w);
    if (rc < 0) {
        end_writing(w, rc);
    }
}

void weir_tenant_records_put(struct weir_tenant_records *rs, weir_str name, weir_str record,
                             uint64_t number, weir_tenant_records_done done, void *arg)
{
    struct writing *w = make_writing(rs, name, done, arg);
    if (w) {
        put(w, record, number);
    }
}

static void erased(void *arg, const weir_store_result *result)
{
    if (result->rc < 0) {
        end_writing(arg, result->rc);
    } else {
        put(arg, (weir_str){NULL, 0}, WEIR_STORE_ANY_VERSION);
    }
}

void weir_tenant_records_erase(struct weir_tenant_records *rs, weir_str name,
                               weir_tenant_records_done done, void *arg)
{
    struct writing *w = make_writing(rs, name, done, arg);
    if (!w) {
        return;
    }
    struct weir_store_call c = {.op = WEIR_STORE_ERASE, .tenant = w->name};
    int rc = call(rs, &c, erased, w);
    if (rc < 0) {
        end_writing(w, rc);
    }
}

/* ---- the list ---- */

static void list_pages(struct weir_tenant_records *rs);

static void end_list(struct weir_tenant_records *rs, bool good)
{
    rs->listing = false;
    rs->next_list_us = rs->now_us + (good ? LIST_EVERY_US : LIST_RETRY_US);
    atomic_store_explicit(&rs->tried, true, memory_order_relaxed);
    if (good) {
        atomic_store_explicit(&rs->read, true, memory_order_relaxed);
    }
}

/* Records that the registry has and the page does not: they are read anew, one by one. */
struct gap {
    const weir_store_result *page;
    weir_str after, last; /* last empty: up to the end */
    weir_str names[64];
    size_t n;
};

static int order(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static void note_missing(void *arg, const struct weir_tenant *t)
{
    struct gap *g = arg;
    if (t->record.n == 0 || g->n == 64 || order(t->name, g->after) <= 0 ||
        (g->last.n && order(t->name, g->last) > 0)) {
        return;
    }
    for (uint32_t i = 0; i < g->page->n_items; i++) {
        if (weir_str_eq(g->page->items[i].key, t->name)) {
            return;
        }
    }
    g->names[g->n++] = t->name;
}

static void read_missing(struct weir_tenant_records *rs, const weir_store_result *page)
{
    bool more = page->more && page->n_items;
    struct gap g = {.page = page,
                    .after = {rs->after, rs->after_len},
                    .last = more ? page->items[page->n_items - 1].key : (weir_str){NULL, 0}};
    weir_tenants_each(rs->tenants, note_missing, &g);
    char names[64][WEIR_TENANT_MAX_NAME_BYTES];
    size_t lens[64];
    for (size_t i = 0; i < g.n; i++) { /* copied: reading changes the registry */
        memcpy(names[i], g.names[i].p, g.names[i].n);
        lens[i] = g.names[i].n;
    }
    for (size_t i = 0; i < g.n; i++) {
        read_anew(rs, (weir_str){names[i], lens[i]}, NULL);
    }
    rs->list_wanted = rs->list_wanted || g.n == 64;
}

/* The first list is taken as it is. Later ones only show what differs: a record that was read on
 * its own meanwhile is newer than the page. */
static void take_page(struct weir_tenant_records *rs, const weir_store_result *page)
{
    bool first = !weir_tenant_records_are_read(rs);
    for (uint32_t i = 0; i < page->n_items; i++) {
        const weir_store_item *item = &page->items[i];
        const struct weir_tenant *t = weir_tenants_find(rs->tenants, item->key);
        if (t && t->record_number >= item->number) {
            continue;
        }
        if (first) {
            (void)weir_tenants_set_record(rs->tenants, item->key, item->value, item->number);
        } else {
            read_anew(rs, item->key, NULL);
        }
    }
}

static void page_came(void *arg, const weir_store_result *page)
{
    struct weir_tenant_records *rs = arg;
    if (page->rc < 0) {
        end_list(rs, false);
        return;
    }
    take_page(rs, page);
    read_missing(rs, page);
    if (!page->more || page->n_items == 0) {
        end_list(rs, true);
        return;
    }
    weir_str last = page->items[page->n_items - 1].key;
    rs->after_len = last.n < sizeof(rs->after) ? last.n : sizeof(rs->after);
    memcpy(rs->after, last.p, rs->after_len);
    rs->next_page = true;
    if (!rs->looping) {
        list_pages(rs);
    }
}

static void list_pages(struct weir_tenant_records *rs)
{
    rs->looping = true;
    do {
        rs->next_page = false;
        struct weir_store_call c = {.op = WEIR_STORE_LIST,
                                    .key = WEIR_STR_INIT(COLLECTION),
                                    .id = {rs->after, rs->after_len},
                                    .n = PAGE};
        if (call(rs, &c, page_came, rs) < 0) {
            end_list(rs, false);
        }
    } while (rs->next_page);
    rs->looping = false;
}

void weir_tenant_records_tick(struct weir_tenant_records *rs, uint64_t now_us)
{
    rs->now_us = now_us;
    if (rs->listing || (!rs->list_wanted && now_us < rs->next_list_us)) {
        return;
    }
    rs->listing = true;
    rs->list_wanted = false;
    rs->after_len = 0;
    list_pages(rs);
}

static void on_message(void *arg, weir_str message, int lost)
{
    struct weir_tenant_records *rs = arg;
    if (lost) {
        rs->list_wanted = true;
    } else {
        read_anew(rs, message, NULL);
    }
}

/* ---- life ---- */

int weir_tenant_records_create(struct weir_tenants *tenants, struct weir_store *store,
                               struct weir_tenant_records **ret_records)
{
    struct weir_tenant_records *rs = calloc(1, sizeof(*rs));
    if (!rs) {
        return WEIR_E_NOMEM;
    }
    rs->tenants = tenants;
    rs->store = store;
    rs->list_wanted = true;
    rs->owner = weir_store_owner_create(NULL, NULL);
    int rc = rs->owner ? weir_store_subscribe(store, (weir_str)WEIR_STR_INIT(CHANNEL), on_message,
                                              rs, &rs->subscription)
                       : WEIR_E_NOMEM;
    if (rc < 0) {
        weir_tenant_records_destroy(rs);
        return rc;
    }
    *ret_records = rs;
    return 0;
}

void weir_tenant_records_destroy(struct weir_tenant_records *rs)
{
    if (!rs) {
        return;
    }
    if (rs->subscription) {
        weir_store_unsubscribe(rs->store, rs->subscription);
    }
    if (rs->owner) {
        /* What the store still answers finds nobody. */
        atomic_store_explicit(&rs->owner->gone, true, memory_order_release);
        weir_store_owner_unref(rs->owner);
    }
    for (size_t i = 0; i < WEIR_TENANT_RECORDS_MAX_READS; i++) {
        tell(rs->readings[i].waiters, WEIR_E_CANCELLED, 0);
        tell(rs->readings[i].later, WEIR_E_CANCELLED, 0);
    }
    free(rs);
}

bool weir_tenant_records_are_read(const struct weir_tenant_records *rs)
{
    return atomic_load_explicit(&rs->read, memory_order_relaxed);
}

bool weir_tenant_records_were_tried(const struct weir_tenant_records *rs)
{
    return atomic_load_explicit(&rs->tried, memory_order_relaxed);
}
