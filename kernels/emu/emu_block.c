/* SPDX-License-Identifier: Apache-2.0 */
/* One block: its threads as fibers on the stack of an OS thread that runs nothing else meanwhile.
 *
 * A fiber runs until it waits; then the thread that became ready last goes on, so that a wave's
 * lanes run close after each other. A thread that never waits needs no switch: the next unstarted
 * one begins on the same stack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/emu/emu_fiber.h"
#include "kernels/emu/emu_internal.h"
#include "kernels/emu/emu_thread.h"

enum {
    STACK_BYTES = 256 * 1024,
    GUARD_BYTES = 4096,
    TOP_BYTES = 4096, /* where those frames lie that are left without a return */
    SHARED_ALIGN = 1024
};

struct fiber {
    void *sp;    /* where it was left */
    void *stack; /* NULL before its start and after its end */
    void *fake;  /* the sanitizer's */
    uint8_t exchange_turn, ballot_turn, tile_turn;
};

struct weir_emu_block {
    struct weir_emu_self self;
    const struct weir_emu_kernel *kernel;
    const void *args;
    void *main_sp;          /* the OS thread's own place in weir_emu_block_run() */
    const void *main_stack; /* NULL: not known yet */
    size_t main_stack_bytes;
    struct fiber fibers[WEIR_EMU_MAX_THREADS];
    uint16_t ready[WEIR_EMU_MAX_THREADS]; /* [n_ready], the last goes first */
    uint32_t n_ready, n_done;
    uint32_t n_at_barrier;
    uint32_t n_at_group[2][WEIR_EMU_MAX_THREADS / 32]; /* by width 32, 64 */
    uint64_t exchanged[2][WEIR_EMU_MAX_THREADS];
    uint8_t voted[2][WEIR_EMU_MAX_THREADS];
    struct weir_emu_tile *tiles; /* [2][waves of 32] */
    void *free_stacks[WEIR_EMU_MAX_THREADS];
    void *stacks[WEIR_EMU_MAX_THREADS]; /* all that were mapped */
    uint32_t n_free_stacks, n_stacks;
    void *shared;
    size_t shared_capacity;
    uint64_t random;
    const char *failed; /* NULL, or what went wrong */
    char sentence[300];
};

__thread struct weir_emu_self *weir_emu_self;

/* `self` is the block's first field. */
static struct weir_emu_block *current(void)
{
    return (struct weir_emu_block *)(void *)weir_emu_self;
}

int weir_emu_block_create(struct weir_emu_block **ret_block)
{
    struct weir_emu_block *block = calloc(1, sizeof(*block));
    if (!block) {
        return WEIR_E_NOMEM;
    }
    block->tiles = calloc(2 * (WEIR_EMU_MAX_THREADS / 32), sizeof(*block->tiles));
    if (!block->tiles) {
        free(block);
        return WEIR_E_NOMEM;
    }
    *ret_block = block;
    return 0;
}

void weir_emu_block_destroy(struct weir_emu_block *block)
{
    if (!block) {
        return;
    }
    for (uint32_t i = 0; i < block->n_stacks; i++) {
        munmap(block->stacks[i], STACK_BYTES);
    }
    free(block->shared);
    free(block->tiles);
    free(block);
}

static uint32_t random_below(struct weir_emu_block *block, uint32_t n)
{
    block->random = block->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((block->random >> 33) % n);
}

/* Makes threads first..first + n ready, all but `except`, in an order of chance: a stride without a
 * common factor walks through all of them. */
static void make_ready(struct weir_emu_block *block, uint32_t first, uint32_t n, uint32_t except)
{
    static const uint32_t strides[] = {1, 37, 41, 43, 47, 53, 59, 61};
    uint32_t stride = strides[random_below(block, 8)];
    uint32_t at = random_below(block, n);
    for (uint32_t i = 0; i < n; i++) {
        if (first + at != except) {
            block->ready[block->n_ready++] = (uint16_t)(first + at);
        }
        at = (at + stride) % n;
    }
}

/* Gives the processor to a fiber; `fake` NULL when the present one has ended. */
static void leave_for(struct fiber *other, void **fake)
{
    weir_emu_fiber_leave(fake, (char *)other->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
}

static void leave(struct weir_emu_block *block)
{
    weir_emu_fiber_leave(NULL, block->main_stack, block->main_stack_bytes);
    weir_emu_switch(&block->fibers[block->self.thread].sp, block->main_sp);
    abort(); /* nobody switches back */
}

void weir_emu_fail(const char *sentence)
{
    struct weir_emu_block *block = current();
    snprintf(block->sentence, sizeof(block->sentence), "%s: %s (block %u %u %u, thread %u)",
             block->kernel->name, sentence, block->self.block[0], block->self.block[1],
             block->self.block[2], block->self.thread);
    block->failed = block->sentence;
    leave(block);
    abort();
}

static void fail_stuck(struct weir_emu_block *block)
{
    char text[160];
    snprintf(text, sizeof(text),
             "barrier counts differ: of %u threads %u ended, %u wait for the block, others for "
             "their wave",
             block->self.n_threads, block->n_done, block->n_at_barrier);
    weir_emu_fail(text);
}

static void run_threads(void);

static void *map_stack(void)
{
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD_BYTES, PROT_NONE) != 0) {
        return NULL;
    }
    return stack;
}

/* A stack pointer at which weir_emu_switch() finds registers of no interest and the way into
 * run_threads(). */
static void *prepare_stack(void *stack)
{
    uint64_t *top = (uint64_t *)(void *)((char *)stack + STACK_BYTES);
#if defined(__x86_64__)
    top -= 2; /* at its entry a function finds the stack at 8 modulo 16 */
    top[0] = (uint64_t)(uintptr_t)run_threads;
    top[1] = 0;
    top -= 6;
    memset(top, 0, 6 * sizeof(*top));
#else
    top -= 20;
    memset(top, 0, 20 * sizeof(*top));
    top[11] = (uint64_t)(uintptr_t)run_threads; /* x30 */
#endif
    return top;
}

static void begin(struct weir_emu_block *block, struct fiber *fiber)
{
    if (block->n_free_stacks == 0) {
        void *stack = map_stack();
        if (!stack) {
            weir_emu_fail("no memory for a stack");
        }
        block->stacks[block->n_stacks++] = stack;
        block->free_stacks[block->n_free_stacks++] = stack;
    }
    fiber->stack = block->free_stacks[--block->n_free_stacks];
    weir_emu_fiber_forget((char *)fiber->stack + STACK_BYTES - TOP_BYTES, TOP_BYTES);
    fiber->sp = prepare_stack(fiber->stack);
}

/* Gives the processor away; comes back when somebody made this thread ready and took it. */
static void wait_here(struct weir_emu_block *block)
{
    if (block->n_ready == 0) {
        fail_stuck(block);
    }
    struct fiber *me = &block->fibers[block->self.thread];
    uint32_t next = block->ready[--block->n_ready];
    struct fiber *other = &block->fibers[next];
    if (!other->stack) {
        begin(block, other);
    }
    block->self.thread = next;
    leave_for(other, &me->fake);
    weir_emu_switch(&me->sp, other->sp);
    weir_emu_fiber_arrive(me->fake, NULL, NULL);
}

/* The body of every fiber: its thread, then on the same stack those not begun yet. */
static void run_threads(void)
{
    struct weir_emu_block *block = current();
    const void *from = NULL;
    size_t from_bytes = 0;
    weir_emu_fiber_arrive(NULL, &from, &from_bytes);
    if (!block->main_stack) { /* the first fiber is begun from there */
        block->main_stack = from;
        block->main_stack_bytes = from_bytes;
    }
    for (;;) {
        block->kernel->entry(block->args);
        struct fiber *me = &block->fibers[block->self.thread];
        void *stack = me->stack;
        me->stack = NULL;
        block->n_done++;
        if (block->n_done == block->self.n_threads) {
            block->free_stacks[block->n_free_stacks++] = stack;
            leave(block);
        }
        if (block->n_ready == 0) {
            fail_stuck(block);
        }
        uint32_t next = block->ready[--block->n_ready];
        block->self.thread = next;
        if (block->fibers[next].stack) {
            /* Nobody takes this stack before the switch is done. */
            block->free_stacks[block->n_free_stacks++] = stack;
            leave_for(&block->fibers[next], NULL);
            weir_emu_switch(&me->sp, block->fibers[next].sp);
        }
        block->fibers[next].stack = stack;
    }
}

void weir_emu_barrier(void)
{
    struct weir_emu_block *block = current();
    if (++block->n_at_barrier < block->self.n_threads) {
        wait_here(block);
        return;
    }
    block->n_at_barrier = 0;
    make_ready(block, 0, block->self.n_threads, block->self.thread);
}

void weir_emu_group_barrier(uint32_t group)
{
    struct weir_emu_block *block = current();
    uint32_t index = block->self.thread / group;
    uint32_t *n_arrived = &block->n_at_group[group == 64][index];
    if (++*n_arrived < group) {
        wait_here(block);
        return;
    }
    *n_arrived = 0;
    make_ready(block, index * group, group, block->self.thread);
}

/* Two places take turns: whoever publishes a third time has met everybody behind the second
 * barrier, and thus everybody has read the first. */
uint64_t weir_emu_exchange(uint64_t bits, uint32_t from)
{
    struct weir_emu_block *block = current();
    uint32_t thread = block->self.thread;
    uint64_t *published = block->exchanged[block->fibers[thread].exchange_turn];
    block->fibers[thread].exchange_turn ^= 1;
    published[thread] = bits;
    weir_emu_group_barrier(32);
    return published[thread / 32 * 32 + from];
}

uint64_t weir_emu_ballot(int p, uint32_t group)
{
    struct weir_emu_block *block = current();
    uint32_t thread = block->self.thread;
    uint8_t *voted = block->voted[block->fibers[thread].ballot_turn];
    block->fibers[thread].ballot_turn ^= 1;
    voted[thread] = p != 0;
    weir_emu_group_barrier(group);
    uint64_t mask = 0;
    for (uint32_t i = 0; i < group; i++) {
        mask |= (uint64_t)voted[thread / group * group + i] << i;
    }
    return mask;
}

struct weir_emu_tile *weir_emu_tile(uint32_t group)
{
    struct weir_emu_block *block = current();
    uint32_t thread = block->self.thread;
    uint32_t turn = block->fibers[thread].tile_turn;
    block->fibers[thread].tile_turn ^= 1;
    return &block->tiles[turn * (WEIR_EMU_MAX_THREADS / 32) + thread / group];
}

static int prepare_shared(struct weir_emu_block *block, size_t n_bytes)
{
    size_t rounded = (n_bytes + SHARED_ALIGN - 1) / SHARED_ALIGN * SHARED_ALIGN;
    if (rounded > block->shared_capacity) {
        free(block->shared);
        block->shared_capacity = 0;
        block->shared = aligned_alloc(SHARED_ALIGN, rounded);
        if (!block->shared) {
            return WEIR_E_NOMEM;
        }
        block->shared_capacity = rounded;
    }
    if (n_bytes > 0) {
        memset(block->shared, 0xFF, n_bytes); /* NaN as f16, bf16 and f32 */
    }
    return 0;
}

/* Also takes back the stacks of a block that failed. */
static void reset(struct weir_emu_block *block)
{
    for (uint32_t i = 0; block->failed && i < block->n_stacks; i++) {
        weir_emu_fiber_forget((char *)block->stacks[i] + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
    }
    memset(block->fibers, 0, block->self.n_threads * sizeof(block->fibers[0]));
    memset(block->n_at_group, 0, sizeof(block->n_at_group));
    block->n_ready = block->n_done = block->n_at_barrier = 0;
    memcpy(block->free_stacks, block->stacks, block->n_stacks * sizeof(block->stacks[0]));
    block->n_free_stacks = block->n_stacks;
    block->failed = NULL;
}

const char *weir_emu_block_run(struct weir_emu_block *block, const struct weir_emu_kernel *kernel,
                               const struct weir_gpu_launch *launch, const uint32_t at[3],
                               uint64_t seed)
{
    block->self.n_threads = launch->block;
    memcpy(block->self.block, at, sizeof(block->self.block));
    memcpy(block->self.grid, launch->grid, sizeof(block->self.grid));
    if (prepare_shared(block, launch->shared_bytes) < 0) {
        return "no memory for a block's shared memory";
    }
    reset(block);
    block->self.shared = block->shared;
    block->kernel = kernel;
    block->args = launch->args;
    block->random = seed;
    weir_emu_self = &block->self;
    make_ready(block, 0, launch->block, launch->block);
    block->self.thread = block->ready[--block->n_ready];
    if (block->n_stacks == 0) {
        block->stacks[0] = map_stack();
        if (!block->stacks[0]) {
            return "no memory for a stack";
        }
        block->n_stacks = block->n_free_stacks = 1;
        block->free_stacks[0] = block->stacks[0];
    }
    struct fiber *first = &block->fibers[block->self.thread];
    begin(block, first);
    void *fake = NULL;
    leave_for(first, &fake);
    weir_emu_switch(&block->main_sp, first->sp);
    weir_emu_fiber_arrive(fake, NULL, NULL);
    weir_emu_self = NULL;
    return block->failed;
}
