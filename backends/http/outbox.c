/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include "lane.h"
#include "link.h"

static void flush(struct weir_upstream_outbox *o)
{
    /* Only those that are in now: a failure may let others take its requests. */
    for (uint32_t n = o->n; n > 0 && o->first; n--) {
        struct weir_upstream_link *link = o->first;
        weir_upstream_outbox_drop(o, link);
        weir_upstream_link_send(link);
    }
}

static void on_flush(uv_prepare_t *flusher)
{
    struct weir_upstream_lane *l = flusher->data;
    if (l->outbox.first) {
        flush(&l->outbox);
    }
}

static void on_spin(uv_idle_t *spinner)
{
    (void)spinner;
}

void weir_upstream_outbox_open(struct weir_upstream_outbox *o, uv_loop_t *loop, void *data)
{
    *o = (struct weir_upstream_outbox){0};
    (void)uv_prepare_init(loop, &o->flusher);
    (void)uv_idle_init(loop, &o->spinner);
    o->flusher.data = o->spinner.data = data;
    (void)uv_prepare_start(&o->flusher, on_flush);
    uv_unref((uv_handle_t *)&o->flusher);
    uv_unref((uv_handle_t *)&o->spinner);
}

void weir_upstream_outbox_close(struct weir_upstream_outbox *o, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&o->flusher, closed);
    uv_close((uv_handle_t *)&o->spinner, closed);
}

void weir_upstream_outbox_add(struct weir_upstream_outbox *o, struct weir_upstream_link *link)
{
    if (link->is_unsent) {
        return;
    }
    link->is_unsent = true;
    link->prev_unsent = NULL;
    link->next_unsent = o->first;
    if (o->first) {
        o->first->prev_unsent = link;
    } else {
        (void)uv_idle_start(&o->spinner, on_spin);
    }
    o->first = link;
    o->n++;
}

void weir_upstream_outbox_drop(struct weir_upstream_outbox *o, struct weir_upstream_link *link)
{
    if (!link->is_unsent) {
        return;
    }
    *(link->prev_unsent ? &link->prev_unsent->next_unsent : &o->first) = link->next_unsent;
    if (link->next_unsent) {
        link->next_unsent->prev_unsent = link->prev_unsent;
    }
    link->is_unsent = false;
    if (--o->n == 0) {
        (void)uv_idle_stop(&o->spinner);
    }
}
