/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects with budgets: which a request has, and what is known of their budgets. */
#include <stdlib.h>

#include "ledger.h"
#include "price_book.h"

static bool is_idle(const struct level_entry *e)
{
    const struct owner *o = (const struct owner *)e;
    for (uint32_t i = 0; i < o->set.n; i++) {
        if (o->states[i].local) {
            return false;
        }
    }
    return true;
}

static unsigned spans_of(const struct budget *b)
{
    return b->rolling ? WINDOW_SPANS : 1;
}

static void close_window(const struct owner *o, struct budget_window *w)
{
    if (w->at_hand) {
        o->ledger->store->budget_close(o->ledger->host, w->at_hand);
        w->at_hand = NULL;
    }
}

static void forget_windows(struct owner *o)
{
    for (uint32_t i = 0; i < o->set.n; i++) {
        for (unsigned k = 0; o->windows[i] && k < spans_of(&o->set.list[i]); k++) {
            close_window(o, &o->windows[i][k]);
        }
        free(o->windows[i]);
        o->windows[i] = NULL;
    }
}

static void finish(struct level_entry *e)
{
    forget_windows((struct owner *)e);
    zone_destroy(((struct owner *)e)->zone);
}

static const struct level_entry_type owner_type = {sizeof(struct owner), is_idle, finish};

int ledger_init(struct ledger *l)
{
    int rc = level_table_init(&l->table, &owner_type);
    return rc == 0 && pthread_mutex_init(&l->lock, NULL) != 0 ? WEIR_E_NOMEM : rc;
}

/* The tenant's time zone, of its record. */
static void set_zone(struct ledger *l, struct owner *o)
{
    const char *name =
        yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(o->e.rules->doc), "timezone"));
    zone_destroy(o->zone);
    o->zone = NULL;
    if (name && zone_load(weir_str_from(name), &o->zone) < 0) {
        char buffer[256];
        struct text t = text_on(buffer, sizeof(buffer));
        TEXT_ADD(&t, "tenant ");
        text_add(&t, level_entry_tenant(&o->e));
        TEXT_ADD(&t, ": quota.timezone is no zone of the IANA database; the plugin's is used: ");
        text_add(&t, weir_str_from(name));
        l->host->log(l->host, WEIR_LEVEL_ERROR, NULL, text_view(&t));
    }
}

/* What is known of a budget that stays is kept. */
static void make_budgets(const struct ledger *l, struct owner *o, yyjson_val *const *found, int n)
{
    const struct budget_set before = o->set;
    struct budget_state known[BUDGET_MAX];
    memcpy(known, o->states, sizeof(known));
    forget_windows(o); /* another time zone may hold, too */
    o->set = (struct budget_set){.n = 0};
    for (int i = 0; i < n; i++) {
        budget_set_add(&o->set, found[i], l->prices ? price_book_currency(l->prices) : "");
    }
    for (uint32_t i = 0; i < o->set.n; i++) {
        o->states[i] = (struct budget_state){.known = false};
        for (uint32_t k = 0; k < before.n; k++) {
            if (budget_is_same(&before.list[k], &o->set.list[i])) {
                o->states[i] = known[k];
            }
        }
    }
}

/* Brings the budgets up to what the rules say now. */
static int update(struct ledger *l, struct owner *o, const struct level_source *from)
{
    struct rules key;
    uint64_t version;
    yyjson_val *found[RULES_MAX];
    int n = level_entry_find_rules(&o->e, from, &key, &version, found);
    if (n >= 0 && version != o->e.version) {
        if (o->e.level == LEVEL_TENANT) {
            set_zone(l, o);
            o->levels = rules_own_levels(o->e.rules);
        }
        make_budgets(l, o, found, n);
        o->e.version = version;
    }
    rules_finish(&key);
    return n < 0 ? n : 0;
}

uint64_t ledger_units(const struct hold *h, const struct reservation *r, const struct usage *u)
{
    switch (h->budget.unit) {
    case BUDGET_REQUESTS: return 1;
    case BUDGET_TOKENS: return u->prompt_tokens + u->completion_tokens;
    default:
        return r->price
                   ? price_amount(r->price,
                                  &(struct price_usage){.prompt_tokens = u->prompt_tokens,
                                                        .cached_tokens = u->cached_tokens,
                                                        .completion_tokens = u->completion_tokens,
                                                        .requests = 1,
                                                        .gpu_us = u->gpu_us})
                   : 0;
    }
}

weir_str ledger_key(const struct reservation *r, const struct hold *h)
{
    return (weir_str){r->text + h->key, h->key_len};
}

static void add_key(struct text *to, const struct owner *o, const struct budget *b,
                    const struct zone *zone, const struct window *w)
{
    level_key_add(to, "quota", (enum level)o->e.level, level_entry_name(&o->e));
    text_add(to, weir_str_from(budget_unit_name(b)));
    text_add_char(to, '/');
    window_key_add(to, (enum window_period)b->period, b->rolling, zone, w);
}

static bool make_room(struct reservation *r)
{
    if (!r->at_hand || r->cap == LEDGER_MAX_HOLDS) {
        return false;
    }
    struct hold *holds = malloc(LEDGER_MAX_HOLDS * (sizeof(*holds) + sizeof(*r->at_hand)));
    if (!holds) {
        return false;
    }
    weir_store_holding *at_hand = (weir_store_holding *)(holds + LEDGER_MAX_HOLDS);
    memcpy(holds, r->holds, r->n * sizeof(*holds));
    memcpy(at_hand, r->at_hand, r->n * sizeof(*at_hand));
    r->more = r->holds = holds;
    r->at_hand = at_hand;
    r->cap = LEDGER_MAX_HOLDS;
    return true;
}

/* Everything that one window of a budget needs. False: no room. */
static bool add_hold(struct reservation *r, struct owner *o, uint32_t at, const struct zone *zone,
                     const struct window *w, const struct budget_window *known, bool is_binding,
                     const struct usage *most)
{
    const struct budget *b = &o->set.list[at];
    if ((r->n == r->cap && !make_room(r)) || LEDGER_TEXT_BYTES - r->text_len < LEDGER_KEY_BYTES) {
        return false;
    }
    struct hold *h = &r->holds[r->n];
    *h = (struct hold){.owner = o,
                       .budget = *b,
                       .window = *w,
                       .left = (int64_t)b->limit,
                       .at = (uint8_t)at,
                       .is_binding = is_binding};
    h->units = ledger_units(h, r, most);
    if (r->at_hand) {
        r->at_hand[r->n] =
            (weir_store_holding){.budget = known->at_hand, .units = h->units, .limit = b->limit};
    } else {
        struct text key = text_on(r->text + r->text_len, LEDGER_TEXT_BYTES - r->text_len);
        if (known) {
            text_add(&key, (weir_str){known->key, known->key_len});
        } else {
            add_key(&key, o, b, zone, w);
        }
        h->key = (uint16_t)r->text_len;
        h->key_len = (uint16_t)key.n;
        r->text_len += (uint32_t)key.n;
    }
    r->n++;
    o->e.pins++;
    return true;
}

static bool is_known(const struct budget_window *w)
{
    return w->at_hand || w->key_len;
}

/* From now on it is this window; false: no memory, or its key is too long to be kept. */
static bool set_window(struct ledger *l, struct owner *o, uint32_t at, const struct zone *zone,
                       const struct window *window, struct budget_window *w)
{
    char buffer[LEDGER_KEY_BYTES];
    struct text key = text_on(buffer, sizeof(buffer));
    close_window(o, w);
    *w = (struct budget_window){.window = *window};
    add_key(&key, o, &o->set.list[at], zone, window);
    if (l->direct) {
        o->ledger = l;
        return l->store->budget_open(l->host, level_entry_tenant(&o->e), text_view(&key),
                                     &w->at_hand) == 0;
    }
    if (key.n <= sizeof(w->key)) {
        memcpy(w->key, buffer, key.n);
        w->key_len = (uint16_t)key.n;
    }
    return w->key_len > 0;
}

/* The budget's windows; NULL: no memory. */
static struct budget_window *windows_of(struct owner *o, uint32_t at)
{
    if (!o->windows[at]) {
        o->windows[at] = calloc(spans_of(&o->set.list[at]), sizeof(*o->windows[at]));
    }
    return o->windows[at];
}

static bool add_calendar(struct reservation *r, struct owner *o, uint32_t at,
                         const struct zone *zone, int64_t now_s, const struct usage *most)
{
    struct budget_window *w = windows_of(o, at);
    if (w && is_known(w) && now_s >= w->window.start_s && now_s < w->window.end_s) {
        return add_hold(r, o, at, zone, &w->window, w, true, most);
    }
    const struct window window =
        window_calendar((enum window_period)o->set.list[at].period, zone, now_s);
    bool ok = w && set_window(r->ledger, o, at, zone, &window, w);
    return (ok || !r->at_hand) && add_hold(r, o, at, zone, &window, ok ? w : NULL, true, most);
}

static bool add_rolling(struct reservation *r, struct owner *o, uint32_t at,
                        const struct zone *zone, int64_t now_s, const struct usage *most)
{
    struct budget_window *all = windows_of(o, at);
    bool ok = true;
    for (unsigned i = 0; i < WINDOW_SPANS && ok; i++) {
        const struct window window =
            window_rolling((enum window_period)o->set.list[at].period, now_s, i);
        int64_t quarter = window.start_s * WINDOW_SPANS / (window.end_s - window.start_s);
        struct budget_window *w = all ? &all[(uint64_t)quarter % WINDOW_SPANS] : NULL;
        bool there = w && is_known(w) && w->window.start_s == window.start_s;
        there = there || (w && set_window(r->ledger, o, at, zone, &window, w));
        ok = (there || !r->at_hand) &&
             add_hold(r, o, at, zone, &window, there ? w : NULL, i == 0, most);
    }
    return ok;
}

static bool add_budget(struct reservation *r, struct owner *o, uint32_t at, const struct zone *zone,
                       const struct usage *most)
{
    int64_t now_s = (int64_t)(r->began_us / 1000000);
    return o->set.list[at].rolling ? add_rolling(r, o, at, zone, now_s, most)
                                   : add_calendar(r, o, at, zone, now_s, most);
}

static enum reserve_result add_owner(struct reservation *r, struct owner *o,
                                     const struct zone *zone, const struct usage *most)
{
    const struct ledger *l = r->ledger;
    if (o->set.wrong_currency) {
        return RESERVE_CURRENCY;
    }
    for (uint32_t i = 0; i < o->set.n; i++) {
        bool money = o->set.list[i].unit == BUDGET_MONEY;
        if (money && !r->price) {
            if (l->free_without_price) {
                continue;
            }
            return RESERVE_UNPRICED;
        }
        if (!add_budget(r, o, i, zone, most)) {
            return RESERVE_BROKEN;
        }
    }
    return RESERVE_OK;
}

static enum reserve_result add_level(struct reservation *r, struct level_shard *sh,
                                     enum level level, weir_str tenant,
                                     const struct level_source *from, const struct zone *zone,
                                     const struct usage *most)
{
    struct ledger *l = r->ledger;
    weir_str name;
    if (!(l->levels & 1u << level) || !level_subject(from->ids, level, &name)) {
        return RESERVE_OK;
    }
    struct owner *o = (struct owner *)level_entry_get(&l->table, sh, level, tenant, name);
    if (!o || update(l, o, from) < 0) {
        return RESERVE_BROKEN;
    }
    return add_owner(r, o, zone, most);
}

static enum reserve_result add_tenant(struct reservation *r, const struct level_ids *ids,
                                      const struct usage *most)
{
    struct ledger *l = r->ledger;
    struct level_source from = {.member = "quota", .config = &l->config, .ids = ids};
    struct owner *of = (struct owner *)level_table_lock_tenant(&l->table, l->host, l->tenants,
                                                               "quota", ids->tenant, &from.version);
    struct level_shard *sh = level_table_shard(&l->table, ids->tenant);
    from.tenant = of ? of->e.rules : NULL;
    enum reserve_result result = of && update(l, of, &from) == 0 ? RESERVE_OK : RESERVE_BROKEN;
    const struct zone *zone = of && of->zone ? of->zone : l->zone;
    /* Most levels of most tenants have no budgets: nothing is made or looked for there. */
    unsigned levels = l->general | (of ? of->levels : 0);
    levels |= ids->key_json.n ? 1u << LEVEL_KEY : 0;
    if (result == RESERVE_OK && l->levels & 1u << LEVEL_TENANT) {
        result = add_owner(r, of, zone, most);
    }
    for (int i = LEVEL_TENANT + 1; i < LEVEL_GLOBAL && result == RESERVE_OK; i++) {
        if (levels & 1u << i) {
            result = add_level(r, sh, (enum level)i, ids->tenant, &from, zone, most);
        }
    }
    r->n_tenant = r->n;
    if (result == RESERVE_OK && r->at_hand) {
        direct_hold(r);
    }
    pthread_mutex_unlock(&sh->lock);
    return result;
}

enum reserve_result ledger_add_holds(struct reservation *r, const struct level_ids *ids,
                                     const struct usage *most)
{
    const weir_str nobody = {NULL, 0};
    struct ledger *l = r->ledger;
    const struct level_source from = {.member = "quota", .config = &l->config, .ids = ids};
    enum reserve_result result = add_tenant(r, ids, most);
    if (result != RESERVE_OK || !(l->general & (1u << LEVEL_GLOBAL | 1u << LEVEL_MODEL))) {
        return result;
    }
    struct level_shard *sh = level_table_shard(&l->table, nobody);
    pthread_mutex_lock(&sh->lock);
    for (int i = LEVEL_GLOBAL; i < LEVEL__COUNT && result == RESERVE_OK; i++) {
        if (l->general & 1u << i) {
            result = add_level(r, sh, (enum level)i, nobody, &from, l->zone, most);
        }
    }
    if (result == RESERVE_OK && r->at_hand) {
        direct_hold(r);
    }
    pthread_mutex_unlock(&sh->lock);
    return result;
}

/* The state of the hold's window; another window's is forgotten. [locked] */
static struct budget_state *state_of(const struct hold *h)
{
    struct budget_state *s = &h->owner->states[h->at];
    if (s->window_s != h->window.start_s) {
        *s = (struct budget_state){.window_s = h->window.start_s};
    }
    return s;
}

unsigned ledger_threshold(const struct ledger *l, const struct hold *h)
{
    uint64_t limit = h->budget.limit, left = h->left > 0 ? (uint64_t)h->left : 0;
    uint64_t used = limit > left ? limit - left : 0;
    unsigned reached = 0;
    for (unsigned i = 0; i < sizeof(l->warn_at) && l->warn_at[i]; i++) {
        if (used * 100 < l->warn_at[i] * limit || limit == 0) {
            break;
        }
        reached = l->warn_at[i];
    }
    return reached;
}

static void log_warning(const struct ledger *l, const struct hold *h, unsigned reached)
{
    char buffer[512];
    struct text t = text_on(buffer, sizeof(buffer));
    text_add(&t, weir_str_from(level_name((enum level)h->owner->e.level)));
    text_add_char(&t, ' ');
    text_add(&t, level_entry_tenant(&h->owner->e));
    text_add_char(&t, '/');
    text_add(&t, level_entry_name(&h->owner->e));
    TEXT_ADD(&t, ": ");
    text_add_u64(&t, reached);
    TEXT_ADD(&t, " % of ");
    budget_words_add(&t, &h->budget);
    TEXT_ADD(&t, " are used or reserved");
    l->host->log(l->host, WEIR_LEVEL_WARN, NULL, text_view(&t));
}

void ledger_note(struct reservation *r, uint32_t first, uint32_t n)
{
    struct ledger *l = r->ledger;
    for (uint32_t i = first; i < first + n; i++) {
        const struct hold *h = &r->holds[i];
        if (!h->is_binding || h->at >= h->owner->set.n) {
            continue;
        }
        struct budget_state *s = state_of(h);
        s->left = h->left;
        s->known = true;
        s->local = 0;
        unsigned reached = ledger_threshold(l, h);
        if (reached > s->warned) {
            s->warned = (uint8_t)reached;
            (void)atomic_fetch_add_explicit(&l->counters.warnings[h->owner->e.level], 1,
                                            memory_order_relaxed);
            log_warning(l, h, reached);
        }
    }
}

void ledger_learn(struct reservation *r, uint32_t first, uint32_t n, const weir_store_result *a)
{
    if (!a->left || a->n_left < n) {
        return;
    }
    struct level_shard *sh = r->holds[first].owner->e.shard; /* one for all of a group */
    pthread_mutex_lock(&sh->lock);
    for (uint32_t i = 0; i < n; i++) {
        r->holds[first + i].left = a->left[i].units;
    }
    ledger_note(r, first, n);
    pthread_mutex_unlock(&sh->lock);
}

/* This replica's share of what was left when the store was lost. */
static bool take_local(const struct ledger *l, const struct hold *h)
{
    struct budget_state *s = state_of(h);
    uint64_t left = s->known ? (s->left > 0 ? (uint64_t)s->left : 0) : h->budget.limit;
    if (s->local + h->units > left / l->replicas) {
        return false;
    }
    s->local += h->units;
    return true;
}

enum reserve_result ledger_decide_alone(struct reservation *r)
{
    struct ledger *l = r->ledger;
    r->lost = true;
    r->by = r->n_done;
    if (l->on_loss == ON_LOSS_DENY) {
        return RESERVE_LOST;
    }
    for (uint32_t i = r->n_done; i < r->n && l->on_loss == ON_LOSS_LOCAL; i++) {
        const struct hold *h = &r->holds[i];
        pthread_mutex_lock(&h->owner->e.shard->lock);
        bool taken = !h->is_binding || h->at >= h->owner->set.n || take_local(l, h);
        pthread_mutex_unlock(&h->owner->e.shard->lock);
        if (!taken) {
            r->by = i;
            return RESERVE_EXHAUSTED;
        }
    }
    return RESERVE_OK;
}

void ledger_unpin(struct reservation *r, uint32_t first)
{
    struct level_shard *locked = NULL;
    for (uint32_t i = first; i < r->n; i++) { /* those of a shard stand together */
        struct level_shard *sh = r->holds[i].owner->e.shard;
        if (sh != locked) {
            if (locked) {
                pthread_mutex_unlock(&locked->lock);
            }
            pthread_mutex_lock(&sh->lock);
            locked = sh;
        }
        r->holds[i].owner->e.pins--;
    }
    if (locked) {
        pthread_mutex_unlock(&locked->lock);
    }
}

void ledger_drop(struct reservation *r)
{
    ledger_unpin(r, r->at_hand ? r->n_done : 0); /* direct: the others are not pinned any more */
    ledger_free(r);
}

void ledger_free(struct reservation *r)
{
    free(r->more);
    if (!r->in_room) {
        free(r);
    }
}
