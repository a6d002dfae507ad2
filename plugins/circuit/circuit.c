/* SPDX-License-Identifier: Apache-2.0 */
#include "circuit.h"

static void enter(struct circuit *c, enum circuit_state state, uint64_t now_us)
{
    uint32_t n_times = c->n_times;
    *c = (struct circuit){.state = state,
                          .since_us = now_us,
                          .window_from_us = now_us,
                          .n_times = state == CIRCUIT_CLOSED ? 0 : n_times};
}

static enum circuit_advice note_closed(struct circuit *c, const struct circuit_settings *s,
                                       bool is_good, uint64_t now_us)
{
    if (now_us >= c->window_from_us + s->window_us) { /* it may be another loop's that is later */
        c->window_from_us = now_us;
        c->n_good = c->n_bad = 0;
    }
    c->n_good += is_good;
    c->n_bad += !is_good;
    c->n_in_a_row = is_good ? 0 : c->n_in_a_row + (c->n_in_a_row < UINT32_MAX);
    uint64_t n = (uint64_t)c->n_good + c->n_bad;
    bool rate = s->failure_percent && n >= s->min_requests &&
                (uint64_t)c->n_bad * 100 >= n * s->failure_percent;
    return !is_good && (c->n_in_a_row >= s->failure_threshold || rate) ? CIRCUIT_SHOULD_OPEN
                                                                       : CIRCUIT_STAY;
}

enum circuit_advice circuit_note(struct circuit *c, const struct circuit_settings *s, bool is_good,
                                 uint64_t begun_us, uint64_t now_us)
{
    if (begun_us < c->since_us || c->state == CIRCUIT_OPEN) {
        return CIRCUIT_STAY;
    }
    if (c->state == CIRCUIT_CLOSED) {
        return note_closed(c, s, is_good, now_us);
    }
    if (!is_good) {
        return CIRCUIT_SHOULD_OPEN;
    }
    return ++c->n_passed >= s->trial_requests ? CIRCUIT_SHOULD_CLOSE : CIRCUIT_PASSED;
}

void circuit_open(struct circuit *c, const struct circuit_settings *s, uint64_t now_us)
{
    uint32_t n_doubled = c->n_times < 20 ? c->n_times : 20;
    uint64_t us = s->open_us << n_doubled;
    us = us < s->max_open_us ? us : s->max_open_us;
    circuit_open_until(c, c->n_times < UINT32_MAX ? c->n_times + 1 : UINT32_MAX, now_us + us,
                       now_us);
}

void circuit_open_until(struct circuit *c, uint32_t n_times, uint64_t until_us, uint64_t now_us)
{
    enter(c, CIRCUIT_OPEN, now_us);
    c->n_times = n_times;
    c->until_us = until_us;
}

void circuit_close(struct circuit *c, uint64_t now_us)
{
    enter(c, CIRCUIT_CLOSED, now_us);
}

void circuit_try(struct circuit *c, uint64_t until_us)
{
    c->trial_until_us = until_us;
}

bool circuit_tick(struct circuit *c, uint64_t now_us)
{
    if (c->state == CIRCUIT_OPEN && now_us >= c->until_us) {
        enter(c, CIRCUIT_HALF_OPEN, now_us);
        return true;
    }
    if (c->trial_until_us && now_us >= c->trial_until_us) {
        c->trial_until_us = 0;
        return true;
    }
    return false;
}

int64_t circuit_permits(const struct circuit *c, const struct circuit_settings *s)
{
    if (c->state == CIRCUIT_CLOSED) {
        return -1;
    }
    return c->trial_until_us ? (int64_t)s->trial_requests - c->n_passed : 0;
}

const char *circuit_state_name(enum circuit_state state)
{
    static const char *const names[CIRCUIT__STATES] = {"closed", "open", "half_open"};
    return state < CIRCUIT__STATES ? names[state] : "unknown";
}
