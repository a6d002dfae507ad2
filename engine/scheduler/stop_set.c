/* SPDX-License-Identifier: Apache-2.0 */
#include "stop_set.h"

static const uint32_t *make_borders(struct weir_arena *arena, weir_str s)
{
    uint32_t *border = weir_arena_array(arena, s.n + 1, sizeof(*border));
    if (!border) {
        return NULL;
    }
    uint32_t k = 0;
    for (uint32_t i = 1; i < s.n; i++) {
        while (k > 0 && s.p[i] != s.p[k]) {
            k = border[k];
        }
        if (s.p[i] == s.p[k]) {
            k++;
        }
        border[i + 1] = k;
    }
    return border;
}

int weir_stop_set_init(struct weir_stop_set *set, const weir_str *stops, uint32_t n_stops,
                       struct weir_arena *arena)
{
    *set = (struct weir_stop_set){0};
    if (n_stops > WEIR_MAX_STOPS) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < n_stops; i++) {
        if (stops[i].n == 0) {
            continue;
        }
        if (stops[i].n > UINT32_MAX / 2) {
            return WEIR_E_ARG;
        }
        weir_str copy = weir_arena_copy(arena, stops[i]);
        const uint32_t *border = copy.p ? make_borders(arena, copy) : NULL;
        if (!border) {
            return WEIR_E_NOMEM;
        }
        set->stops[set->n].text = copy.p;
        set->stops[set->n].len = (uint32_t)copy.n;
        set->stops[set->n].border = border;
        set->n++;
        if (copy.n > set->longest) {
            set->longest = (uint32_t)copy.n;
        }
    }
    return 0;
}

uint32_t weir_stop_set_step(const struct weir_stop_set *set, struct weir_stop_state *state, char c)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        const char *text = set->stops[i].text;
        uint32_t k = state->matched[i];
        while (k > 0 && text[k] != c) {
            k = set->stops[i].border[k];
        }
        if (text[k] == c) {
            k++;
        }
        if (k == set->stops[i].len) {
            found = k > found ? k : found;
            k = set->stops[i].border[k];
        }
        state->matched[i] = k;
    }
    return found;
}

uint32_t weir_stop_set_held(const struct weir_stop_set *set, const struct weir_stop_state *state)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        held = state->matched[i] > held ? state->matched[i] : held;
    }
    return held;
}
