/* SPDX-License-Identifier: Apache-2.0 */
/* Which subjects a request has, with their limits as the records say now. */
#include "limiter.h"

static void hold(struct subject *s, struct admission *a)
{
    if (s->active) {
        s->e.pins += !subject_stays(s);
        a->held[a->n++] = (struct held){.s = s, .need = s->active};
    }
}

static int add_subject(struct limiter *l, struct level_shard *sh, enum level level, weir_str tenant,
                       const struct level_source *from, uint64_t now_us, struct admission *a)
{
    weir_str name;
    if (!level_subject(from->ids, level, &name)) {
        return 0;
    }
    struct subject *s = (struct subject *)level_entry_get(&l->table, sh, level, tenant, name);
    if (!s || subject_update(s, from, l->shared, now_us) < 0) {
        return WEIR_E_NOMEM;
    }
    hold(s, a);
    return 0;
}

/* The tenant itself. Also where its level is not looked at: its version says whether its rules are
 * new. */
static int update_owner(const struct limiter *l, struct subject *owner,
                        const struct level_source *from, uint64_t now_us)
{
    uint64_t before = owner->e.version;
    int rc = subject_update(owner, from, l->shared, now_us);
    if (owner->e.version != before) {
        owner->own_levels = (uint8_t)rules_own_levels(owner->e.rules);
    }
    return rc;
}

/* Where the store is here nothing waits: what is needed is taken while the group is locked. */
static void take_now(struct limiter *l, struct level_shard *entries, uint64_t now_us,
                     struct admission *a)
{
    struct shard *sh = &l->shards[entries - l->table.shards];
    a->taken = l->direct && direct_take(l, sh, a, now_us);
    if (a->taken) {
        limiter_look(sh, a, now_us);
    }
}

static int begin_tenant(struct limiter *l, const struct level_ids *ids, uint64_t now_us,
                        struct admission *a)
{
    struct level_source from = {.member = "limits", .config = &l->config, .ids = ids};
    struct subject *owner = (struct subject *)level_table_lock_tenant(
        &l->table, l->host, l->tenants, "limits", ids->tenant, &from.version);
    struct level_shard *sh = owner ? owner->e.shard : level_table_shard(&l->table, ids->tenant);
    from.tenant = owner ? owner->e.rules : NULL;
    int rc = owner ? update_owner(l, owner, &from, now_us) : WEIR_E_NOMEM;
    /* Most levels of most tenants have no limits: nothing is made or looked for there. */
    unsigned levels = l->general | (owner ? owner->own_levels : 0);
    levels = l->levels & (levels | (ids->key_json.n ? 1u << LEVEL_KEY : 0));
    if (rc == 0 && l->levels & 1u << LEVEL_TENANT) {
        hold(owner, a);
    }
    for (int level = LEVEL_TENANT + 1; level < LEVEL_GLOBAL && rc == 0; level++) {
        if (levels & 1u << level) {
            rc = add_subject(l, sh, (enum level)level, ids->tenant, &from, now_us, a);
        }
    }
    if (rc == 0) {
        take_now(l, sh, now_us, a);
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
        if (l->general & 1u << level) {
            rc = add_subject(l, sh, (enum level)level, nobody, &from, now_us, a);
        }
    }
    if (rc == 0 && a->taken) {
        take_now(l, sh, now_us, a);
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

int limiter_begin(struct limiter *l, const struct level_ids *ids, weir_req *r, uint64_t tokens,
                  uint64_t now_us, struct admission *a)
{
    a->req = r;
    a->tokens = tokens;
    int rc = begin_tenant(l, ids, now_us, a);
    if (rc == 0 && (l->general & (1u << LEVEL_GLOBAL | 1u << LEVEL_MODEL))) {
        rc = begin_shared(l, ids, now_us, a);
    }
    return rc;
}
