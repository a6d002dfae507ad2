/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One circuit: whether something that may fail is asked at all.
 *
 * CLOSED: yes; failures in a row, or too large a part of a window's, say that it should open. OPEN:
 * no, for a time that doubles with each opening. HALF_OPEN: nothing but a trial, a few requests
 * that must all go well, then it closes; one bad one opens it again. What began before the state
 * was entered says nothing. Who opens it is the owner, who may have reasons not to. Ownership,
 * threads: the owner's. Times: microseconds of a monotonic clock. */
#include <stdbool.h>
#include <stdint.h>

enum circuit_state { /* the numbers are the metrics', those of the store's breaker too */
                     CIRCUIT_CLOSED,
                     CIRCUIT_OPEN,
                     CIRCUIT_HALF_OPEN,
                     CIRCUIT__STATES
};

struct circuit_settings {
    uint32_t failure_threshold; /* in a row */
    uint32_t failure_percent;   /* of a window; 0: this does not open it */
    uint32_t min_requests;      /* in a window, for failure_percent to say anything */
    uint64_t window_us;
    uint64_t open_us, max_open_us;
    uint32_t trial_requests;
};

struct circuit {
    enum circuit_state state;
    uint64_t since_us;                  /* the state */
    uint32_t n_in_a_row, n_good, n_bad; /* CLOSED; the latter two of the window */
    uint64_t window_from_us;
    uint32_t n_times;        /* opened, since it was closed */
    uint64_t until_us;       /* OPEN */
    uint64_t trial_until_us; /* HALF_OPEN; 0: no trial is under way here */
    uint32_t n_passed;       /* of the trial */
};

enum circuit_advice { CIRCUIT_STAY, CIRCUIT_PASSED, CIRCUIT_SHOULD_OPEN, CIRCUIT_SHOULD_CLOSE };

/* Something that began at begun_us went well or badly. PASSED: a part of the trial did well. */
enum circuit_advice circuit_note(struct circuit *c, const struct circuit_settings *s, bool is_good,
                                 uint64_t begun_us, uint64_t now_us);

void circuit_open(struct circuit *c, const struct circuit_settings *s, uint64_t now_us);
/* As another decided. */
void circuit_open_until(struct circuit *c, uint32_t n_times, uint64_t until_us, uint64_t now_us);
void circuit_close(struct circuit *c, uint64_t now_us);
/* A half open one may be tried here until then. */
void circuit_try(struct circuit *c, uint64_t until_us);
/* True: the time of its state, or of the trial, is over. */
bool circuit_tick(struct circuit *c, uint64_t now_us);

/* How many requests may be under way: -1 as many as there are. */
int64_t circuit_permits(const struct circuit *c, const struct circuit_settings *s);
const char *circuit_state_name(enum circuit_state state);
