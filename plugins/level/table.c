/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

int level_table_init(struct level_table *t, const struct level_entry_type *type)
{
    *t = (struct level_table){.type = type, .shards = calloc(LEVEL_SHARDS, sizeof(*t->shards))};
    for (unsigned i = 0; t->shards && i < LEVEL_SHARDS; i++) {
        if (pthread_mutex_init(&t->shards[i].lock, NULL) != 0) {
            free(t->shards);
            t->shards = NULL;
        }
    }
    return t->shards ? 0 : WEIR_E_NOMEM;
}

static void drop_rules(struct rules *rules)
{
    if (rules) {
        rules_finish(rules);
        free(rules);
    }
}

static void destroy(const struct level_table *t, struct level_entry *e)
{
    t->type->finish(e);
    drop_rules(e->rules);
    free(e);
}

void level_table_finish(struct level_table *t)
{
    for (unsigned i = 0; t->shards && i < LEVEL_SHARDS; i++) {
        for (unsigned k = 0; k < LEVEL_CHAINS; k++) {
            while (t->shards[i].chains[k]) {
                struct level_entry *e = t->shards[i].chains[k];
                t->shards[i].chains[k] = e->next;
                destroy(t, e);
            }
        }
        pthread_mutex_destroy(&t->shards[i].lock);
    }
    free(t->shards);
    t->shards = NULL;
}

struct level_shard *level_table_shard(const struct level_table *t, weir_str tenant)
{
    return &t->shards[level_hash(0, tenant) >> 58]; /* LEVEL_SHARDS is 2^6 */
}

/* Drops idle entries, a few chains on from where it stopped last time. */
static void make_room(const struct level_table *t, struct level_shard *sh)
{
    for (unsigned i = 0; i < LEVEL_CHAINS && sh->n >= LEVEL_SHARD_MAX; i++) {
        struct level_entry **at = &sh->chains[sh->hand++ % LEVEL_CHAINS];
        while (*at) {
            struct level_entry *e = *at;
            if (e->pins == 0 && t->type->is_idle(e)) {
                *at = e->next;
                sh->n--;
                destroy(t, e);
            } else {
                at = &e->next;
            }
        }
    }
}

static struct level_entry *find(struct level_shard *sh, uint64_t hash, enum level level,
                                weir_str tenant, weir_str name)
{
    struct level_entry *e = sh->chains[hash % LEVEL_CHAINS];
    while (e &&
           !(e->hash == hash && e->level == level && weir_str_eq(level_entry_tenant(e), tenant) &&
             weir_str_eq(level_entry_name(e), name))) {
        e = e->next;
    }
    return e;
}

static void copy_text(char *to, weir_str s)
{
    if (s.n) {
        memcpy(to, s.p, s.n);
    }
}

struct level_entry *level_entry_get(const struct level_table *t, struct level_shard *sh,
                                    enum level level, weir_str tenant, weir_str name)
{
    uint64_t hash = level_hash(level_hash((uint64_t)level + 1, tenant), name);
    struct level_entry *e = find(sh, hash, level, tenant, name);
    if (e) {
        return e;
    }
    if (sh->n >= LEVEL_SHARD_MAX) {
        make_room(t, sh);
    }
    if (sh->n >= LEVEL_SHARD_MAX || !(e = calloc(1, t->type->n_bytes + tenant.n + name.n))) {
        return NULL;
    }
    e->shard = sh;
    e->hash = hash;
    e->level = (uint8_t)level;
    e->version = UINT64_MAX;
    e->tenant_len = (uint32_t)tenant.n;
    e->name_len = (uint32_t)name.n;
    e->text = (char *)e + t->type->n_bytes;
    copy_text(e->text, tenant);
    copy_text(e->text + tenant.n, name);
    e->next = sh->chains[hash % LEVEL_CHAINS];
    sh->chains[hash % LEVEL_CHAINS] = e;
    sh->n++;
    return e;
}

static struct rules *read_record(const weir_host *h, const weir_ext_tenants *tenants,
                                 const char *member, weir_str tenant, uint64_t *ret_version)
{
    weir_str json = {NULL, 0};
    *ret_version = 0;
    if (tenants && tenant.n) {
        (void)tenants->get(h, tenant, &json, ret_version);
    }
    struct rules *rules = calloc(1, sizeof(*rules));
    if (rules && json.n && rules_read(json, member, rules) < 0) {
        free(rules);
        return NULL;
    }
    return rules;
}

struct level_entry *level_table_lock_tenant(const struct level_table *t, const weir_host *h,
                                            const weir_ext_tenants *tenants, const char *member,
                                            weir_str tenant, uint64_t *ret_version)
{
    const weir_str no_name = {NULL, 0};
    struct level_shard *sh = level_table_shard(t, tenant);
    uint64_t version = 0;
    if (tenants && tenant.n && tenants->get(h, tenant, NULL, &version) < 0) {
        version = 0;
    }
    pthread_mutex_lock(&sh->lock);
    struct level_entry *e = level_entry_get(t, sh, LEVEL_TENANT, tenant, no_name);
    *ret_version = version;
    if (!e || (e->rules && e->version == version)) {
        return e;
    }
    pthread_mutex_unlock(&sh->lock); /* the host and the parser may take their time */
    struct rules *rules = read_record(h, tenants, member, tenant, ret_version);
    pthread_mutex_lock(&sh->lock);
    e = level_entry_get(t, sh, LEVEL_TENANT, tenant, no_name);
    if (!e || !rules) {
        drop_rules(rules);
        return NULL;
    }
    drop_rules(e->rules);
    e->rules = rules;
    e->version = UINT64_MAX;
    return e;
}

int level_entry_find_rules(const struct level_entry *e, const struct level_source *from,
                           struct rules *ret_key, uint64_t *ret_version,
                           yyjson_val *ret_found[RULES_MAX])
{
    weir_str key = e->level == LEVEL_KEY ? from->ids->key_json : (weir_str){NULL, 0};
    *ret_key = (struct rules){NULL};
    *ret_version = key.n ? level_hash(from->version, key) : from->version;
    if (*ret_version == e->version) {
        return 0;
    }
    if (key.n && rules_read(key, from->member, ret_key) < 0) {
        return WEIR_E_NOMEM;
    }
    const struct rules_stack stack = {from->config, from->tenant, ret_key};
    return (int)rules_find(&stack, (enum level)e->level, level_entry_name(e), ret_found);
}
