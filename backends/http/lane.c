/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include <stdlib.h>

#include "link.h"

enum {
    N_OWN_HANDLES = 4 /* timer, outbox, sockets */,
    TICK_MS = 50,
    MAX_WALK_MS = 500,
    MAX_SPARE = 1024,
    MAX_BODY_BYTES = 64 << 20,
    MAX_EVENT_MEMORY = 64 << 20
};

/* How often limits are looked after: looking touches every job and link, cold memory of each. So a
 * sixteenth of the shortest limit, by which one is overrun at most. */
static uint64_t walk_ms_of(const struct weir_upstream_settings *s)
{
    const uint32_t limits[] = {s->connect_ms, s->first_token_ms, s->between_tokens_ms, s->total_ms,
                               s->idle_ms};
    uint64_t ms = MAX_WALK_MS;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        ms = limits[i] / 16 < ms ? limits[i] / 16 : ms;
    }
    return ms;
}

int weir_upstream_lane_create(struct weir_upstream *u, uv_loop_t *loop,
                              struct weir_upstream_lane **ret_lane)
{
    struct weir_upstream_lane *l = calloc(1, sizeof(*l));
    if (!l) {
        return WEIR_E_NOMEM;
    }
    l->upstream = u;
    l->loop = loop;
    l->walk_ms = walk_ms_of(&u->settings);
    l->last_waiting = &l->waiting;
    weir_arena_init(&l->arena, MAX_EVENT_MEMORY);
    weir_buf_init(&l->request_body, MAX_BODY_BYTES);
    (void)yyjson_alc_pool_init(&l->alc, l->parse, sizeof(l->parse));
    *ret_lane = l;
    return 0;
}

void weir_upstream_lane_destroy(struct weir_upstream_lane *l)
{
    if (!l) {
        return;
    }
    while (l->spare) {
        struct weir_upstream_job *j = l->spare;
        l->spare = j->next;
        weir_upstream_job_free(j);
        free(j);
    }
    while (l->spare_links) {
        struct weir_upstream_link *link = l->spare_links;
        l->spare_links = link->next;
        weir_upstream_link_free(link);
    }
    weir_arena_finish(&l->arena);
    weir_buf_finish(&l->request_body);
    free(l);
}

/* ---- deadlines ---- */

static void open_for_waiting(struct weir_upstream_lane *l);

/* Together, since looking a series up costs more than the rest of an end. */
static void count_ends(struct weir_upstream_lane *l)
{
    for (enum weir_upstream_end how = 0; how < WEIR_UPSTREAM_ENDS; how++) {
        if (l->n_ends[how]) {
            weir_upstream_count_ends(&l->upstream->figures, how, l->n_ends[how]);
            l->n_ends[how] = 0;
        }
    }
}

static void walk(struct weir_upstream_lane *l, uint64_t now)
{
    /* Ending one may end others: then a walk begins again from the front. */
    uint64_t n_ended = l->n_ended;
    for (struct weir_upstream_job *j = l->jobs, *next; j; j = next) {
        next = j->next;
        weir_upstream_job_tick(j, now);
        next = l->n_ended == n_ended ? next : l->jobs;
        n_ended = l->n_ended;
    }
    for (struct weir_upstream_link *link = l->links, *next; link; link = next) {
        next = link->next;
        weir_upstream_link_tick(link, now);
        next = l->n_ended == n_ended ? next : l->links;
        n_ended = l->n_ended;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct weir_upstream_lane *l = timer->data;
    uint64_t now = uv_now(l->loop);
    if (now >= l->walk_due_ms) {
        l->walk_due_ms = now + l->walk_ms;
        walk(l, now);
    }
    open_for_waiting(l);
    count_ends(l);
    if (!l->jobs && !l->links) {
        (void)uv_timer_stop(&l->timer);
        l->is_ticking = false;
    }
}

static int open_handles(struct weir_upstream_lane *l)
{
    if (l->has_handles) {
        return 0;
    }
    int rc = weir_sockets_open(&l->sockets, l->loop, offsetof(struct weir_upstream_link, h1.head));
    if (rc < 0) {
        return rc;
    }
    (void)uv_timer_init(l->loop, &l->timer); /* only fills the struct */
    l->timer.data = l;
    weir_upstream_outbox_open(&l->outbox, l->loop, l);
    l->has_handles = true;
    l->n_handles += N_OWN_HANDLES;
    return 0;
}

static void start_ticking(struct weir_upstream_lane *l)
{
    if (!l->is_ticking) {
        (void)uv_timer_start(&l->timer, on_tick, TICK_MS, TICK_MS);
        l->is_ticking = true;
    }
}

/* ---- lists ---- */

static void add_waiting(struct weir_upstream_lane *l, struct weir_upstream_job *j)
{
    j->is_waiting = true;
    j->next_waiting = NULL;
    *l->last_waiting = j;
    l->last_waiting = &j->next_waiting;
    l->n_waiting++;
}

static void drop_waiting(struct weir_upstream_lane *l, struct weir_upstream_job *j)
{
    struct weir_upstream_job **at = &l->waiting;
    while (*at != j) {
        at = &(*at)->next_waiting;
    }
    *at = j->next_waiting;
    if (!*at) {
        l->last_waiting = at;
    }
    j->is_waiting = false;
    l->n_waiting--;
}

static void add_idle(struct weir_upstream_lane *l, struct weir_upstream_link *link)
{
    link->is_idle = true;
    link->prev_idle = NULL;
    link->next_idle = l->idle;
    if (l->idle) {
        l->idle->prev_idle = link;
    }
    l->idle = link;
    l->n_idle++;
}

static void drop_idle(struct weir_upstream_lane *l, struct weir_upstream_link *link)
{
    if (!link->is_idle) {
        return;
    }
    *(link->prev_idle ? &link->prev_idle->next_idle : &l->idle) = link->next_idle;
    if (link->next_idle) {
        link->next_idle->prev_idle = link->prev_idle;
    }
    link->is_idle = false;
    l->n_idle--;
}

/* ---- which job gets which link ---- */

static struct weir_upstream_link *find_link(struct weir_upstream_lane *l)
{
    if (l->idle && weir_upstream_link_has_room(l->idle)) {
        return l->idle;
    }
    for (struct weir_upstream_link *link = l->links; link; link = link->next) {
        if (link->h2 && weir_upstream_link_has_room(link)) {
            return link;
        }
    }
    return NULL;
}

static void give(struct weir_upstream_lane *l, struct weir_upstream_link *link,
                 struct weir_upstream_job *j)
{
    drop_idle(l, link);
    weir_upstream_link_take(link, j);
}

static void serve_waiting(struct weir_upstream_lane *l, struct weir_upstream_link *link)
{
    while (l->waiting && weir_upstream_link_has_room(link)) {
        struct weir_upstream_job *j = l->waiting;
        drop_waiting(l, j);
        give(l, link, j);
    }
}

static void fail_waiting(struct weir_upstream_lane *l, const struct weir_upstream_failure *why)
{
    while (l->waiting) {
        struct weir_upstream_job *j = l->waiting;
        drop_waiting(l, j);
        weir_upstream_job_fail(j, why);
    }
}

/* A link for each job that waits, as far as the pool goes; with HTTP/2 one at a time. */
static void open_for_waiting(struct weir_upstream_lane *l)
{
    const struct weir_upstream_settings *s = &l->upstream->settings;
    bool shares = s->http2 == WEIR_HTTP2_ON || (l->links && l->links->h2);
    uint32_t wanted = shares && l->n_waiting ? 1 : l->n_waiting;
    while (l->n_opening < wanted && l->n_links < s->max_connections && !l->is_ending) {
        const struct sockaddr *address = weir_upstream_names_take(l);
        if (!address) {
            return;
        }
        if (weir_upstream_link_open(l, address) < 0) {
            struct weir_upstream_failure why;
            weir_upstream_fail_link(&why, false, "connect",
                                    "No connection to the model's server can be made.");
            fail_waiting(l, &why);
            return;
        }
    }
}

void weir_upstream_lane_named(struct weir_upstream_lane *l, const char *problem)
{
    if (l->is_ending) {
        return;
    }
    if (problem) {
        struct weir_upstream_failure why;
        weir_upstream_fail_link(&why, false, "dns",
                                "The name of the model's server cannot be found: %s.", problem);
        fail_waiting(l, &why);
        return;
    }
    open_for_waiting(l);
}

void weir_upstream_lane_ready(struct weir_upstream_lane *l, struct weir_upstream_link *link)
{
    l->n_opening--;
    weir_upstream_lane_idle(l, link);
}

void weir_upstream_lane_idle(struct weir_upstream_lane *l, struct weir_upstream_link *link)
{
    serve_waiting(l, link);
    if (link->state != WEIR_LINK_OPEN || link->is_busy || link->is_idle) {
        return;
    }
    link->idle_ms = uv_now(l->loop);
    if (l->is_ending || l->n_idle >= l->upstream->settings.max_idle) {
        weir_upstream_link_close(link);
    } else {
        add_idle(l, link);
    }
}

/* A kept connection that ends as a request is sent on it was most likely closed before: the request
 * goes out once more, on a new one. */
static bool may_retry(const struct weir_upstream_link *link, const struct weir_upstream_job *job,
                      const struct weir_upstream_failure *why)
{
    return job && link->n_requests > 1 && !job->has_answer && !job->is_retried &&
           why->rc == WEIR_E_IO && !link->h1.has_begun;
}

/* Connecting failed: another address may do, before the first job that waits is told. */
static void try_other(struct weir_upstream_lane *l, const struct weir_upstream_failure *why)
{
    struct weir_upstream_job *j = l->waiting;
    uint64_t spent_ms = uv_now(l->loop) - j->submitted_ms;
    j->n_attempts++;
    if (j->n_attempts >= l->names.n || spent_ms >= l->upstream->settings.connect_ms) {
        drop_waiting(l, j);
        weir_upstream_job_fail(j, why);
    }
}

bool weir_upstream_lane_again(struct weir_upstream_lane *l, struct weir_upstream_job *job)
{
    if (job->is_retried || job->has_answer) {
        return false;
    }
    job->is_retried = true;
    job->was_sent = false;
    add_waiting(l, job);
    open_for_waiting(l);
    return true;
}

void weir_upstream_lane_lost(struct weir_upstream_lane *l, struct weir_upstream_link *link,
                             bool was_open, struct weir_upstream_job *job,
                             const struct weir_upstream_failure *why)
{
    l->n_ended++;
    drop_idle(l, link);
    *(link->prev ? &link->prev->next : &l->links) = link->next;
    if (link->next) {
        link->next->prev = link->prev;
    }
    link->next = link->prev = NULL;
    l->n_links--;
    l->n_opening -= !was_open;
    if (job) {
        job->link = NULL;
        if (may_retry(link, job, why)) {
            job->is_retried = true;
            add_waiting(l, job);
        } else {
            weir_upstream_job_fail(job, why);
        }
    } else if (!was_open && why && l->waiting) {
        try_other(l, why);
    }
    open_for_waiting(l);
}

/* ---- jobs ---- */

static struct weir_upstream_job *take_job(struct weir_upstream_lane *l)
{
    struct weir_upstream_job *j = l->spare;
    if (j) {
        l->spare = j->next;
        l->n_spare--;
        return j;
    }
    j = calloc(1, sizeof(*j));
    if (j) {
        weir_upstream_job_init(j);
    }
    return j;
}

int weir_upstream_lane_submit(struct weir_upstream_lane *l, const weir_generation *g,
                              const weir_prepared *p, weir_ticket ticket)
{
    struct weir_upstream *u = l->upstream;
    uint32_t slot = (uint32_t)ticket;
    bool may_begin = slot < u->sink->max_tickets && open_handles(l) == 0;
    struct weir_upstream_job *j = may_begin ? take_job(l) : NULL;
    if (!j) {
        return WEIR_E_NOMEM;
    }
    weir_upstream_job_begin(j, l, g, p, ticket);
    j->prev = NULL;
    j->next = l->jobs;
    if (j->next) {
        j->next->prev = j;
    }
    l->jobs = j;
    u->jobs[slot] = j;
    weir_upstream_total_add(&l->totals.running, 1);
    start_ticking(l);
    struct weir_upstream_link *link = l->waiting ? NULL : find_link(l);
    if (link) {
        give(l, link, j);
    } else {
        add_waiting(l, j);
        open_for_waiting(l);
    }
    return 0;
}

void weir_upstream_lane_forget(struct weir_upstream_lane *l, struct weir_upstream_job *j)
{
    struct weir_upstream *u = l->upstream;
    l->n_ended++;
    if (j->is_waiting) {
        drop_waiting(l, j);
    }
    *(j->prev ? &j->prev->next : &l->jobs) = j->next;
    if (j->next) {
        j->next->prev = j->prev;
    }
    u->jobs[(uint32_t)j->ticket] = NULL;
    j->ticket = 0;
    weir_upstream_total_add(&l->totals.running, UINT64_MAX); /* one less */
    if (l->n_spare == MAX_SPARE) {
        weir_upstream_job_free(j);
        free(j);
        return;
    }
    j->next = l->spare;
    l->spare = j;
    l->n_spare++;
}

/* ---- the end ---- */

static void on_own_closed(uv_handle_t *handle)
{
    ((struct weir_upstream_lane *)handle->data)->n_handles--;
}

static void on_sockets_closed(struct weir_sockets *set)
{
    struct weir_upstream_lane *l =
        (struct weir_upstream_lane *)((char *)set - offsetof(struct weir_upstream_lane, sockets));
    l->n_handles--;
}

int weir_upstream_lane_end(struct weir_upstream_lane *l)
{
    if (!l->is_ending) {
        l->is_ending = true;
        count_ends(l);
        while (l->links) {
            weir_upstream_link_close(l->links);
        }
        if (l->names.is_asking) {
            (void)uv_cancel((uv_req_t *)&l->names.request); /* else it ends by itself */
        }
        if (l->has_handles) {
            weir_sockets_close(&l->sockets, on_sockets_closed);
            uv_close((uv_handle_t *)&l->timer, on_own_closed);
            weir_upstream_outbox_close(&l->outbox, on_own_closed);
        }
    }
    return l->n_handles ? WEIR_E_BUSY : 0;
}
