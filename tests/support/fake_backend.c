/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_backend.h"

#include <stdio.h>
#include <stdlib.h>

struct fake_position {
    int32_t token;
    uint32_t pos;
    uint64_t prefix; /* hash of all tokens up to and with this one */
    uint32_t step;   /* that wrote it */
};

enum { FAKE_PREFILL_TOKENS = 512 };

static const char *const pieces[FAKE_N_VOCAB - FAKE_END - 1] = {
    "he",       "llo",  " wor",     "ld\n",       "\xC3",  "\xA9",   "\xF0\x9F",
    "\x98\x80", "ST",   "OP",       "STO",        "P now", "",       "a longer piece of text",
    "}",        "{",    "\xE2\x82", "\xAC, \xF0", "END",   "\nUser", ": ",
    "x",        "\xFF",
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

weir_str fake_backend_piece(int32_t token)
{
    static const char bytes[256] = {
#define B4(n) (char)(n), (char)((n) + 1), (char)((n) + 2), (char)((n) + 3)
#define B16(n) B4(n), B4((n) + 4), B4((n) + 8), B4((n) + 12)
#define B64(n) B16(n), B16((n) + 16), B16((n) + 32), B16((n) + 48)
        B64(0), B64(64), B64(128), B64(192)};
    if (token >= 0 && token < 256) {
        return (weir_str){&bytes[token], 1};
    }
    return token > FAKE_END && token < FAKE_N_VOCAB ? weir_str_from(pieces[token - FAKE_END - 1])
                                                    : (weir_str){"", 0};
}

float fake_backend_logprob(int32_t token)
{
    return -(float)(token % 50) / 8;
}

/* Letters, pieces, and now and then the end. */
static int32_t choose(const struct fake_backend *f, uint64_t h)
{
    if (f->end_every > 0 && h % f->end_every == 0) {
        return FAKE_END;
    }
    h /= 64;
    uint32_t n_pieces = FAKE_N_VOCAB - FAKE_END - 1;
    uint32_t i = (uint32_t)(h % (n_pieces + 26));
    return i < n_pieces ? FAKE_END + 1 + (int32_t)i : 'a' + (int32_t)(i - n_pieces);
}

static uint64_t salt_of(const weir_sampling *sampling, uint32_t index)
{
    return sampling && sampling->temperature > 0 ? mix(sampling->seed + 1, index) : 0;
}

int32_t fake_backend_next(const struct fake_backend *f, const int32_t *tokens, uint32_t n,
                          uint32_t n_prompt, const weir_sampling *sampling)
{
    uint64_t h = 1;
    for (uint32_t i = 0; i < n; i++) {
        h = mix(h, (uint64_t)tokens[i]);
    }
    return choose(f, mix(h, salt_of(sampling, n - n_prompt)));
}

static void violate(struct fake_backend *f, const char *what, uint32_t slot, uint32_t pos)
{
    if (atomic_fetch_add(&f->n_violations, 1) == 0) {
        (void)snprintf(f->violation, sizeof(f->violation), "%s (slot %u, position %u)", what, slot,
                       pos);
    }
}

static uint64_t fake_now_us(const weir_host *host)
{
    const struct fake_backend *f = host->impl;
    return atomic_load(&f->now_us);
}

void fake_backend_init(struct fake_backend *f)
{
    *f = (struct fake_backend){
        .n_pages = 1024,
        .n_ctx = 4096,
        .max_sequences = 32,
        .max_step_tokens = 512,
        .caps = WEIR_MODEL_CAN_LOGPROBS | WEIR_MODEL_CAN_MASK,
        .step_us = 1000,
        .decode_row_us = 10,
        .prompt_token_us = 10,
        .end_every = 50,
        .load_rc = WEIR_E_DEVICE,
        .now_us = 1000000,
    };
    f->host = (weir_host){.struct_size = sizeof(f->host), .impl = f, .now_us = fake_now_us};
    atomic_store(&f->fail_slot, -1);
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
}

void fake_backend_finish(struct fake_backend *f)
{
    free(f->kv);
    (void)pthread_mutex_destroy(&f->lock);
    (void)pthread_cond_destroy(&f->changed);
}

void fake_backend_block(struct fake_backend *f, bool blocked)
{
    (void)pthread_mutex_lock(&f->lock);
    atomic_store(&f->blocked, blocked);
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static void fake_interrupt(void *model)
{
    struct fake_backend *f = model;
    if (atomic_load(&f->is_deaf)) {
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    atomic_store(&f->interrupted, true);
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static int fake_load(const weir_host *host, const weir_load_params *params, void **model,
                     weir_str *err)
{
    struct fake_backend *f = host->impl;
    atomic_fetch_add(&f->n_loads, 1);
    if (params->progress && params->progress(params->progress_arg, 0.5f)) {
        return WEIR_E_CANCELLED;
    }
    if (atomic_load(&f->load_fails) > 0) {
        atomic_fetch_sub(&f->load_fails, 1);
        *err = weir_str_from("told to fail");
        return f->load_rc;
    }
    free(f->kv);
    f->kv = calloc((size_t)f->n_pages * WEIR_PAGE_TOKENS, sizeof(*f->kv));
    if (!f->kv) {
        *err = weir_str_from("out of memory");
        return WEIR_E_NOMEM;
    }
    memset(f->open, 0, sizeof(f->open));
    f->is_loaded = true;
    f->begun = f->has_prefill = false;
    *model = f;
    return 0;
}

static void fake_unload(void *model)
{
    struct fake_backend *f = model;
    atomic_fetch_add(&f->n_unloads, 1);
    f->is_loaded = false;
    for (uint32_t i = 0; i < FAKE_MAX_SLOTS; i++) {
        if (f->open[i]) {
            violate(f, "unloaded with an open sequence", i, 0);
        }
    }
}

static int fake_info(void *model, weir_model_info *out)
{
    const struct fake_backend *f = model;
    *out = (weir_model_info){
        .struct_size = sizeof(*out),
        .caps = f->caps,
        .n_vocab = FAKE_N_VOCAB,
        .n_ctx = f->n_ctx,
        .n_pages = f->n_pages,
        .page_tokens = WEIR_PAGE_TOKENS,
        .max_sequences = f->max_sequences,
        .max_step_tokens = f->max_step_tokens,
        .max_prefill_tokens = FAKE_PREFILL_TOKENS,
        .arch = "fake",
    };
    return 0;
}

void *fake_backend_open(struct fake_backend *f, weir_model_info *ret_info)
{
    void *model = NULL;
    weir_str err;
    weir_load_params params = {.struct_size = sizeof(params)};
    if (fake_load(&f->host, &params, &model, &err) == 0 && model) {
        (void)fake_info(model, ret_info);
    }
    return model;
}

static int64_t fake_tokenize(void *model, weir_str text, int32_t *out, size_t cap)
{
    (void)model;
    for (size_t i = 0; i < text.n && i < cap; i++) {
        out[i] = (unsigned char)text.p[i];
    }
    return (int64_t)text.n;
}

static int64_t fake_piece(void *model, int32_t token, char *out, size_t cap)
{
    (void)model;
    weir_str piece = fake_backend_piece(token);
    if (piece.n > 0 && piece.n <= cap) {
        memcpy(out, piece.p, piece.n);
    }
    return (int64_t)piece.n;
}

static int fake_is_end(void *model, int32_t token)
{
    (void)model;
    return token == FAKE_END;
}

static int fake_seq_open(void *model, uint32_t slot)
{
    struct fake_backend *f = model;
    if (slot >= f->max_sequences || f->open[slot]) {
        violate(f, "slot opened twice or out of range", slot, 0);
    }
    f->open[slot] = true;
    return 0;
}

static void fake_seq_close(void *model, uint32_t slot)
{
    struct fake_backend *f = model;
    if (!f->open[slot]) {
        violate(f, "slot closed that is not open", slot, 0);
    }
    if (f->has_prefill && f->prefill.parts[0].slot == slot) {
        violate(f, "slot closed while its chunk is under way", slot, 0);
    }
    f->open[slot] = false;
}

static struct fake_position *position(struct fake_backend *f, const weir_step_part *part,
                                      uint32_t pos)
{
    uint32_t index = pos / WEIR_PAGE_TOKENS;
    if (index >= part->n_pages || part->pages[index] >= f->n_pages) {
        violate(f, "page table does not cover the position", part->slot, pos);
        return NULL;
    }
    return &f->kv[(size_t)part->pages[index] * WEIR_PAGE_TOKENS + pos % WEIR_PAGE_TOKENS];
}

/* Reads positions 0..n back; the hash of all their tokens. */
static uint64_t read_back(struct fake_backend *f, const weir_step_part *part, uint32_t n)
{
    uint64_t h = 1;
    for (uint32_t pos = 0; pos < n; pos++) {
        const struct fake_position *at = position(f, part, pos);
        if (!at) {
            return 0;
        }
        h = mix(h, (uint64_t)at->token);
        if (at->pos != pos || at->prefix != h) {
            violate(f, "the KV is another sequence's", part->slot, pos);
            return h;
        }
    }
    return h;
}

static void write_tokens(struct fake_backend *f, const weir_step_part *part, uint32_t step)
{
    uint64_t h = read_back(f, part, part->pos);
    for (uint32_t i = 0; i < part->n_tokens; i++) {
        struct fake_position *at = position(f, part, part->pos + i);
        if (!at) {
            return;
        }
        if (at->step == step) {
            violate(f, "a position is written twice in a step", part->slot, part->pos + i);
        }
        h = mix(h, (uint64_t)part->tokens[i]);
        *at = (struct fake_position){part->tokens[i], part->pos + i, h, step};
    }
}

/* Any of the allowed tokens, by the hash alone; -1 when there is none. */
static int32_t choose_allowed(const uint32_t *mask, uint64_t h)
{
    int32_t allowed[FAKE_N_VOCAB];
    uint32_t n = 0;
    for (int32_t t = 0; t < FAKE_N_VOCAB; t++) {
        if (mask[t / 32] >> t % 32 & 1) {
            allowed[n++] = t;
        }
    }
    return n > 0 ? allowed[h / 64 % n] : -1;
}

static void sample(struct fake_backend *f, const weir_step_part *part, weir_step_result *result)
{
    uint32_t n = part->pos + part->n_tokens;
    uint64_t h = read_back(f, part, n);
    if (part->n_history != n || part->sample_index != n - part->n_history_prompt ||
        memcmp(part->history + part->pos, part->tokens, part->n_tokens * sizeof(int32_t)) != 0) {
        violate(f, "history does not fit the tokens", part->slot, n);
    }
    int32_t token = choose(f, mix(h, salt_of(part->sampling, (uint32_t)part->sample_index)));
    if (part->mask) {
        token = choose_allowed(part->mask, h);
    }
    result->n_tokens = 1;
    result->tokens[0] = token;
    if (part->flags & WEIR_STEP_LOGPROBS) {
        result->logprobs[0] = fake_backend_logprob(token);
        result->n_top = part->n_top;
        for (uint32_t i = 0; i < part->n_top; i++) {
            int32_t top = (token + (int32_t)i) % FAKE_N_VOCAB;
            result->top[i] = (weir_top_logprob){top, fake_backend_logprob(top)};
        }
    }
}

static int wait_while_blocked(struct fake_backend *f)
{
    (void)pthread_mutex_lock(&f->lock);
    atomic_fetch_add(&f->n_waiting, 1);
    while (atomic_load(&f->blocked) && !atomic_load(&f->interrupted)) {
        (void)pthread_cond_wait(&f->changed, &f->lock);
    }
    atomic_fetch_sub(&f->n_waiting, 1);
    bool interrupted = atomic_exchange(&f->interrupted, false);
    (void)pthread_mutex_unlock(&f->lock);
    return interrupted ? WEIR_E_CANCELLED : 0;
}

static void check_batch(struct fake_backend *f, const weir_step_batch *batch)
{
    uint32_t n = 0;
    bool seen[FAKE_MAX_SLOTS] = {false};
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        const weir_step_part *part = &batch->parts[i];
        n += part->n_tokens;
        if (part->n_tokens == 0 || part->slot >= f->max_sequences || !f->open[part->slot] ||
            seen[part->slot]) {
            violate(f, "a part without tokens or with a wrong slot", part->slot, part->pos);
            continue;
        }
        if (f->has_prefill && f->prefill.parts[0].slot == part->slot) {
            violate(f, "a step with a sequence whose chunk is under way", part->slot, part->pos);
        }
        seen[part->slot] = true;
    }
    if (n != batch->n_tokens || n > f->max_step_tokens || batch->n_parts > f->max_sequences) {
        violate(f, "the batch's size is wrong", batch->n_parts, n);
    }
    f->most_tokens = n > f->most_tokens ? n : f->most_tokens;
}

static uint64_t cost(const struct fake_backend *f, const weir_step_batch *batch)
{
    uint64_t us = f->step_us;
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        uint32_t n = batch->parts[i].n_tokens;
        us += n == 1 ? f->decode_row_us : n * f->prompt_token_us;
    }
    return us;
}

static int compute(struct fake_backend *f, const weir_step_batch *batch, weir_step_result *results)
{
    int r = wait_while_blocked(f);
    if (r < 0) {
        return r;
    }
    int left = atomic_load(&f->fail_in_steps);
    if (left > 0 && atomic_fetch_sub(&f->fail_in_steps, 1) == 1) {
        return WEIR_E_DEVICE;
    }
    uint32_t step = atomic_fetch_add(&f->n_steps, 1) + 1;
    atomic_fetch_add(&f->now_us, cost(f, batch));
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        write_tokens(f, &batch->parts[i], step);
    }
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        const weir_step_part *part = &batch->parts[i];
        if (atomic_load(&f->fail_slot) == (int)part->slot) {
            results[i].rc = WEIR_E_DEVICE;
        } else if (part->flags & WEIR_STEP_SAMPLE) {
            sample(f, part, &results[i]);
        }
    }
    return 0;
}

static int fake_step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    check_batch(model, batch);
    return compute(model, batch, results);
}

static int fake_step_begin(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    struct fake_backend *f = model;
    if (f->begun) {
        violate(f, "a step begins before the last one's end", 0, 0);
    }
    check_batch(f, batch);
    f->batch = *batch;
    f->results = results;
    f->begun = true;
    return 0;
}

/* The device reads what it was given as late as it may. */
static int fake_step_end(void *model)
{
    struct fake_backend *f = model;
    if (!f->begun) {
        violate(f, "a step ends that did not begin", 0, 0);
        return WEIR_E_ARG;
    }
    f->begun = false;
    return compute(f, &f->batch, f->results);
}

static int fake_prefill_begin(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    struct fake_backend *f = model;
    if (f->has_prefill || batch->n_parts != 1 || batch->n_tokens > FAKE_PREFILL_TOKENS) {
        violate(f, "a chunk begins that must not", batch->parts[0].slot, batch->n_tokens);
    }
    check_batch(f, batch);
    f->prefill = *batch;
    f->prefill_results = results;
    f->prefill_left_us = batch->n_tokens * f->prompt_token_us;
    f->has_prefill = true;
    atomic_fetch_add(&f->n_prefills, 1);
    return 0;
}

/* The device reads what it was given as late as it may. */
static int fake_prefill_run(void *model, uint32_t us)
{
    struct fake_backend *f = model;
    if (!f->has_prefill) {
        violate(f, "a chunk goes on that did not begin", 0, 0);
        return WEIR_E_ARG;
    }
    atomic_fetch_add(&f->n_pieces, 1);
    us = us > 0 ? us : 1;
    if (f->prefill_left_us > us) {
        f->prefill_left_us -= us;
        atomic_fetch_add(&f->now_us, us);
        return 0;
    }
    atomic_fetch_add(&f->now_us, f->prefill_left_us);
    f->has_prefill = false;
    uint64_t now_us = atomic_load(&f->now_us);
    int r = compute(f, &f->prefill, f->prefill_results);
    atomic_store(&f->now_us, now_us); /* paid for above */
    return r < 0 ? r : 1;
}

static void fake_prefill_drop(void *model)
{
    struct fake_backend *f = model;
    atomic_fetch_add(&f->n_dropped, f->has_prefill);
    f->has_prefill = false;
}

const weir_backend_step *fake_backend(void)
{
    static const weir_backend_step backend = {
        .struct_size = sizeof(backend),
        .load = fake_load,
        .unload = fake_unload,
        .info = fake_info,
        .tokenize = fake_tokenize,
        .piece = fake_piece,
        .is_end = fake_is_end,
        .seq_open = fake_seq_open,
        .seq_close = fake_seq_close,
        .step = fake_step,
        .interrupt = fake_interrupt,
    };
    return &backend;
}

const weir_backend_step *fake_backend_in_halves(void)
{
    static weir_backend_step backend;
    backend = *fake_backend();
    backend.step = NULL;
    backend.step_begin = fake_step_begin;
    backend.step_end = fake_step_end;
    return &backend;
}

const weir_backend_step *fake_backend_in_pieces(void)
{
    static weir_backend_step backend;
    backend = *fake_backend();
    backend.prefill_begin = fake_prefill_begin;
    backend.prefill_run = fake_prefill_run;
    backend.prefill_drop = fake_prefill_drop;
    return &backend;
}
