/* SPDX-License-Identifier: Apache-2.0 */
#include "shedding.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"

/* Part of a threshold below which it counts as better. */
static const double RELEASE = 0.7;

enum family { LEVEL, MOVES, REQUESTS, FAMILY_COUNT };

static const struct weir_metric_spec specs[FAMILY_COUNT] = {
    [LEVEL] = {WEIR_METRICS_GAUGE, "weir_shedding_level",
               "Steps of the class's ladder that hold for the model.",
               .labels = {"model", "class"}},
    [MOVES] = {WEIR_METRICS_COUNTER, "weir_shedding_moves_total",
               "Times that a ladder was climbed (up) or left by a step (down).",
               .labels = {"model", "class", "direction"}},
    [REQUESTS] = {WEIR_METRICS_COUNTER, "weir_requests_shed_total",
                  "Requests that got less than they asked for, by what was done.",
                  .labels = {"model", "class", "action"}},
};

struct ladder_state {
    struct weir_shed_position position; /* [main] */
    _Atomic uint32_t level;             /* of it, for readers */
};

struct weir_shedding {
    const struct weir_models *models;
    struct weir_metric_family *families[FAMILY_COUNT];
    uint32_t n_models;
    struct ladder_state (*states)[WEIR_CLASS_COUNT]; /* [n_models] */
};

int weir_shedding_create(const struct weir_models *models, struct weir_metrics *metrics,
                         struct weir_shedding **ret_shedding, struct weir_error *err)
{
    struct weir_shedding *s = calloc(1, sizeof(*s));
    uint32_t n = models->n < WEIR_SHEDDING_MAX_MODELS ? models->n : WEIR_SHEDDING_MAX_MODELS;
    if (s) {
        s->states = calloc(n + 1, sizeof(*s->states));
    }
    if (!s || !s->states) {
        free(s);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    s->models = models;
    s->n_models = n;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        s->families[i] = weir_metrics_define(metrics, &specs[i], err);
        if (!s->families[i]) {
            weir_shedding_destroy(s);
            return WEIR_E_NOMEM;
        }
    }
    *ret_shedding = s;
    return 0;
}

void weir_shedding_destroy(struct weir_shedding *s)
{
    if (s) {
        free(s->states);
        free(s);
    }
}

/* Does the step hold when its thresholds are `scale` of what is written? */
static bool holds(const struct weir_config_shed_step *step, double scale, uint64_t wait_us,
                  double fill)
{
    if (!step->has_wait && !step->has_fill) {
        return true;
    }
    return (step->has_wait && (double)wait_us >= (double)step->wait_us * scale) ||
           (step->has_fill && fill >= step->fill * scale);
}

/* The highest step that holds. */
static uint32_t level_of(const struct weir_config_shed_ladder *ladder, double scale,
                         uint64_t wait_us, double fill)
{
    uint32_t level = ladder->n_steps;
    while (level > 0 && !holds(&ladder->steps[level - 1], scale, wait_us, fill)) {
        level--;
    }
    return level;
}

void weir_shed_position_move(struct weir_shed_position *p,
                             const struct weir_config_shed_ladder *ladder, uint64_t hold_us,
                             uint64_t wait_us, double fill, uint64_t now_us)
{
    if (p->level > ladder->n_steps) {
        p->level = ladder->n_steps; /* a reload made it shorter */
    }
    uint32_t wanted = level_of(ladder, 1, wait_us, fill);
    if (wanted >= p->level) {
        p->level = wanted;
    }
    if (level_of(ladder, RELEASE, wait_us, fill) >= p->level) {
        p->better_since_us = 0;
    } else if (p->better_since_us == 0) {
        p->better_since_us = now_us;
    } else if (now_us - p->better_since_us >= hold_us) {
        p->level--;
        p->better_since_us = now_us;
    }
}

static void note_move(struct weir_shedding *s, const char *model, const char *class_name,
                      uint32_t from, uint32_t to, const struct weir_queue_outlook *outlook)
{
    weir_metric_add(
        WEIR_METRIC_SERIES(s->families[MOVES], model, class_name, to > from ? "up" : "down"), 1);
    weir_log(WEIR_LOG_WARN, "shedding", NULL,
             "model %s, class %s: step %u, was %u (predicted wait %.1f s, queue %.0f %% full)",
             model, class_name, to, from, (double)outlook->class_wait_us / 1e6,
             outlook->fill * 100);
}

static void look(struct weir_shedding *s, const struct weir_config_shedding *config, uint32_t index,
                 uint32_t class_rank, uint64_t now_us)
{
    const struct weir_config_shed_ladder *ladder = &config->ladders[class_rank];
    struct ladder_state *state = &s->states[index][class_rank];
    uint32_t before = state->position.level;
    if (ladder->n_steps == 0 && before == 0) {
        return;
    }
    struct weir_model *model = s->models->list[index];
    struct weir_queue_outlook outlook;
    weir_queue_look(weir_model_queue(model), 0, 0, class_rank, &outlook);
    weir_shed_position_move(&state->position, ladder, (uint64_t)config->hold_ms * 1000u,
                            outlook.class_wait_us, outlook.fill, now_us);
    uint32_t level = state->position.level;
    const char *class_name = weir_class_name((enum weir_class)class_rank);
    atomic_store_explicit(&state->level, level, memory_order_relaxed);
    weir_metric_set(WEIR_METRIC_SERIES(s->families[LEVEL], weir_model_name(model), class_name),
                    level);
    if (level != before) {
        note_move(s, weir_model_name(model), class_name, before, level, &outlook);
    }
}

void weir_shedding_tick(struct weir_shedding *s, const struct weir_config_shedding *config,
                        uint64_t now_us)
{
    for (uint32_t i = 0; i < s->n_models; i++) {
        for (uint32_t c = 0; c < WEIR_CLASS_COUNT; c++) {
            look(s, config, i, c, now_us);
        }
    }
}

static uint32_t index_of(const struct weir_shedding *s, const struct weir_model *model)
{
    uint32_t i = 0;
    while (i < s->n_models && s->models->list[i] != model) {
        i++;
    }
    return i;
}

bool weir_shedding_is_at_rest(const struct weir_shedding *s, const struct weir_model *model,
                              uint32_t class_rank)
{
    uint32_t index = index_of(s, model);
    return index == s->n_models ||
           atomic_load_explicit(&s->states[index][class_rank].level, memory_order_relaxed) == 0;
}

struct weir_shed weir_shedding_of(const struct weir_shedding *s,
                                  const struct weir_config_shedding *config,
                                  const struct weir_model *model, uint32_t class_rank)
{
    struct weir_shed shed = {0};
    const struct weir_config_shed_ladder *ladder = &config->ladders[class_rank];
    uint32_t index = ladder->n_steps ? index_of(s, model) : s->n_models;
    uint32_t level = index < s->n_models ? atomic_load_explicit(&s->states[index][class_rank].level,
                                                                memory_order_relaxed)
                                         : 0;
    for (uint32_t i = 0; i < level && i < ladder->n_steps; i++) {
        const struct weir_config_shed_step *step = &ladder->steps[i];
        switch (step->action) {
        case WEIR_SHED_MAX_TOKENS:
            if (shed.max_tokens == 0 || step->max_tokens < shed.max_tokens) {
                shed.max_tokens = step->max_tokens;
            }
            break;
        case WEIR_SHED_FALLBACK: shed.fallback = true; break;
        case WEIR_SHED_CACHED_ONLY: shed.cached_only = true; break;
        case WEIR_SHED_REJECT: shed.reject = true; break;
        }
    }
    return shed;
}

void weir_shedding_count(struct weir_shedding *s, const struct weir_model *model,
                         uint32_t class_rank, enum weir_shed_action action)
{
    static const char *const names[] = {"max_tokens", "fallback", "cached_only", "reject"};
    weir_metric_add(WEIR_METRIC_SERIES(s->families[REQUESTS], weir_model_name(model),
                                       weir_class_name((enum weir_class)class_rank), names[action]),
                    1);
}
