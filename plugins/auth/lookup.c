/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "auth.h"

/* One read of the store. It belongs to the store until `done`, whatever becomes of the request. */
struct lookup {
    struct auth *auth;
    char text[AUTH_MAX_TENANT_BYTES + AUTH_ID_BYTES];
    struct auth_name name; /* points into text */
    uint64_t epoch;
    bool calling; /* the store has not returned from find() yet */
    bool done;
    char next_round; /* for the request that waits */
    int rc;
    weir_ticket ticket;
};

/* A record that cannot be read proves nothing: as if the store were away, and somebody is told. */
static int keep(struct lookup *l, weir_str json)
{
    struct auth *a = l->auth;
    char error[AUTH_ERROR_BYTES] = "";
    struct auth_key *key = auth_key_create(a->host, l->name.tenant, l->name.id, json, error);
    if (!key) {
        char text[AUTH_ERROR_BYTES + 120];
        (void)snprintf(text, sizeof(text), "the store's record of key %.*s/%.*s is malformed: %s",
                       (int)l->name.tenant.n, l->name.tenant.p, (int)l->name.id.n, l->name.id.p,
                       error);
        a->host->log(a->host, WEIR_LEVEL_ERROR, NULL, weir_str_from(text));
        return WEIR_E_FORMAT;
    }
    auth_cache_put(a->cache, l->name, key, l->epoch, a->host->now_us(a->host));
    return 0;
}

static void came(void *arg, const weir_store_result *result)
{
    struct lookup *l = arg;
    struct auth *a = l->auth;
    int rc = result->rc;
    if (rc == 0) {
        rc = keep(l, result->value);
    } else if (rc == WEIR_E_NOTFOUND) {
        auth_cache_put(a->cache, l->name, NULL, l->epoch, a->host->now_us(a->host));
    }
    bool away = rc < 0 && rc != WEIR_E_NOTFOUND;
    if (away) {
        auth_cache_failed(a->cache, l->name, a->host->now_us(a->host));
    }
    auth_count(a, a->lookups, away ? "failed" : rc == 0 ? "found" : "unknown");
    atomic_fetch_sub_explicit(&a->n_lookups, 1, memory_order_relaxed);
    l->rc = away ? WEIR_E_IO : 0;
    l->done = true;
    if (!l->calling) {
        (void)a->host->resume(a->host, l->ticket, l->rc, (weir_str){&l->next_round, 1});
        a->host->free(a->host, l);
    }
}

static struct lookup *make(struct auth *a, struct auth_name name, uint64_t epoch, uint32_t round)
{
    struct lookup *l = a->host->alloc(a->host, sizeof(*l));
    if (l) {
        *l = (struct lookup){
            .auth = a, .epoch = epoch, .calling = true, .next_round = (char)(round + 1)};
        memcpy(l->text, name.tenant.p, name.tenant.n);
        memcpy(l->text + name.tenant.n, name.id.p, name.id.n);
        l->name.tenant = (weir_str){l->text, name.tenant.n};
        l->name.id = (weir_str){l->text + name.tenant.n, name.id.n};
    }
    return l;
}

/* FOUND: the store has answered, look into the cache again. */
static enum auth_found ask(struct auth *a, weir_req *r, struct auth_name name, uint64_t epoch,
                           uint32_t round)
{
    unsigned before = atomic_fetch_add_explicit(&a->n_lookups, 1, memory_order_relaxed);
    struct lookup *l = before < AUTH_MAX_LOOKUPS ? make(a, name, epoch, round) : NULL;
    int rc =
        l ? a->store->find(a->host, name.tenant, weir_str_from(AUTH_COLLECTION), name.id, came, l)
          : WEIR_E_NOMEM;
    if (rc < 0) {
        atomic_fetch_sub_explicit(&a->n_lookups, 1, memory_order_relaxed);
        auth_cache_failed(a->cache, name, a->host->now_us(a->host));
        a->host->free(a->host, l);
        return AUTH_FOUND_AWAY;
    }
    l->calling = false;
    if (l->done) {
        enum auth_found found = l->rc < 0 ? AUTH_FOUND_AWAY : AUTH_FOUND;
        a->host->free(a->host, l);
        return found;
    }
    l->ticket = a->host->suspend(a->host, r, AUTH_STORE_TIMEOUT_MS);
    return l->ticket ? AUTH_FOUND_WAITS : AUTH_FOUND_AWAY;
}

static bool old_is_good(const struct auth *a, const struct auth_cache_answer *answer)
{
    if (!answer->failed) {
        return true; /* another request reads it at this moment */
    }
    return a->on_loss == AUTH_LOSS_ALLOW ||
           (a->on_loss == AUTH_LOSS_LOCAL && answer->age_us <= a->loss_us);
}

enum auth_found auth_lookup(struct auth *a, weir_req *r, struct auth_name name, uint32_t round,
                            struct auth_key **ret_key)
{
    for (; round < AUTH_MAX_ROUNDS; round++) {
        struct auth_cache_answer answer;
        enum auth_cached cached = auth_cache_get(a->cache, name, a->host->now_us(a->host), &answer);
        if (cached == AUTH_CACHED_UNKNOWN) {
            return AUTH_FOUND_NONE;
        }
        if (cached == AUTH_CACHED_KEY || (cached == AUTH_CACHED_OLD && old_is_good(a, &answer))) {
            *ret_key = answer.key;
            return AUTH_FOUND;
        }
        if (cached == AUTH_CACHED_OLD) {
            auth_key_unref(answer.key);
            return AUTH_FOUND_AWAY;
        }
        enum auth_found found = ask(a, r, name, answer.epoch, round);
        bool lost = found == AUTH_FOUND_AWAY && cached == AUTH_CACHED_NOT;
        if (found == AUTH_FOUND_WAITS || lost) {
            return found;
        }
    }
    return AUTH_FOUND_AWAY;
}
