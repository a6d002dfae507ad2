/* SPDX-License-Identifier: Apache-2.0 */
#include "overload.h"

#include "core/request/answer.h"
#include "core/request/generate.h"
#include "core/request/observe.h"
#include "core/request/request.h"
#include "core/request/routing.h"
#include "core/request/shedding.h"
#include "core/request/tenant.h"
#include "core/server/server.h"

static struct weir_shedding *shedding_of(const struct weir_request *r)
{
    return weir_worker_server(r->worker)->shedding;
}

static struct weir_shed look_up(const struct weir_request *r, const struct weir_model *model)
{
    if (weir_shedding_is_at_rest(shedding_of(r), model, r->class_rank)) {
        return (struct weir_shed){0}; /* the usual case needs no look at the configuration */
    }
    struct weir_config *config = weir_server_config(weir_worker_server(r->worker));
    struct weir_shed shed =
        weir_shedding_of(shedding_of(r), &config->shedding, model, r->class_rank);
    weir_config_unref(config);
    return shed;
}

static void count(const struct weir_request *r, enum weir_shed_action action)
{
    weir_shedding_count(shedding_of(r), r->asked_model, r->class_rank, action);
}

static void switch_model(struct weir_request *r, struct weir_model *model,
                         struct weir_target *target)
{
    weir_generation *g = &r->api.generation;
    uint32_t lowered = r->is_prepared && r->prepared.max_tokens < r->given_max_tokens
                           ? r->prepared.max_tokens
                           : 0; /* by a plugin */
    weir_generate_discard(r);
    g->max_tokens = r->asked_max_tokens;
    if (lowered > 0 && (g->max_tokens == 0 || lowered < g->max_tokens)) {
        g->max_tokens = lowered;
    }
    r->model = model;
    r->target = target;
    r->api.model = r->reply.model = weir_model_name_str(model);
    weir_observe_model(weir_worker_observer(r->worker), r);
}

/* busy_too: models that are to be relieved themselves count as well. */
static bool fall_back(struct weir_request *r, bool busy_too)
{
    uint32_t n = weir_model_n_fallbacks(r->asked_model);
    while (r->n_fallbacks_tried < n) {
        struct weir_model *model = weir_model_fallback(r->asked_model, r->n_fallbacks_tried++);
        struct weir_shed shed = look_up(r, model);
        if (!weir_tenant_allows(r, model) ||
            (!busy_too && (shed.fallback || shed.cached_only || shed.reject))) {
            continue;
        }
        bool was_pinned = r->is_pinned;
        r->is_pinned = false; /* that was to a target of the other one */
        struct weir_target *target = weir_routing_choose(r, model);
        if (target) {
            switch_model(r, model, target);
            return true;
        }
        r->is_pinned = was_pinned;
    }
    return false;
}

bool weir_overload_fall_back(struct weir_request *r)
{
    return fall_back(r, true);
}

static bool tenant_is_spared(struct weir_request *r)
{
    struct weir_queue_outlook outlook;
    weir_queue_look(weir_model_queue(r->model), r->tenant_hash, r->resources.weight, r->class_rank,
                    &outlook);
    return outlook.below_share;
}

static void answer_overloaded(struct weir_request *r, const char *what)
{
    struct weir_queue_outlook outlook;
    weir_queue_look(weir_model_queue(r->model), r->tenant_hash, r->resources.weight, r->class_rank,
                    &outlook);
    weir_observe_rejected(weir_worker_observer(r->worker), r, "shed");
    weir_answer_busy(r, 503, "overloaded", outlook.retry_after_us,
                     "The model '%s' has too many requests: %s.", weir_model_name(r->model), what);
}

static void shorten(struct weir_request *r, uint32_t max_tokens)
{
    weir_generation *g = &r->api.generation;
    if (g->max_tokens == 0 || g->max_tokens > max_tokens) {
        g->max_tokens = max_tokens;
        r->is_shortened = true;
        count(r, WEIR_SHED_MAX_TOKENS);
    }
}

bool weir_overload_pass(struct weir_request *r)
{
    struct weir_shed shed = look_up(r, r->model);
    bool any = shed.max_tokens || shed.fallback || shed.cached_only || shed.reject;
    if (!any || tenant_is_spared(r)) {
        return true;
    }
    if (shed.reject) {
        count(r, WEIR_SHED_REJECT);
        answer_overloaded(r, "it takes none of this class now");
        return false;
    }
    if (shed.max_tokens > 0 &&
        !shed.cached_only) { /* a kept answer is whole, and has another key */
        shorten(r, shed.max_tokens);
    }
    if (shed.fallback) {
        uint32_t tried = r->n_fallbacks_tried;
        r->asked_max_tokens = r->api.generation.max_tokens;
        if (fall_back(r, false)) {
            count(r, WEIR_SHED_FALLBACK);
            return true;
        }
        r->n_fallbacks_tried = tried;
    }
    r->cached_only = shed.cached_only;
    return true;
}

bool weir_overload_pass_uncached(struct weir_request *r)
{
    if (!r->cached_only) {
        return true;
    }
    count(r, WEIR_SHED_CACHED_ONLY);
    answer_overloaded(r, "only answers that are cached are given now");
    return false;
}
