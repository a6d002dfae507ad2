/* SPDX-License-Identifier: Apache-2.0 */
/* Which subjects a request has, with their limits as the records say now. */
#include "limiter.h"

static int add_subject(struct limiter *l, struct level_shard *sh, enum level level, weir_str tenant,
                       const struct level_source *from, uint64_t now_us, struct admission *a)
{
    weir_str name;
    if (!(l->levels & 1u << level) || !level_subject(from->ids, level, &name)) {
        return 0;
    }
    struct subject *s = (struct subject *)level_entry_get(&l->table, sh, level, tenant, name);
    if (!s || subject_update(s, from, l->shared, now_us) < 0) {
        return WEIR_E_NOMEM;
    }
    if (s->active) {
        s->e.pins++;
        a->held[a->n++] = (struct held){.s = s, .need = s->active};
    }
    return 0;
}

static int begin_tenant(struct limiter *l, const struct level_ids *ids, uint64_t now_us,
                        struct admission *a)
{
    struct level_source from = {.member = "limits", .config = &l->config, .ids = ids};
    struct level_entry *owner = level_table_lock_tenant(&l->table, l->host, l->tenants, "limits",
                                                        ids->tenant, &from.version);
    struct level_shard *sh = level_table_shard(&l->table, ids->tenant);
    from.tenant = owner ? owner->rules : NULL;
    /* Also where the level is not looked at: the owner's version says whether its rules are new. */
    int rc =
        owner ? subject_update((struct subject *)owner, &from, l->shared, now_us) : WEIR_E_NOMEM;
    for (int level = LEVEL_TENANT; level < LEVEL_GLOBAL && rc == 0; level++) {
        rc = add_subject(l, sh, (enum level)level, ids->tenant, &from, now_us, a);
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

static int begin_shared(struct limiter *l, const struct level_ids *ids, uint64_t now_us,
                        struct admission *a)
{
    const weir_str nobody = {NULL, 0};
    const struct level_source from = {.member = "limits", .config = &l->config, .ids = ids};
    struct level_shard *sh = level_table_shard(&l->table, nobody);
    int rc = 0;
    pthread_mutex_lock(&sh->lock);
    for (int level = LEVEL_GLOBAL; level < LEVEL__COUNT && rc == 0; level++) {
        rc = add_subject(l, sh, (enum level)level, nobody, &from, now_us, a);
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

int limiter_begin(struct limiter *l, const struct level_ids *ids, weir_req *r, uint64_t tokens,
                  uint64_t now_us, struct admission *a)
{
    *a = (struct admission){.req = r, .tokens = tokens};
    int rc = begin_tenant(l, ids, now_us, a);
    if (rc == 0 && (l->levels & (1u << LEVEL_GLOBAL | 1u << LEVEL_MODEL))) {
        rc = begin_shared(l, ids, now_us, a);
    }
    return rc;
}
