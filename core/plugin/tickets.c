/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/tickets.h"

#include <pthread.h>
#include <stdlib.h>

enum { BLOCK_SLOTS = 256, MAX_BLOCKS = WEIR_TICKETS_MAX / BLOCK_SLOTS };

enum slot_state {
    SLOT_FREE,
    SLOT_WAITING,
    SLOT_RESUMED,   /* its task is queued */
    SLOT_CANCELLED, /* cancelled behind a resume: the task only frees it */
};

struct slot {
    struct weir_plugin_task task;   /* first: the callbacks cast */
    struct weir_plugin_timer timer; /* touched on the slot's loop only */
    struct weir_tickets *table;
    struct weir_plugin_loop *loop;
    struct slot *next_free;
    weir_ticket_ended ended;
    void *arg;
    uint32_t index;
    uint32_t generation; /* odd or even alike; never 0 while open */
    enum slot_state state;
    int rc;
    char *data;
    size_t data_len;
};

struct weir_tickets {
    pthread_mutex_t lock; /* everything; taken before a loop's own lock, never after */
    struct slot *blocks[MAX_BLOCKS];
    uint32_t n_blocks;
    struct slot *free;
    size_t n_open;
};

int weir_tickets_create(struct weir_tickets **ret_tickets)
{
    struct weir_tickets *ts = calloc(1, sizeof(*ts));
    if (!ts) {
        return WEIR_E_NOMEM;
    }
    if (pthread_mutex_init(&ts->lock, NULL) != 0) {
        free(ts);
        return WEIR_E_NOMEM;
    }
    *ret_tickets = ts;
    return 0;
}

void weir_tickets_destroy(struct weir_tickets *ts)
{
    if (!ts) {
        return;
    }
    for (uint32_t i = 0; i < ts->n_blocks; i++) {
        for (uint32_t j = 0; j < BLOCK_SLOTS; j++) {
            free(ts->blocks[i][j].data);
        }
        free(ts->blocks[i]);
    }
    pthread_mutex_destroy(&ts->lock);
    free(ts);
}

static struct slot *take_free(struct weir_tickets *ts)
{
    if (!ts->free && ts->n_blocks < MAX_BLOCKS) {
        struct slot *block = calloc(BLOCK_SLOTS, sizeof(*block));
        if (!block) {
            return NULL;
        }
        for (uint32_t i = BLOCK_SLOTS; i-- > 0;) {
            block[i].table = ts;
            block[i].index = ts->n_blocks * BLOCK_SLOTS + i;
            block[i].next_free = ts->free;
            ts->free = &block[i];
        }
        ts->blocks[ts->n_blocks++] = block;
    }
    struct slot *s = ts->free;
    if (s) {
        ts->free = s->next_free;
    }
    return s;
}

static void give_free(struct slot *s)
{
    free(s->data);
    s->data = NULL;
    s->data_len = 0;
    s->state = SLOT_FREE;
    s->next_free = s->table->free;
    s->table->free = s;
}

static struct slot *find(struct weir_tickets *ts, weir_ticket ticket)
{
    uint32_t index = (uint32_t)(ticket >> 32), generation = (uint32_t)ticket;
    if (generation == 0 || index / BLOCK_SLOTS >= ts->n_blocks) {
        return NULL;
    }
    struct slot *s = &ts->blocks[index / BLOCK_SLOTS][index % BLOCK_SLOTS];
    return s->generation == generation && s->state == SLOT_WAITING ? s : NULL;
}

/* On the slot's loop: the ticket ended by resume or timeout. */
static void end_slot(struct slot *s, int rc)
{
    struct weir_tickets *ts = s->table;
    (void)weir_plugin_loop_timer_stop(s->loop, &s->timer);
    weir_ticket_ended ended = s->ended;
    void *arg = s->arg;

    pthread_mutex_lock(&ts->lock);
    bool cancelled = s->state == SLOT_CANCELLED;
    char *data = s->data;
    size_t data_len = s->data_len;
    s->data = NULL;
    if (!cancelled) {
        ts->n_open--;
    }
    give_free(s);
    pthread_mutex_unlock(&ts->lock);

    if (!cancelled) {
        ended(arg, rc, (weir_str){data, data_len});
    }
    free(data);
}

static void on_resumed(struct weir_plugin_task *task)
{
    struct slot *s = (struct slot *)task;
    end_slot(s, s->rc);
}

static void on_timeout(struct weir_plugin_timer *timer)
{
    struct slot *s = (struct slot *)((char *)timer - offsetof(struct slot, timer));
    pthread_mutex_lock(&s->table->lock);
    bool waiting = s->state == SLOT_WAITING;
    if (waiting) {
        s->state = SLOT_RESUMED; /* later resumes find it gone */
    }
    pthread_mutex_unlock(&s->table->lock);
    if (waiting) {
        end_slot(s, WEIR_E_TIMEOUT);
    }
}

weir_ticket weir_tickets_open(struct weir_tickets *ts, struct weir_plugin_loop *loop,
                              uint32_t timeout_ms, weir_ticket_ended ended, void *arg)
{
    if (timeout_ms > WEIR_TICKET_MAX_TIMEOUT_MS) {
        timeout_ms = WEIR_TICKET_MAX_TIMEOUT_MS;
    }
    pthread_mutex_lock(&ts->lock);
    struct slot *s = take_free(ts);
    weir_ticket ticket = 0;
    if (s) {
        s->loop = loop;
        s->ended = ended;
        s->arg = arg;
        s->task.fn = on_resumed;
        s->timer.fn = on_timeout;
        s->generation = s->generation == UINT32_MAX ? 1 : s->generation + 1;
        s->state = SLOT_WAITING;
        ticket = (uint64_t)s->index << 32 | s->generation;
        ts->n_open++;
    }
    pthread_mutex_unlock(&ts->lock);
    if (s && weir_plugin_loop_timer_start(loop, &s->timer, (uint64_t)timeout_ms * 1000, 0) < 0) {
        weir_tickets_cancel(ts, ticket);
        return 0;
    }
    return ticket;
}

int weir_tickets_resume(struct weir_tickets *ts, weir_ticket ticket, int rc, weir_str data)
{
    if (data.n > WEIR_TICKET_MAX_DATA_BYTES) {
        return WEIR_E_TOOBIG;
    }
    char *copy = NULL;
    if (data.n) {
        copy = malloc(data.n);
        if (!copy) {
            return WEIR_E_NOMEM;
        }
        memcpy(copy, data.p, data.n);
    }
    pthread_mutex_lock(&ts->lock);
    struct slot *s = find(ts, ticket);
    if (s) {
        s->rc = rc;
        s->data = copy;
        s->data_len = data.n;
        s->state = SLOT_RESUMED;
        /* Under the lock: once it is gone the loop may be destroyed with its last request. */
        weir_plugin_loop_post(s->loop, &s->task);
    }
    pthread_mutex_unlock(&ts->lock);
    if (!s) {
        free(copy);
        return WEIR_E_GONE;
    }
    return 0;
}

void weir_tickets_cancel(struct weir_tickets *ts, weir_ticket ticket)
{
    uint32_t index = (uint32_t)(ticket >> 32), generation = (uint32_t)ticket;
    pthread_mutex_lock(&ts->lock);
    struct slot *s = NULL;
    if (generation != 0 && index / BLOCK_SLOTS < ts->n_blocks) {
        s = &ts->blocks[index / BLOCK_SLOTS][index % BLOCK_SLOTS];
    }
    if (s && s->generation == generation && s->state == SLOT_WAITING) {
        (void)weir_plugin_loop_timer_stop(s->loop, &s->timer);
        ts->n_open--;
        give_free(s);
    } else if (s && s->generation == generation && s->state == SLOT_RESUMED) {
        ts->n_open--;
        if (weir_plugin_loop_unpost(s->loop, &s->task)) {
            (void)weir_plugin_loop_timer_stop(s->loop, &s->timer);
            give_free(s);
        } else {
            s->state = SLOT_CANCELLED; /* its task is being run */
        }
    }
    pthread_mutex_unlock(&ts->lock);
}

size_t weir_tickets_n_open(struct weir_tickets *ts)
{
    pthread_mutex_lock(&ts->lock);
    size_t n = ts->n_open;
    pthread_mutex_unlock(&ts->lock);
    return n;
}
