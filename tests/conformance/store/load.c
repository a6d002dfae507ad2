/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

struct one {
    struct load *load;
    uint64_t began_us;
    bool is_done;
};

static void start_one(struct load *l);

static void note(struct load *l, int rc)
{
    uint64_t *const counts[] = {&l->n_ok,   &l->n_refused, &l->n_timeout,
                                &l->n_away, &l->n_full,    &l->n_other};
    static const int codes[] = {0, WEIR_E_BUSY, WEIR_E_TIMEOUT, WEIR_E_IO, WEIR_E_NOMEM};
    size_t i = 0;
    while (i < 5 && codes[i] != rc) {
        i++;
    }
    ++*counts[i];
}

static void on_done(void *arg, const weir_store_result *r)
{
    struct one *o = arg;
    struct load *l = o->load;
    uint64_t now_us = redis_store_now_us();
    l->n_twice += o->is_done;
    o->is_done = true;
    l->n_done++;
    note(l, r->rc);
    l->longest_us = now_us - o->began_us > l->longest_us ? now_us - o->began_us : l->longest_us;
    if (r->rc == 0 || r->rc == WEIR_E_BUSY) {
        l->ok_us = now_us;
    }
    l->idle = l->n_done == l->n_started;
    free(o); /* a second call would be a use after free for the sanitizers */
}

static void start_one(struct load *l)
{
    struct one *o = calloc(1, sizeof(*o));
    if (!o) {
        abort();
    }
    *o = (struct one){.load = l, .began_us = redis_store_now_us()};
    char id[32];
    (void)snprintf(id, sizeof(id), "id%llu", (unsigned long long)l->n_started);
    const weir_store_limit level = {WEIR_STR_INIT("load"), 1, 1000000, 1000000, 1000000};
    const weir_store_hold hold = {WEIR_STR_INIT("load"), 1, WEIR_STORE_MAX_UNITS};
    const weir_str t = WEIR_STR_INIT("acme"), k = WEIR_STR_INIT("load");
    const struct weir_store_call calls[] = {
        {.op = WEIR_STORE_TAKE, .tenant = t, .levels = &level, .n = 1},
        {.op = WEIR_STORE_RESERVE,
         .tenant = t,
         .id = weir_str_from(id),
         .holds = &hold,
         .n = 1,
         .number = 60000},
        {.op = WEIR_STORE_SET,
         .tenant = t,
         .key = k,
         .value = k,
         .number = 60000,
         .tags = &k,
         .n = 1},
        {.op = WEIR_STORE_ADD, .tenant = t, .key = k, .delta = 1},
        {.op = WEIR_STORE_JOB_PUT, .tenant = t, .key = k, .id = k, .value = k},
    };
    l->n_started++;
    l->idle = 0;
    if (weir_store_call(l->store, &calls[l->n_started % 5], on_done, o) < 0) {
        abort();
    }
}

/* From outside, so that refusals at once do not go round and round. */
void load_pump(struct load *l)
{
    while (!l->stopping && l->n_started - l->n_done < l->width) {
        uint64_t done = l->n_done;
        start_one(l);
        if (l->n_done != done) {
            break; /* refused at once: again in the next turn */
        }
    }
}

static void on_step(uv_timer_t *timer)
{
    load_pump(timer->data);
}

void load_run(struct load *l, struct redis_store *s, uint64_t ms)
{
    uv_timer_t step;
    (void)uv_timer_init(&s->loop, &step);
    step.data = l;
    (void)uv_timer_start(&step, on_step, 0, 1);
    redis_store_run(s, ms, NULL);
    uv_close((uv_handle_t *)&step, NULL);
    (void)uv_run(&s->loop, UV_RUN_NOWAIT);
}

void load_finish(struct load *l, struct redis_store *s)
{
    l->stopping = true;
    l->idle = l->n_done == l->n_started;
    redis_store_run(s, 10000, &l->idle);
}
