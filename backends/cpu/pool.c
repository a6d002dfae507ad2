/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slice.h"

/* SPIN_US: longer than the usual unevenness between two threads in one stage, shorter than what a
 * sleeping thread costs to wake several times over. SPIN_OWN_US: where each thread has a CPU of its
 * own, nobody whom it waits for needs that CPU, and it spins over what lies between two steps and
 * over a network loop's turn. Sleeping there would leave the CPU idle, and the host of a virtual
 * machine takes an idle CPU away: to get it back was seen to take 4 to 9 ms. */
enum { SPIN_US = 40, SPIN_OWN_US = 500, SPINS_PER_LOOK = 32 };

struct worker {
    struct weir_cpu_pool *pool;
    uint32_t index;
    pthread_t thread;
    int own_cpu;     /* where the pool has as many threads as there are CPUs */
    _Atomic int cpu; /* on which it was when it last began a run or woke in a barrier */
};

struct weir_cpu_pool {
    uint32_t n_threads;
    uint32_t n_started; /* workers whose pthread exists: index 1..n_started */
    struct worker *workers;
    cpu_set_t allowed;         /* of the creator */
    _Atomic bool has_own_cpus; /* each worker has an own_cpu */
    void (*fn)(void *arg, uint32_t thread);
    void *arg;
    bool has_run; /* its caller is as pinned as it is to be */
    bool stop;

    /* Counts runs; a worker waits for it to change. Release by run(), acquire by workers: fn, arg
     * and everything the caller prepared. */
    _Alignas(64) _Atomic uint32_t epoch;
    _Atomic uint32_t epoch_sleepers;
    /* Barrier: arrivals of the present phase, and the phase itself. The last arrival's release on
     * `phase` publishes what all threads wrote (each arrival is acquire-release on `arrived`). */
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) _Atomic uint32_t phase;
    _Atomic uint32_t phase_sleepers;
};

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns once *word differs from `old`: true when it slept until then. */
static bool wait_change(_Atomic uint32_t *word, uint32_t old, _Atomic uint32_t *sleepers,
                        uint32_t spin_us)
{
    uint64_t until_us = 0;
    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old) {
                return false;
            }
            cpu_relax();
        }
        uint64_t now_us = weir_clock_mono_us();
        if (until_us == 0) {
            until_us = now_us + spin_us;
        } else if (now_us >= until_us) {
            break;
        }
    }
    /* Sequentially consistent on both sides: either the waker sees the sleeper, or the sleeper's
     * futex call sees the new value. */
    atomic_fetch_add(sleepers, 1);
    while (atomic_load(word) == old) {
        futex_wait(word, old);
    }
    atomic_fetch_sub(sleepers, 1);
    return true;
}

static bool has_own_cpus(const struct weir_cpu_pool *pool)
{
    return atomic_load_explicit(&pool->has_own_cpus, memory_order_relaxed);
}

static uint32_t longest_spin_us(const struct weir_cpu_pool *pool)
{
    return has_own_cpus(pool) ? SPIN_OWN_US : SPIN_US;
}

static void publish(_Atomic uint32_t *word, _Atomic uint32_t *sleepers)
{
    atomic_fetch_add(word, 1);
    if (atomic_load(sleepers) > 0) {
        futex_wake_all(word);
    }
}

static int cpu_of(struct weir_cpu_pool *pool, uint32_t index)
{
    return atomic_load_explicit(&pool->workers[index].cpu, memory_order_relaxed);
}

/* Moves the calling thread to a CPU that no thread of lower index is on. */
static void move_apart(struct weir_cpu_pool *pool, uint32_t index)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
        return;
    }
    cpu_set_t apart = allowed;
    for (uint32_t i = 0; i < index; i++) {
        CPU_CLR((size_t)cpu_of(pool, i), &apart);
    }
    if (CPU_COUNT(&apart) > 0 && sched_setaffinity(0, sizeof(apart), &apart) == 0) {
        (void)sched_setaffinity(0, sizeof(allowed), &allowed);
    }
}

/* Without one, when this process may no longer run there, no thread keeps its own. */
static void take_own_cpu(struct weir_cpu_pool *pool, uint32_t index)
{
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET((size_t)pool->workers[index].own_cpu, &own);
    if (has_own_cpus(pool) && sched_setaffinity(0, sizeof(own), &own) < 0) {
        atomic_store_explicit(&pool->has_own_cpus, false, memory_order_relaxed);
    }
}

/* What a thread of the pool asks of the kernel before its first run. */
static void settle(struct weir_cpu_pool *pool, uint32_t index)
{
    weir_slice_wish(WEIR_SLICE_COMPUTE_US);
    take_own_cpu(pool, index);
}

/* Two threads that wait for each other in turn look to the kernel like one that is always busy:
 * when another program has pushed them onto one CPU it leaves them there for 100 ms and longer, and
 * each step takes several times as long. Pinned only where each CPU gets a thread: nothing is won
 * by leaving then. Else not, as other programs use the CPUs too. */
static void keep_apart(struct weir_cpu_pool *pool, uint32_t index)
{
    int cpu = sched_getcpu();
    if (has_own_cpus(pool)) {
        if (cpu != pool->workers[index].own_cpu) {
            take_own_cpu(pool, index);
        }
        return;
    }
    atomic_store_explicit(&pool->workers[index].cpu, cpu, memory_order_relaxed);
    for (uint32_t i = 0; i < index; i++) {
        if (cpu >= 0 && cpu_of(pool, i) == cpu) {
            move_apart(pool, index);
            return;
        }
    }
}

void weir_cpu_pool_barrier(struct weir_cpu_pool *pool, uint32_t thread)
{
    if (pool->n_threads == 1) {
        return;
    }
    uint32_t phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (before + 1 == pool->n_threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        publish(&pool->phase, &pool->phase_sleepers);
        return;
    }
    if (wait_change(&pool->phase, phase, &pool->phase_sleepers, longest_spin_us(pool))) {
        keep_apart(pool, thread); /* a sleeper wakes wherever the kernel finds room */
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct weir_cpu_pool *pool = w->pool;
    uint32_t epoch = 0;
    settle(pool, w->index);
    for (;;) {
        wait_change(&pool->epoch, epoch, &pool->epoch_sleepers, longest_spin_us(pool));
        epoch++;
        if (pool->stop) {
            return NULL;
        }
        keep_apart(pool, w->index);
        pool->fn(pool->arg, w->index);
        weir_cpu_pool_barrier(pool, w->index);
    }
}

/* Each worker a CPU, where there are just as many. */
static void give_cpus(struct weir_cpu_pool *pool)
{
    if (sched_getaffinity(0, sizeof(pool->allowed), &pool->allowed) < 0) {
        CPU_ZERO(&pool->allowed);
    }
    if (pool->n_threads == 1 || (uint32_t)CPU_COUNT(&pool->allowed) != pool->n_threads) {
        return;
    }
    uint32_t n_given = 0;
    for (int cpu = 0; n_given < pool->n_threads; cpu++) {
        if (CPU_ISSET((size_t)cpu, &pool->allowed)) {
            pool->workers[n_given++].own_cpu = cpu;
        }
    }
    atomic_store_explicit(&pool->has_own_cpus, true, memory_order_relaxed);
}

int weir_cpu_pool_create(uint32_t n_threads, struct weir_cpu_pool **ret_pool)
{
    struct weir_cpu_pool *pool = aligned_alloc(64, sizeof(*pool));
    if (!pool) {
        return WEIR_E_NOMEM;
    }
    *pool = (struct weir_cpu_pool){.n_threads = n_threads ? n_threads : 1};
    pool->workers = calloc(pool->n_threads, sizeof(*pool->workers));
    if (!pool->workers) {
        weir_cpu_pool_destroy(pool);
        return WEIR_E_NOMEM;
    }
    give_cpus(pool);
    for (uint32_t i = 1; i < pool->n_threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]) != 0) {
            weir_cpu_pool_destroy(pool);
            return WEIR_E_NOMEM;
        }
        pool->n_started = i;
    }
    *ret_pool = pool;
    return 0;
}

void weir_cpu_pool_destroy(struct weir_cpu_pool *pool)
{
    if (!pool) {
        return;
    }
    pool->stop = true;
    publish(&pool->epoch, &pool->epoch_sleepers);
    for (uint32_t i = 1; i <= pool->n_started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    if (pool->has_run && CPU_COUNT(&pool->allowed) > 0) {
        (void)sched_setaffinity(0, sizeof(pool->allowed), &pool->allowed);
    }
    free(pool->workers);
    free(pool);
}

uint32_t weir_cpu_pool_size(const struct weir_cpu_pool *pool)
{
    return pool->n_threads;
}

void weir_cpu_pool_run(struct weir_cpu_pool *pool, void (*fn)(void *arg, uint32_t thread),
                       void *arg)
{
    pool->fn = fn;
    pool->arg = arg;
    if (!pool->has_run) {
        settle(pool, 0);
        pool->has_run = true;
    }
    if (pool->n_threads > 1) {
        keep_apart(pool, 0);
        publish(&pool->epoch, &pool->epoch_sleepers);
    }
    fn(arg, 0);
    weir_cpu_pool_barrier(pool, 0);
}

static uint64_t span_of(uint32_t begin, uint32_t end)
{
    return (uint64_t)end << 32 | begin;
}

void weir_cpu_range_init(struct weir_cpu_range *range, uint32_t n_items, uint32_t thread,
                         uint32_t n_threads)
{
    uint32_t begin = (uint32_t)((uint64_t)n_items * thread / n_threads);
    uint32_t end = (uint32_t)((uint64_t)n_items * (thread + 1) / n_threads);
    /* Relaxed: the barrier between this and the first take() orders it. */
    atomic_store_explicit(&range->span, span_of(begin, end), memory_order_relaxed);
}

/* Takes up to `grain` items from one range: the owner from the front, a thief from the back.
 * Relaxed: items are only numbers; the data behind them is ordered by the barriers. */
static uint32_t take_from(struct weir_cpu_range *range, bool is_owner, uint32_t grain,
                          uint32_t *ret_begin)
{
    uint64_t span = atomic_load_explicit(&range->span, memory_order_relaxed);
    for (;;) {
        uint32_t begin = (uint32_t)span;
        uint32_t end = (uint32_t)(span >> 32);
        if (begin >= end) {
            return 0;
        }
        uint32_t n = end - begin < grain ? end - begin : grain;
        uint64_t rest = is_owner ? span_of(begin + n, end) : span_of(begin, end - n);
        if (atomic_compare_exchange_weak_explicit(&range->span, &span, rest, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *ret_begin = is_owner ? begin : end - n;
            return n;
        }
    }
}

uint32_t weir_cpu_range_take(struct weir_cpu_range *ranges, uint32_t thread, uint32_t n_threads,
                             uint32_t grain, uint32_t *ret_begin)
{
    uint32_t n = take_from(&ranges[thread], true, grain, ret_begin);
    for (uint32_t i = 1; n == 0 && i < n_threads; i++) {
        n = take_from(&ranges[(thread + i) % n_threads], false, grain, ret_begin);
    }
    return n;
}
