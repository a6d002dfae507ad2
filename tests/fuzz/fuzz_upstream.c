/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's HTTP/1.1 response over arbitrary bytes: parser, event stream, JSON, chunks.
 * Properties: how the bytes are split over reads changes neither the chunks nor whether they are
 * refused; a reader that is full now and then gets the same chunks. */
#include <stdlib.h>

#include "answer.h"
#include "h1.h"
#include "sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct weir_upstream_h1 h1;
    struct weir_upstream_head head;
    struct weir_upstream_answer answer;
    struct weir_upstream_failure failure;
    struct weir_sse sse;
    struct weir_buf body;
    struct weir_arena arena;
    uint64_t hash;
    uint32_t n_chunks, busy_each; /* 0: never full */
    bool was_busy;
    int rc;
};

static void add_number(struct reading *r, uint64_t number)
{
    r->hash = (r->hash ^ number) * 0x100000001b3u;
}

static void add_str(struct reading *r, weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        add_number(r, (unsigned char)s.p[i]);
    }
    add_number(r, s.n);
}

static int emit(void *arg, const weir_chunk *c)
{
    struct reading *r = arg;
    if (r->busy_each && !r->was_busy && (r->n_chunks + 1) % r->busy_each == 0) {
        r->was_busy = true;
        return WEIR_E_BUSY;
    }
    r->was_busy = false;
    r->n_chunks++;
    if (c->choice >= r->answer.n_choices) {
        abort();
    }
    add_number(r, c->kind);
    add_number(r, c->choice);
    add_number(r, c->finish);
    add_number(r, c->tool_index);
    add_number(r, c->n_logprobs);
    add_number(r, c->seq);
    add_str(r, c->text);
    add_str(r, c->tool_id);
    add_str(r, c->tool_name);
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        add_str(r, c->logprobs[i].chosen.bytes);
        for (uint32_t k = 0; k < c->logprobs[i].n_top; k++) {
            add_str(r, c->logprobs[i].top[k].bytes);
        }
    }
    return 0;
}

static int read_json(struct reading *r, weir_str json)
{
    int rc;
    do {
        rc = weir_upstream_answer_read(&r->answer, json);
    } while (rc == WEIR_E_BUSY);
    return rc;
}

static int on_event(void *arg, weir_str data)
{
    return read_json(arg, data);
}

static void on_head(void *arg, const struct weir_upstream_head *head)
{
    struct reading *r = arg;
    r->head = *head;
    r->answer.stream = head->is_sse;
}

static void on_body(void *arg, const char *bytes, size_t n)
{
    struct reading *r = arg;
    size_t used = 0;
    if (r->rc < 0) {
        return;
    }
    if (r->head.is_sse) {
        r->rc = weir_sse_feed(&r->sse, bytes, n, on_event, r, &used);
    } else {
        weir_buf_add(&r->body, bytes, n);
        r->rc = r->body.failed ? WEIR_E_TOOBIG : 0;
    }
}

static const struct weir_upstream_h1_events events = {on_head, on_body};

static void read_pieces(struct reading *r, const char *bytes, size_t n, size_t piece, uint32_t busy)
{
    *r = (struct reading){.hash = 0xcbf29ce484222325u, .busy_each = busy};
    weir_sse_init(&r->sse, 1 << 20); /* more than an input has: bounds have tests of their own */
    weir_buf_init(&r->body, 1 << 20);
    weir_arena_init(&r->arena, 16 << 20);
    r->answer = (struct weir_upstream_answer){.kind = n % 2 ? WEIR_GENERATION_CHAT
                                                            : WEIR_GENERATION_COMPLETION,
                                              .n_choices = 2,
                                              .emit = emit,
                                              .arg = r,
                                              .arena = &r->arena,
                                              .failure = &r->failure};
    weir_upstream_h1_begin(&r->h1, &events, r);
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0 && !r->h1.is_done; at += piece) {
        rc = weir_upstream_h1_feed(&r->h1, bytes + at, piece < n - at ? piece : n - at);
    }
    if (rc == 0 && !r->h1.is_done) {
        rc = weir_upstream_h1_eof(&r->h1);
    }
    if (rc == 0 && r->rc == 0 && !r->head.is_sse) {
        rc = read_json(r, weir_buf_view(&r->body));
    }
    r->rc = r->rc < 0 ? r->rc : rc;
    weir_sse_finish(&r->sse);
    weir_buf_finish(&r->body);
    weir_arena_finish(&r->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7, 100};
    static struct reading whole, split; /* large */
    if (size > 100000) {
        return 0;
    }
    read_pieces(&whole, (const char *)data, size, SIZE_MAX, 0);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        read_pieces(&split, (const char *)data, size, pieces[i], (uint32_t)i + 1);
        if ((split.rc < 0) != (whole.rc < 0) || (whole.rc == 0 && split.hash != whole.hash)) {
            abort();
        }
    }
    return 0;
}
