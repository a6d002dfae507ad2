/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <stdlib.h>

enum {
    HEAD_BYTES = 4 + 4 + WEIR_ANSWER_DIGEST_BYTES + 3 * 8,
    FIRST_BYTES = 2048,
    HAS_CALL = 1,     /* tool_id and tool_name follow */
    HAS_LOGPROBS = 2, /* as do logprobs */
    MAX_TOP = 255,
};

static const char magic[4] = {'w', 'c', 'a', '1'};

/* ---- writing ---- */

static int reserve(struct answer_writer *w, size_t n)
{
    if (!w->room.a) {
        w->room = w->spare;
        w->spare = (struct answer_room){0};
        w->n = HEAD_BYTES;
        w->n_chunks = 0;
    }
    if (n > w->max_bytes || w->n > w->max_bytes - n) {
        return WEIR_E_TOOBIG;
    }
    if (!w->room.a || w->n + n > w->room.cap) {
        size_t cap = w->room.a ? w->room.cap * 2 : FIRST_BYTES;
        cap = cap < w->n + n ? w->n + n : cap;
        struct answer *a = realloc(w->room.a, sizeof(*a) + cap);
        if (!a) {
            return WEIR_E_NOMEM;
        }
        w->room.a = a;
        w->room.cap = cap;
    }
    return 0;
}

/* Little-endian machines only, as everything that weir runs on; the layout is then a copy. */
static void put(struct answer_writer *w, const void *p, size_t n)
{
    if (n) {
        memcpy(w->room.a->bytes + w->n, p, n);
        w->n += n;
    }
}

static void put_u8(struct answer_writer *w, uint32_t v)
{
    uint8_t b = (uint8_t)v;
    put(w, &b, sizeof(b));
}

static void put_u32(struct answer_writer *w, uint32_t v)
{
    put(w, &v, sizeof(v));
}

static void put_text(struct answer_writer *w, weir_str s)
{
    put_u32(w, (uint32_t)s.n);
    put(w, s.p, s.n);
}

static size_t logprob_bytes(const weir_logprob *p)
{
    return 12 + p->bytes.n;
}

static void put_logprob(struct answer_writer *w, const weir_logprob *p)
{
    put(w, &p->token, sizeof(p->token));
    put(w, &p->logprob, sizeof(p->logprob));
    put_text(w, p->bytes);
}

static int put_logprobs(struct answer_writer *w, const weir_chunk *c)
{
    size_t n = 4;
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        const weir_token_logprobs *lp = &c->logprobs[i];
        n += 1 + logprob_bytes(&lp->chosen);
        for (uint32_t k = 0; k < lp->n_top; k++) {
            n += logprob_bytes(&lp->top[k]);
        }
        if (lp->n_top > MAX_TOP) {
            return WEIR_E_TOOBIG;
        }
    }
    int rc = reserve(w, n);
    if (rc < 0) {
        return rc;
    }
    put_u32(w, c->n_logprobs);
    for (uint32_t i = 0; i < c->n_logprobs; i++) {
        const weir_token_logprobs *lp = &c->logprobs[i];
        put_u8(w, lp->n_top);
        put_logprob(w, &lp->chosen);
        for (uint32_t k = 0; k < lp->n_top; k++) {
            put_logprob(w, &lp->top[k]);
        }
    }
    return 0;
}

int answer_add(struct answer_writer *w, const weir_chunk *c)
{
    bool call = c->tool_id.n || c->tool_name.n;
    int rc = reserve(w, 4 + 3 * 4 + c->text.n + (call ? 8 + c->tool_id.n + c->tool_name.n : 0));
    if (rc < 0) {
        return rc;
    }
    const uint8_t kinds[4] = {(uint8_t)c->kind, (uint8_t)c->choice, (uint8_t)c->finish,
                              (call ? HAS_CALL : 0) | (c->n_logprobs ? HAS_LOGPROBS : 0)};
    put(w, kinds, sizeof(kinds));
    put_u32(w, c->n_tokens);
    put_u32(w, c->tool_index);
    put_text(w, c->text);
    if (call) {
        put_text(w, c->tool_id);
        put_text(w, c->tool_name);
    }
    w->n_chunks++;
    return c->n_logprobs ? put_logprobs(w, c) : 0;
}

struct answer *answer_finish(struct answer_writer *w,
                             const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t made_us,
                             uint64_t prompt_tokens, uint64_t completion_tokens)
{
    struct answer *a = w->room.a;
    if (!a) {
        return NULL;
    }
    atomic_init(&a->refs, 1);
    a->n_chunks = w->n_chunks;
    a->n = w->n;
    a->cap = w->room.cap;
    w->room = (struct answer_room){0};
    memcpy(a->digest, digest, sizeof(a->digest));
    a->made_us = made_us;
    a->prompt_tokens = prompt_tokens;
    a->completion_tokens = completion_tokens;
    char *p = a->bytes;
    memcpy(p, magic, 4);
    memcpy(p + 4, &a->n_chunks, 4);
    memcpy(p + 8, digest, WEIR_ANSWER_DIGEST_BYTES);
    memcpy(p + 40, &made_us, 8);
    memcpy(p + 48, &prompt_tokens, 8);
    memcpy(p + 56, &completion_tokens, 8);
    return a;
}

void answer_drop(struct answer_writer *w)
{
    free(w->room.a);
    free(w->spare.a);
    w->room = w->spare = (struct answer_room){0};
}

/* ---- reading ---- */

int answer_read(weir_str value, const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES],
                struct answer **ret_answer)
{
    if (value.n < HEAD_BYTES || memcmp(value.p, magic, sizeof(magic)) != 0) {
        return WEIR_E_FORMAT;
    }
    if (memcmp(value.p + 8, digest, WEIR_ANSWER_DIGEST_BYTES) != 0) {
        return WEIR_E_NOTFOUND;
    }
    struct answer *a = malloc(sizeof(*a) + value.n);
    if (!a) {
        return WEIR_E_NOMEM;
    }
    atomic_init(&a->refs, 1);
    memcpy(&a->n_chunks, value.p + 4, 4);
    memcpy(a->digest, digest, sizeof(a->digest));
    memcpy(&a->made_us, value.p + 40, 8);
    memcpy(&a->prompt_tokens, value.p + 48, 8);
    memcpy(&a->completion_tokens, value.p + 56, 8);
    a->n = a->cap = value.n;
    memcpy(a->bytes, value.p, value.n);
    *ret_answer = a;
    return 0;
}

struct answer *answer_ref(struct answer *a)
{
    (void)atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void answer_unref(struct answer *a)
{
    /* Release: what we did with it comes before; acquire in the last: what the others did. */
    if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
        free(a);
    }
}

struct cursor {
    const char *p, *end;
    bool failed;
};

static const char *take(struct cursor *c, size_t n)
{
    if (c->failed || (size_t)(c->end - c->p) < n) {
        c->failed = true;
        return NULL;
    }
    const char *p = c->p;
    c->p += n;
    return p;
}

static uint8_t take_u8(struct cursor *c)
{
    const char *p = take(c, 1);
    return p ? (uint8_t)*p : 0;
}

static uint32_t take_u32(struct cursor *c)
{
    uint32_t v = 0;
    const char *p = take(c, sizeof(v));
    if (p) {
        memcpy(&v, p, sizeof(v));
    }
    return v;
}

static weir_str take_text(struct cursor *c)
{
    uint32_t n = take_u32(c);
    const char *p = take(c, n);
    return p ? (weir_str){p, n} : (weir_str){NULL, 0};
}

static weir_logprob take_logprob(struct cursor *c)
{
    weir_logprob p = {.token = (int32_t)take_u32(c)};
    uint32_t bits = take_u32(c);
    memcpy(&p.logprob, &bits, sizeof(bits));
    p.bytes = take_text(c);
    return p;
}

/* Where lists of log probabilities go: behind the chunks, in the same allocation. Counted first,
 * with `at` NULL. */
struct lists {
    weir_token_logprobs *tokens;
    weir_logprob *tops;
    size_t n_tokens, n_tops;
};

static void take_logprobs(struct cursor *c, weir_chunk *out, struct lists *lists)
{
    uint32_t n = take_u32(c);
    if (lists->tokens) {
        out->logprobs = lists->tokens + lists->n_tokens;
        out->n_logprobs = n;
    }
    for (uint32_t i = 0; i < n && !c->failed; i++) {
        uint32_t n_top = take_u8(c);
        weir_logprob chosen = take_logprob(c);
        size_t first = lists->n_tops;
        for (uint32_t k = 0; k < n_top && !c->failed; k++) {
            weir_logprob top = take_logprob(c);
            if (lists->tops) {
                lists->tops[lists->n_tops] = top;
            }
            lists->n_tops++;
        }
        if (lists->tokens) {
            lists->tokens[lists->n_tokens] =
                (weir_token_logprobs){.chosen = chosen, .top = lists->tops + first, .n_top = n_top};
        }
        lists->n_tokens++;
    }
}

static weir_chunk take_chunk(struct cursor *c, struct lists *lists)
{
    weir_chunk out = {.struct_size = sizeof(out), .kind = take_u8(c), .choice = take_u8(c)};
    out.finish = take_u8(c);
    uint8_t has = take_u8(c);
    out.n_tokens = take_u32(c);
    out.tool_index = take_u32(c);
    out.text = take_text(c);
    if (has & HAS_CALL) {
        out.tool_id = take_text(c);
        out.tool_name = take_text(c);
    }
    if (has & HAS_LOGPROBS) {
        take_logprobs(c, &out, lists);
    }
    bool sound = out.kind >= WEIR_CHUNK_TEXT && out.kind <= WEIR_CHUNK_EMBEDDING &&
                 out.choice < WEIR_MAX_CHOICES;
    c->failed = c->failed || !sound;
    return out;
}

static bool walk(const struct answer *a, weir_chunk *out, struct lists *lists)
{
    struct cursor c = {.p = a->bytes + HEAD_BYTES, .end = a->bytes + a->n};
    for (uint32_t i = 0; i < a->n_chunks && !c.failed; i++) {
        weir_chunk chunk = take_chunk(&c, lists);
        if (out) {
            out[i] = chunk;
        }
    }
    return !c.failed && c.p == c.end;
}

int answer_chunks(const struct answer *a, weir_chunk **ret_chunks)
{
    struct lists count = {0};
    if (a->n_chunks == 0 || !walk(a, NULL, &count)) {
        return WEIR_E_FORMAT;
    }
    /* Each chunk takes 16 bytes of the value, each log probability 12: none of this overflows. */
    size_t n_bytes = a->n_chunks * sizeof(weir_chunk) +
                     count.n_tokens * sizeof(weir_token_logprobs) +
                     count.n_tops * sizeof(weir_logprob);
    weir_chunk *chunks = malloc(n_bytes);
    if (!chunks) {
        return WEIR_E_NOMEM;
    }
    struct lists lists = {.tokens = (weir_token_logprobs *)(chunks + a->n_chunks)};
    lists.tops = (weir_logprob *)(lists.tokens + count.n_tokens);
    (void)walk(a, chunks, &lists);
    *ret_chunks = chunks;
    return 0;
}
