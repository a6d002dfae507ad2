/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One thread's door for plugins: tasks posted from any thread, and timers.
 *
 * Why: plugins resume requests and post work from threads of their own; only the thread that owns a
 * request may touch it. The loop knows no event library: a driver (loop_uv.h, or the virtual clock
 * of the conformance kit) calls turn() when `wake` was called and when the next timer is due.
 * Ownership: tasks and timers are memory of their owners; they must stay put while queued or armed.
 * Threads: turn, next_us and destroy on the loop's own thread; everything else [any].
 * Errors: WEIR_E_NOMEM from timer_start. Tasks need no memory, so post cannot fail.
 * Invariant: tasks run in the order of posting; a removed task or stopped timer does not run unless
 * it was being run already. */
#include "base/pieces.h"
#include "core/plugin/timers.h"

/* Time, injected so that tests decide it. Callable from any thread. */
struct weir_plugin_clock {
    uint64_t (*mono_ns)(void *arg);
    uint64_t (*wall_us)(void *arg);
    void *arg;
};
extern const struct weir_plugin_clock weir_plugin_clock_system;

struct weir_plugin_task {
    struct weir_plugin_task *next;
    void (*fn)(struct weir_plugin_task *);
    bool queued; /* under the loop's lock */
};

struct weir_plugin_loop;

/* `wake` [any] makes the loop's thread call turn() soon. */
int weir_plugin_loop_create(struct weir_plugin_clock clock, void (*wake)(void *arg), void *arg,
                            struct weir_plugin_loop **ret_loop);
/* Tasks and timers that are left are forgotten, not run. */
void weir_plugin_loop_destroy(struct weir_plugin_loop *loop);

/* Runs the tasks queued so far and the timers that are due. */
void weir_plugin_loop_turn(struct weir_plugin_loop *loop);
/* Microseconds until the next timer; 0: now; UINT64_MAX: none. */
uint64_t weir_plugin_loop_next_us(struct weir_plugin_loop *loop);
const struct weir_plugin_clock *weir_plugin_loop_clock(const struct weir_plugin_loop *loop);

/* The thread that calls it is the loop's from now on, and says turned() before each sleep; NULL:
 * it is no loop's any more. */
void weir_plugin_loop_adopt(struct weir_plugin_loop *loop);
void weir_plugin_loop_turned(struct weir_plugin_loop *loop);
/* The loop whose thread this is, or NULL. */
struct weir_plugin_loop *weir_plugin_loop_own(void);
/* What plugins gave back on it. On the loop's thread. */
struct weir_pieces *weir_plugin_loop_pieces(struct weir_plugin_loop *loop);
/* Its clock, read once in a turn: what happens in one turn happens at once. On the loop's thread.
 */
uint64_t weir_plugin_loop_turn_us(struct weir_plugin_loop *loop);
uint64_t weir_plugin_loop_turn_wall_us(struct weir_plugin_loop *loop);
/* The system's clock at the kernel's last tick, at most 10 ms ago, for a sixth of the price. */
uint64_t weir_plugin_clock_tick_ns(void);
/* Shall the hooks of a request that begins now be timed? 0: no; else each stands for so many. All
 * of the first requests and of another clock than the system's are; then one of 16, drawn by
 * chance, so that it falls in step with no client. On the loop's thread. */
uint32_t weir_plugin_loop_draw(struct weir_plugin_loop *loop);
/* No other loop of this process has or had it; they count from 0. */
uint32_t weir_plugin_loop_number(const struct weir_plugin_loop *loop);

/* A task that is queued already stays where it is. */
void weir_plugin_loop_post(struct weir_plugin_loop *loop, struct weir_plugin_task *task);
/* False when it was not queued. */
bool weir_plugin_loop_unpost(struct weir_plugin_loop *loop, struct weir_plugin_task *task);

/* Arms t (t->fn set; not armed). */
int weir_plugin_loop_timer_start(struct weir_plugin_loop *loop, struct weir_plugin_timer *t,
                                 uint64_t delay_us, uint64_t repeat_us);
/* False when it was not armed. */
bool weir_plugin_loop_timer_stop(struct weir_plugin_loop *loop, struct weir_plugin_timer *t);
