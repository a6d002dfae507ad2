/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <stddef.h>

static bool is_queued(struct weir_inbox_item *item)
{
    return atomic_load_explicit(&item->queued, memory_order_acquire);
}

static void unlink_item(struct weir_inbox *in, struct weir_inbox_item *item)
{
    *(item->prev ? &item->prev->next : &in->first) = item->next;
    *(item->next ? &item->next->prev : &in->last) = item->prev;
    item->next = item->prev = NULL;
    atomic_store_explicit(&item->queued, false, memory_order_relaxed);
    in->n_queued--;
}

/* One at a time, so that an item that waits can always be found, and withdrawn, in the list. */
static struct weir_inbox_item *take_first(struct weir_inbox *in)
{
    (void)pthread_mutex_lock(&in->mutex);
    struct weir_inbox_item *item = in->first;
    if (item) {
        unlink_item(in, item);
    }
    (void)pthread_mutex_unlock(&in->mutex);
    return item;
}

static void drain(struct weir_waker *waker)
{
    struct weir_inbox *in =
        (struct weir_inbox *)((char *)waker - offsetof(struct weir_inbox, waker));
    /* Cleared before the list is taken: a post that comes later sets it again and wakes us. */
    atomic_store_explicit(&in->dirty, false, memory_order_seq_cst);
    /* What is posted from here on has a wake-up of its own: the other work of the loop comes first.
     */
    (void)pthread_mutex_lock(&in->mutex);
    uint32_t n = in->n_queued;
    (void)pthread_mutex_unlock(&in->mutex);
    for (struct weir_inbox_item *item; n > 0 && (item = take_first(in)) != NULL; n--) {
        item->run(item);
    }
}

int weir_inbox_init(struct weir_inbox *in, uv_loop_t *loop)
{
    *in = (struct weir_inbox){.loop = loop};
    int r = weir_waker_open(&in->waker, loop, drain);
    if (r < 0) {
        return r;
    }
    (void)pthread_mutex_init(&in->mutex, NULL);
    return 0;
}

void weir_inbox_finish(struct weir_inbox *in)
{
    weir_waker_close(&in->waker, NULL);
    (void)pthread_mutex_destroy(&in->mutex);
}

void weir_inbox_post(struct weir_inbox *in, struct weir_inbox_item *item)
{
    (void)pthread_mutex_lock(&in->mutex);
    if (!is_queued(item)) {
        atomic_store_explicit(&item->queued, true, memory_order_release);
        item->next = NULL;
        item->prev = in->last;
        *(in->last ? &in->last->next : &in->first) = item;
        in->last = item;
        in->n_queued++;
    }
    (void)pthread_mutex_unlock(&in->mutex);
    atomic_store_explicit(&in->dirty, true, memory_order_release);
}

void weir_inbox_withdraw(struct weir_inbox *in, struct weir_inbox_item *item)
{
    if (!is_queued(item)) { /* and nobody posts it any more */
        return;
    }
    (void)pthread_mutex_lock(&in->mutex);
    if (is_queued(item)) {
        unlink_item(in, item);
    }
    (void)pthread_mutex_unlock(&in->mutex);
}

void weir_inbox_wake(struct weir_inbox *in)
{
    if (atomic_exchange_explicit(&in->dirty, false, memory_order_acq_rel)) {
        weir_waker_wake(&in->waker);
    }
}
