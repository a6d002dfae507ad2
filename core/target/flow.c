/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16 };

/* A record: this head, then logprobs, their tops, and all bytes. */
struct record {
    size_t n_bytes; /* whole record, rounded */
    weir_chunk chunk;
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int make_ring(struct weir_flow *f, size_t n_bytes)
{
    char *ring = aligned_alloc(ALIGN, n_bytes);
    if (!ring) {
        return WEIR_E_NOMEM;
    }
    free(f->ring);
    f->ring = ring;
    f->cap_bytes = n_bytes;
    return 0;
}

/* All that touches a direct flow is on one thread. */
static void lock(struct weir_flow *f)
{
    if (!f->reader) {
        (void)pthread_mutex_lock(&f->mutex);
    }
}

static void unlock(struct weir_flow *f)
{
    if (!f->reader) {
        (void)pthread_mutex_unlock(&f->mutex);
    }
}

int weir_flow_init(struct weir_flow *f, struct weir_inbox *inbox, struct weir_inbox_item *item,
                   const struct weir_flow_reader *reader)
{
    memset(f, 0, offsetof(struct weir_flow, outcome_text));
    f->reader = reader;
    f->is_held = reader != NULL;
    f->inbox = inbox;
    f->item = item;
    if (!reader && make_ring(f, WEIR_FLOW_BYTES) < 0) {
        return WEIR_E_NOMEM;
    }
    f->is_open = true;
    if (!reader) {
        (void)pthread_mutex_init(&f->mutex, NULL);
    }
    return 0;
}

void weir_flow_finish(struct weir_flow *f)
{
    if (!f->is_open) {
        return;
    }
    free(f->ring);
    f->ring = NULL;
    f->is_open = false;
    if (!f->reader) {
        (void)pthread_mutex_destroy(&f->mutex);
    }
}

static size_t logprob_bytes(const weir_chunk *c)
{
    size_t n = c->n_logprobs * sizeof(weir_token_logprobs);
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        n += c->logprobs[i].n_top * sizeof(weir_logprob) + c->logprobs[i].chosen.bytes.n;
        for (uint32_t k = 0; k < c->logprobs[i].n_top; k++) {
            n += c->logprobs[i].top[k].bytes.n;
        }
    }
    return n;
}

static size_t record_bytes(const weir_chunk *c)
{
    return round_up(sizeof(struct record) + logprob_bytes(c) + c->text.n + c->tool_id.n +
                    c->tool_name.n);
}

/* Where the next record of n_bytes goes; NULL when there is no room. */
static char *find_room(struct weir_flow *f, size_t n_bytes)
{
    if (f->head == f->tail) {
        f->head = f->tail = f->wrap = 0;
    }
    if (f->wrap == 0) {
        if (f->cap_bytes - f->tail >= n_bytes) {
            return f->ring + f->tail;
        }
        if (f->head > n_bytes) { /* strictly: head == tail means empty */
            f->wrap = f->tail;
            f->tail = 0;
            return f->ring;
        }
        return NULL;
    }
    return f->head - f->tail > n_bytes ? f->ring + f->tail : NULL;
}

static int grow_empty(struct weir_flow *f, size_t n_bytes)
{
    if (n_bytes > WEIR_FLOW_MAX_RECORD_BYTES) {
        return WEIR_E_TOOBIG;
    }
    if (f->head != f->tail) {
        return WEIR_E_BUSY;
    }
    return make_ring(f, n_bytes);
}

static weir_str put_bytes(char **at, weir_str s)
{
    if (s.n) {
        memcpy(*at, s.p, s.n);
    }
    weir_str copy = {*at, s.n};
    *at += s.n;
    return copy;
}

static void put_logprobs(struct record *rec, char **at, const weir_chunk *c)
{
    weir_token_logprobs *out = (weir_token_logprobs *)(void *)*at;
    weir_logprob *top = (weir_logprob *)(void *)(out + c->n_logprobs);
    size_t n_top = 0;
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        n_top += c->logprobs[i].n_top;
    }
    *at = (char *)(top + n_top);
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        const weir_token_logprobs *in = &c->logprobs[i];
        out[i] = (weir_token_logprobs){.chosen = in->chosen, .top = top, .n_top = in->n_top};
        out[i].chosen.bytes = put_bytes(at, in->chosen.bytes);
        for (uint32_t k = 0; k < in->n_top; k++) {
            *top = in->top[k];
            top->bytes = put_bytes(at, in->top[k].bytes);
            top++;
        }
    }
    rec->chunk.logprobs = out;
}

static void write_record(char *to, size_t n_bytes, const weir_chunk *c)
{
    struct record *rec = (struct record *)(void *)to;
    rec->n_bytes = n_bytes;
    rec->chunk = *c;
    char *at = to + sizeof(*rec);
    if (c->n_logprobs) {
        put_logprobs(rec, &at, c);
    }
    rec->chunk.text = put_bytes(&at, c->text);
    rec->chunk.tool_id = put_bytes(&at, c->tool_id);
    rec->chunk.tool_name = put_bytes(&at, c->tool_name);
}

static int push_locked(struct weir_flow *f, const weir_chunk *chunk)
{
    if (f->gone || f->finished) {
        return WEIR_E_GONE;
    }
    size_t n_bytes = record_bytes(chunk);
    if (!f->ring && make_ring(f, WEIR_FLOW_BYTES) < 0) {
        return WEIR_E_NOMEM;
    }
    if (n_bytes > f->cap_bytes) {
        int r = grow_empty(f, n_bytes);
        if (r < 0) {
            f->starved |= r == WEIR_E_BUSY;
            return r;
        }
    }
    char *to = find_room(f, n_bytes);
    if (!to) {
        f->starved = true;
        return WEIR_E_BUSY;
    }
    write_record(to, n_bytes, chunk);
    f->tail = (size_t)(to - f->ring) + n_bytes;
    return 0;
}

static bool is_direct(const struct weir_flow *f)
{
    return f->reader && !f->is_held && f->head == f->tail;
}

/* Nobody flushes behind a target that works on the loop. */
static void wake_direct(struct weir_flow *f)
{
    if (f->reader) {
        weir_inbox_wake(f->inbox);
    }
}

int weir_flow_push(struct weir_flow *f, const weir_chunk *chunk)
{
    if (is_direct(f)) {
        int taken = f->gone || f->finished ? WEIR_E_GONE : f->reader->take(f, chunk);
        if (taken != WEIR_E_BUSY) {
            return taken;
        }
    }
    lock(f);
    int r = push_locked(f, chunk);
    unlock(f);
    if (r == 0) {
        weir_inbox_post(f->inbox, f->item);
        wake_direct(f);
    }
    return r;
}

/* Keeps the strings, cut to what fits. */
static weir_str keep_text(struct weir_flow *f, size_t *used, weir_str text)
{
    size_t room = sizeof(f->outcome_text) - *used;
    weir_str copy = {f->outcome_text + *used, text.n < room ? text.n : room};
    if (copy.n) {
        memcpy(f->outcome_text + *used, text.p, copy.n);
    }
    *used += copy.n;
    return copy;
}

static void keep_outcome(struct weir_flow *f, const weir_outcome *outcome)
{
    size_t used = 0, size = outcome->struct_size;
    f->outcome = (weir_outcome){0};
    memcpy(&f->outcome, outcome, size < sizeof(f->outcome) ? size : sizeof(f->outcome));
    f->outcome.struct_size = sizeof(f->outcome);
    f->outcome.code = keep_text(f, &used, f->outcome.code);
    f->outcome.param = keep_text(f, &used, f->outcome.param);
    f->outcome.message = keep_text(f, &used, f->outcome.message);
}

static void end_direct(struct weir_flow *f, const weir_outcome *outcome)
{
    if (!f->finished) {
        f->finished = true;
        keep_outcome(f, outcome);
        f->reader->ended(f);
    }
}

void weir_flow_end(struct weir_flow *f, const weir_outcome *outcome)
{
    if (is_direct(f)) {
        end_direct(f, outcome);
        return;
    }
    lock(f);
    bool first = !f->finished;
    if (first) {
        f->finished = true;
        keep_outcome(f, outcome);
        /* Posted under the mutex: once the reader has seen the end it may free the flow. */
        weir_inbox_post(f->inbox, f->item);
        wake_direct(f); /* by the reader's own thread, so that the flow is there still */
    }
    unlock(f);
}

void weir_flow_abandon(struct weir_flow *f)
{
    lock(f);
    f->gone = true;
    f->head = f->tail = f->wrap = 0;
    bool ended = f->finished;
    if (ended) {
        /* The end was told when there was still something to read; a reader that did not read it
         * then must be told again, since nobody else will. */
        weir_inbox_post(f->inbox, f->item);
    }
    unlock(f);
    if (ended) {
        weir_inbox_wake(f->inbox);
    }
}

const weir_chunk *weir_flow_peek(struct weir_flow *f)
{
    lock(f);
    const weir_chunk *chunk = NULL;
    if (f->head != f->tail) {
        if (f->wrap && f->head == f->wrap) {
            f->head = 0;
            f->wrap = 0;
        }
        chunk = &((const struct record *)(const void *)(f->ring + f->head))->chunk;
    }
    unlock(f);
    return chunk;
}

bool weir_flow_pop(struct weir_flow *f)
{
    lock(f);
    if (f->head != f->tail) { /* equal: abandoned since the peek */
        f->head += ((const struct record *)(const void *)(f->ring + f->head))->n_bytes;
    }
    if (f->wrap && f->head == f->wrap) {
        f->head = 0;
        f->wrap = 0;
    }
    bool empty = f->head == f->tail;
    bool wake = f->starved && empty;
    if (wake) {
        f->starved = false;
    }
    unlock(f);
    return wake;
}

bool weir_flow_ended(struct weir_flow *f, weir_outcome *ret_outcome)
{
    lock(f);
    bool ended = f->finished && f->head == f->tail;
    if (ended) {
        *ret_outcome = f->outcome;
    }
    unlock(f);
    return ended;
}
