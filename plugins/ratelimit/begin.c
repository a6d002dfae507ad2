/* SPDX-License-Identifier: Apache-2.0 */
/* Which subjects a request has, with their limits as the tenant's record says now. */
#include "limiter.h"

static int add_subject(struct limiter *l, struct level_shard *sh, enum level level, weir_str tenant,
                       const struct level_ids *ids, const struct rules *rules, uint64_t version,
                       struct admission *a)
{
    weir_str name;
    if (!(l->levels & 1u << level) || !level_subject(ids, level, &name)) {
        return 0;
    }
    struct subject *s = (struct subject *)level_entry_get(&l->table, sh, level, tenant, name);
    const struct limits_source from = {&l->config, l->shared};
    if (!s || subject_update(s, &from, rules, version) < 0) {
        return WEIR_E_NOMEM;
    }
    if (s->active) {
        s->e.pins++;
        a->held[a->n++] = (struct held){.s = s, .need = s->active};
    }
    return 0;
}

static int begin_tenant(struct limiter *l, const struct level_ids *ids, struct admission *a)
{
    uint64_t version = 0;
    const struct level_entry *owner =
        level_table_lock_tenant(&l->table, l->host, l->tenants, "limits", ids->tenant, &version);
    struct level_shard *sh = level_table_shard(&l->table, ids->tenant);
    const struct limits_source from = {&l->config, l->shared};
    int rc = owner ? subject_update((struct subject *)owner, &from, owner->rules, version)
                   : WEIR_E_NOMEM;
    for (int level = LEVEL_TENANT; level < LEVEL_GLOBAL && rc == 0; level++) {
        rc = add_subject(l, sh, (enum level)level, ids->tenant, ids, owner->rules, version, a);
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

static int begin_shared(struct limiter *l, const struct level_ids *ids, struct admission *a)
{
    const weir_str nobody = {NULL, 0};
    struct level_shard *sh = level_table_shard(&l->table, nobody);
    int rc = 0;
    pthread_mutex_lock(&sh->lock);
    for (int level = LEVEL_GLOBAL; level < LEVEL__COUNT && rc == 0; level++) {
        rc = add_subject(l, sh, (enum level)level, nobody, ids, NULL, 0, a);
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

int limiter_begin(struct limiter *l, const struct level_ids *ids, weir_req *r, uint64_t tokens,
                  struct admission *a)
{
    *a = (struct admission){.req = r, .tokens = tokens};
    int rc = begin_tenant(l, ids, a);
    if (rc == 0 && (l->levels & (1u << LEVEL_GLOBAL | 1u << LEVEL_MODEL))) {
        rc = begin_shared(l, ids, a);
    }
    return rc;
}
