/* SPDX-License-Identifier: Apache-2.0 */
#include "policies.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    struct entry *next; /* in its bucket */
    uint64_t hash;
    struct lua_settings settings;
    struct lua_version *file;
    struct lua_active records;
    size_t n_tenant;
    char tenant[];
};

struct lua_policies {
    pthread_rwlock_t lock; /* all below */
    struct lua_settings defaults;
    struct lua_version *fallback;
    struct entry **buckets; /* [n_buckets], a power of two */
    size_t n_buckets, n;
    bool known;
};

static uint64_t hash(weir_str s, uint64_t seed)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ seed;
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    }
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    return h ^ (h >> 33);
}

struct lua_policies *lua_policies_create(const struct lua_settings *defaults)
{
    struct lua_policies *p = calloc(1, sizeof(*p));
    if (!p) {
        return NULL;
    }
    p->defaults = *defaults;
    p->n_buckets = 64;
    p->buckets = calloc(p->n_buckets, sizeof(struct entry *));
    if (!p->buckets || pthread_rwlock_init(&p->lock, NULL) != 0) {
        free(p->buckets);
        free(p);
        return NULL;
    }
    return p;
}

static void drop_active(struct lua_active *a)
{
    lua_version_unref(&a->active);
    lua_version_unref(&a->canary);
    lua_version_unref(&a->shadow);
}

void lua_policies_destroy(struct lua_policies *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n_buckets; i++) {
        struct entry *next;
        for (struct entry *e = p->buckets[i]; e; e = next) {
            next = e->next;
            lua_version_unref(&e->file);
            drop_active(&e->records);
            free(e);
        }
    }
    lua_version_unref(&p->fallback);
    free(p->buckets);
    pthread_rwlock_destroy(&p->lock);
    free(p);
}

static struct entry *find(const struct lua_policies *p, weir_str tenant)
{
    uint64_t h = hash(tenant, 0);
    struct entry *e = p->buckets[h & (p->n_buckets - 1)];
    while (e && (e->hash != h || !weir_str_eq(tenant, (weir_str){e->tenant, e->n_tenant}))) {
        e = e->next;
    }
    return e;
}

static void grow(struct lua_policies *p)
{
    size_t n = p->n_buckets * 2;
    struct entry **buckets = p->n >= p->n_buckets ? calloc(n, sizeof(struct entry *)) : NULL;
    if (!buckets) {
        return; /* fuller buckets are slower, not wrong */
    }
    for (size_t i = 0; i < p->n_buckets; i++) {
        struct entry *next;
        for (struct entry *e = p->buckets[i]; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (n - 1)];
            buckets[e->hash & (n - 1)] = e;
        }
    }
    free(p->buckets);
    p->buckets = buckets;
    p->n_buckets = n;
}

/* With the lock held for writing. */
static struct entry *find_or_add(struct lua_policies *p, weir_str tenant)
{
    struct entry *e = find(p, tenant);
    if (e || p->n >= LUA_MAX_TENANTS || tenant.n == 0 || tenant.n > LUA_MAX_TENANT_BYTES) {
        return e;
    }
    e = calloc(1, sizeof(*e) + tenant.n);
    if (!e) {
        return NULL;
    }
    grow(p);
    e->hash = hash(tenant, 0);
    e->settings = p->defaults;
    e->n_tenant = tenant.n;
    memcpy(e->tenant, tenant.p, tenant.n);
    e->next = p->buckets[e->hash & (p->n_buckets - 1)];
    p->buckets[e->hash & (p->n_buckets - 1)] = e;
    p->n++;
    return e;
}

void lua_policies_remove(struct lua_policies *p, weir_str tenant)
{
    uint64_t h = hash(tenant, 0);
    pthread_rwlock_wrlock(&p->lock);
    struct entry **at = &p->buckets[h & (p->n_buckets - 1)], *e;
    while ((e = *at) && !weir_str_eq(tenant, (weir_str){e->tenant, e->n_tenant})) {
        at = &e->next;
    }
    if (e) {
        *at = e->next;
        p->n--;
    }
    pthread_rwlock_unlock(&p->lock);
    if (e) { /* outside: the last reference closes Lua states */
        lua_version_unref(&e->file);
        drop_active(&e->records);
        free(e);
    }
}

static bool is_on_canary(const struct entry *e, weir_str sticky)
{
    uint64_t place = hash(sticky, e->hash) % 10000;
    return e->records.canary && (double)place < e->records.percent * 100;
}

void lua_policies_choose(struct lua_policies *p, weir_str tenant, weir_str sticky,
                         struct lua_choice *c)
{
    pthread_rwlock_rdlock(&p->lock);
    const struct entry *e = tenant.n ? find(p, tenant) : NULL;
    struct lua_version *version = p->fallback;
    *c = (struct lua_choice){.fail_open = p->defaults.fail_open, .unknown = !p->known && tenant.n};
    if (e) {
        c->fail_open = e->settings.fail_open;
        c->is_canary = is_on_canary(e, sticky);
        c->shadow = lua_version_ref(e->records.shadow);
        version = c->is_canary        ? e->records.canary
                  : e->records.active ? e->records.active
                  : e->file           ? e->file
                                      : p->fallback;
    }
    c->version = lua_version_ref(version);
    pthread_rwlock_unlock(&p->lock);
}

int lua_policies_set_file(struct lua_policies *p, weir_str tenant, struct lua_version *file)
{
    pthread_rwlock_wrlock(&p->lock);
    struct entry *e = find_or_add(p, tenant);
    struct lua_version *old = e ? e->file : file;
    if (e) {
        e->file = file;
    }
    pthread_rwlock_unlock(&p->lock);
    lua_version_unref(&old);
    return e ? 0 : WEIR_E_NOMEM;
}

void lua_policies_set_fallback(struct lua_policies *p, struct lua_version *file)
{
    p->fallback = file; /* before any request */
}

int lua_policies_set_settings(struct lua_policies *p, weir_str tenant,
                              const struct lua_settings *settings)
{
    pthread_rwlock_wrlock(&p->lock);
    struct entry *e = find_or_add(p, tenant);
    if (e) {
        e->settings = *settings;
    }
    pthread_rwlock_unlock(&p->lock);
    return e ? 0 : WEIR_E_NOMEM;
}

struct lua_settings lua_policies_settings(struct lua_policies *p, weir_str tenant)
{
    pthread_rwlock_rdlock(&p->lock);
    const struct entry *e = find(p, tenant);
    struct lua_settings settings = e ? e->settings : p->defaults;
    pthread_rwlock_unlock(&p->lock);
    return settings;
}

void lua_policies_peek(struct lua_policies *p, weir_str tenant, struct lua_active *ret_active)
{
    pthread_rwlock_rdlock(&p->lock);
    const struct entry *e = find(p, tenant);
    *ret_active = e ? e->records : (struct lua_active){.percent = 0};
    pthread_rwlock_unlock(&p->lock);
}

int lua_policies_set_active(struct lua_policies *p, weir_str tenant, struct lua_active *active)
{
    pthread_rwlock_wrlock(&p->lock);
    struct entry *e = find_or_add(p, tenant);
    struct lua_active old = *active;
    if (e) {
        old = e->records;
        e->records = *active;
    }
    pthread_rwlock_unlock(&p->lock);
    drop_active(&old); /* outside: the last reference closes Lua states */
    return e ? 0 : WEIR_E_NOMEM;
}

void lua_policies_each(struct lua_policies *p, void (*fn)(void *arg, weir_str tenant), void *arg)
{
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->n_buckets; i++) {
        for (const struct entry *e = p->buckets[i]; e; e = e->next) {
            if (e->records.version) {
                fn(arg, (weir_str){e->tenant, e->n_tenant});
            }
        }
    }
    pthread_rwlock_unlock(&p->lock);
}

void lua_policies_set_known(struct lua_policies *p)
{
    pthread_rwlock_wrlock(&p->lock);
    p->known = true;
    pthread_rwlock_unlock(&p->lock);
}

bool lua_policies_are_known(struct lua_policies *p)
{
    pthread_rwlock_rdlock(&p->lock);
    bool known = p->known;
    pthread_rwlock_unlock(&p->lock);
    return known;
}
