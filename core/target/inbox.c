/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <stddef.h>

static void drain(uv_async_t *async)
{
    struct weir_inbox *in = async->data;
    /* Cleared before the list is taken: a post that comes later sets it again and wakes us. */
    atomic_store_explicit(&in->dirty, false, memory_order_seq_cst);
    (void)pthread_mutex_lock(&in->mutex);
    struct weir_inbox_item *item = in->first;
    in->first = in->last = NULL;
    for (struct weir_inbox_item *i = item; i; i = i->next) {
        i->queued = false;
    }
    (void)pthread_mutex_unlock(&in->mutex);
    while (item) {
        struct weir_inbox_item *next = item->next;
        item->run(item);
        item = next;
    }
}

int weir_inbox_init(struct weir_inbox *in, uv_loop_t *loop)
{
    *in = (struct weir_inbox){0};
    int r = uv_async_init(loop, &in->async, drain);
    if (r < 0) {
        return r;
    }
    in->async.data = in;
    (void)pthread_mutex_init(&in->mutex, NULL);
    return 0;
}

void weir_inbox_finish(struct weir_inbox *in)
{
    uv_close((uv_handle_t *)&in->async, NULL);
    (void)pthread_mutex_destroy(&in->mutex);
}

void weir_inbox_post(struct weir_inbox *in, struct weir_inbox_item *item)
{
    (void)pthread_mutex_lock(&in->mutex);
    if (!item->queued) {
        item->queued = true;
        item->next = NULL;
        if (in->last) {
            in->last->next = item;
        } else {
            in->first = item;
        }
        in->last = item;
    }
    (void)pthread_mutex_unlock(&in->mutex);
    atomic_store_explicit(&in->dirty, true, memory_order_release);
}

void weir_inbox_wake(struct weir_inbox *in)
{
    if (atomic_exchange_explicit(&in->dirty, false, memory_order_acq_rel)) {
        (void)uv_async_send(&in->async);
    }
}
