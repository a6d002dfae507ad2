/* SPDX-License-Identifier: Apache-2.0 */
#include "routing.h"

#include <xxhash.h>

#include "core/request/request.h"
#include "core/server/server.h"

static uint64_t hash_of(weir_str text)
{
    return text.n ? XXH3_64bits(text.p, text.n) | 1 : 0;
}

/* The value of a cookie of that name; empty when there is none. */
static weir_str cookie_of(const struct weir_request *r, weir_str name)
{
    weir_str rest = r->ex ? weir_http_header(r->ex, "cookie") : (weir_str){NULL, 0};
    while (rest.n) {
        const char *end = memchr(rest.p, ';', rest.n);
        weir_str pair = {rest.p, end ? (size_t)(end - rest.p) : rest.n};
        size_t skip = pair.n + (end != NULL);
        rest = (weir_str){rest.p + skip, rest.n - skip};
        while (pair.n && (*pair.p == ' ' || *pair.p == '\t')) {
            pair.p++;
            pair.n--;
        }
        if (pair.n > name.n && pair.p[name.n] == '=' && memcmp(pair.p, name.p, name.n) == 0) {
            return (weir_str){pair.p + name.n + 1, pair.n - name.n - 1};
        }
    }
    return (weir_str){NULL, 0};
}

static uint64_t session_of(const struct weir_request *r, const struct weir_affinity *affinity)
{
    uint64_t session = 0;
    if (affinity->header && r->ex) {
        session = hash_of(weir_http_header(r->ex, affinity->header));
    }
    if (!session && affinity->cookie) {
        session = hash_of(cookie_of(r, weir_str_from(affinity->cookie)));
    }
    if (!session && affinity->by_user) {
        session = hash_of(r->user);
    }
    /* Two tenants' sessions of one name are two sessions. */
    return session ? session ^ r->tenant_hash : 0;
}

/* Who asks, as exactly as is known. */
static uint64_t client_of(const struct weir_request *r)
{
    weir_str who = r->user.n ? r->user : r->key_id.n ? r->key_id : r->peer;
    return hash_of(who) ^ r->tenant_hash;
}

static uint64_t bits_of(const struct weir_model *model)
{
    uint32_t n = weir_model_n_targets(model);
    return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* Targets outside of the tenant's regions. */
static uint64_t forbidden_bits(const struct weir_request *r, struct weir_model *model)
{
    const struct weir_tenant *tenant =
        r->tenant.n ? weir_tenants_find(weir_worker_server(r->worker)->tenants, r->tenant) : NULL;
    if (!tenant || tenant->n_regions == 0) {
        return 0;
    }
    return bits_of(model) &
           ~weir_balance_in_regions(weir_model_balance(model), tenant->regions, tenant->n_regions);
}

bool weir_routing_is_forbidden(struct weir_request *r, struct weir_model *model)
{
    return forbidden_bits(r, model) == bits_of(model);
}

/* The next of a list with commas between, without spaces around. */
static weir_str next_item(weir_str *rest)
{
    const char *comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
    weir_str item = {rest->p, comma ? (size_t)(comma - rest->p) : rest->n};
    size_t skip = item.n + (comma != NULL);
    *rest = (weir_str){rest->p + skip, rest->n - skip};
    while (item.n && *item.p == ' ') {
        item.p++;
        item.n--;
    }
    while (item.n && item.p[item.n - 1] == ' ') {
        item.n--;
    }
    return item;
}

/* The targets that the client's gateway wants, in its order. True: it named one of the model's, and
 * no other will do; *ret_target is the first that can run, or NULL. */
static bool follow_destination(struct weir_request *r, struct weir_model *model,
                               struct weir_target **ret_target)
{
    weir_str rest =
        r->ex ? weir_http_header(r->ex, "x-gateway-destination-endpoint") : (weir_str){NULL, 0};
    uint64_t named = 0;
    *ret_target = NULL;
    while (rest.n) {
        uint32_t i = weir_model_find_target(model, next_item(&rest));
        if (i == WEIR_BALANCE_NONE) {
            continue;
        }
        named |= UINT64_C(1) << i;
        struct weir_balance_ask one = {.excluded = r->ask.excluded | ~(UINT64_C(1) << i)};
        if (!*ret_target) {
            *ret_target =
                weir_model_choose(model, &one, weir_worker_now_us(r->worker), &r->target_index);
        }
    }
    if (named) {
        r->ask.excluded |= bits_of(model) & ~named;
    }
    return named != 0;
}

static void fill_ask(struct weir_request *r, struct weir_model *model)
{
    const weir_generation *g = &r->api.generation;
    r->ask = (struct weir_balance_ask){
        .session = session_of(r, weir_model_affinity(model)),
        .client = client_of(r),
        .tenant = r->tenant_hash,
        .prompt = g->kind == WEIR_GENERATION_CHAT ? g->messages_json : g->prompt,
        .excluded = forbidden_bits(r, model),
    };
}

static struct weir_target *choose_pinned(struct weir_request *r, struct weir_model *model)
{
    uint64_t bit = UINT64_C(1) << r->pinned_index;
    r->ask.excluded |= bits_of(model) & ~bit;
    return weir_model_choose(model, &r->ask, weir_worker_now_us(r->worker), &r->target_index);
}

struct weir_target *weir_routing_choose(struct weir_request *r, struct weir_model *model)
{
    struct weir_target *target = NULL;
    if (r->tried_model != model) {
        r->tried_model = model;
        r->tried = 0;
    }
    fill_ask(r, model);
    if (r->is_pinned) {
        return choose_pinned(r, model);
    }
    uint64_t allowed = r->ask.excluded;
    r->ask.excluded |= r->tried;
    if (follow_destination(r, model, &target)) {
        return target;
    }
    target = weir_model_choose(model, &r->ask, weir_worker_now_us(r->worker), &r->target_index);
    if (!target && r->tried) { /* better once more than not at all */
        r->ask.excluded = allowed;
        target = weir_model_choose(model, &r->ask, weir_worker_now_us(r->worker), &r->target_index);
    }
    return target;
}
