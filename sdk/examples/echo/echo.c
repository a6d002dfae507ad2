/* SPDX-License-Identifier: Apache-2.0 */
/* Example: a backend that answers with the prompt's own tokens, for tests and benchmarks.
 *
 * Tokens are bytes (0..255); 256 ends a completion. Sampling ignores temperature: token i of the
 * completion is token i of the prompt, then the end. Its "KV" is the tokens themselves, written to
 * and read from the pages that the host hands out, so that a host which mixes up pages is noticed.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "weir/backend_step.h"
#include "weir/plugin.h"

enum { END = 256, N_VOCAB = 257, DEFAULT_CTX = 8192, DEFAULT_SEQUENCES = 64, MAX_SEQUENCES = 4096 };

struct echo {
    uint32_t n_ctx, max_sequences, max_step_tokens, n_pages;
    unsigned long delay_us;   /* per step */
    unsigned long token_us;   /* more for each token of a step */
    unsigned long fail_after; /* steps until the device "fails"; 0: never */
    unsigned long hang_after; /* steps until one takes hang_ms; 0: never */
    unsigned long hang_ms;
    unsigned long steps;
    int32_t *kv; /* [n_pages][WEIR_PAGE_TOKENS] */
};

static int devices(const weir_host *host, weir_device *out, uint32_t cap, uint32_t *n_out)
{
    (void)host;
    *n_out = 0;
    if (cap > 0) {
        out[0] = (weir_device){.struct_size = sizeof(out[0]), .id = "echo0", .name = "echo"};
        out[0].score = 1; /* the least: `backend: auto` takes any other first */
        *n_out = 1;
    }
    return 0;
}

/* The number behind "key": in a flat JSON object, or 0. */
static unsigned long option(weir_str json, const char *key)
{
    char text[512], quoted[32];
    (void)snprintf(text, sizeof(text), "%.*s", (int)(json.n < 511 ? json.n : 511),
                   json.p ? json.p : "");
    (void)snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = strstr(text, quoted);
    return at ? strtoul(at + strlen(quoted), NULL, 10) : 0;
}

static int load(const weir_host *host, const weir_load_params *p, void **model, weir_str *err)
{
    (void)host;
    struct echo *e = calloc(1, sizeof(*e));
    if (!e) {
        *err = weir_str_from("out of memory");
        return WEIR_E_NOMEM;
    }
    e->n_ctx = p->n_ctx ? p->n_ctx : DEFAULT_CTX;
    e->max_sequences = p->max_sequences ? p->max_sequences : DEFAULT_SEQUENCES;
    if (e->max_sequences > MAX_SEQUENCES) {
        e->max_sequences = MAX_SEQUENCES;
    }
    e->max_step_tokens = p->max_step_tokens ? p->max_step_tokens : 512;
    e->n_pages = e->max_sequences * ((e->n_ctx + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS);
    e->delay_us = option(p->options_json, "delay_us");
    e->token_us = option(p->options_json, "token_us");
    e->fail_after = option(p->options_json, "fail_after");
    e->hang_after = option(p->options_json, "hang_after");
    e->hang_ms = option(p->options_json, "hang_ms");
    e->kv = calloc(e->n_pages, WEIR_PAGE_TOKENS * sizeof(int32_t));
    if (!e->kv) {
        free(e);
        *err = weir_str_from("out of memory for the pages");
        return WEIR_E_NOMEM;
    }
    *model = e;
    return 0;
}

static void unload(void *model)
{
    struct echo *e = model;
    free(e->kv);
    free(e);
}

static int info(void *model, weir_model_info *out)
{
    const struct echo *e = model;
    *out = (weir_model_info){
        .struct_size = sizeof(*out),
        .n_vocab = N_VOCAB,
        .n_ctx = e->n_ctx,
        .n_pages = e->n_pages,
        .page_tokens = WEIR_PAGE_TOKENS,
        .max_sequences = e->max_sequences,
        .max_step_tokens = e->max_step_tokens,
        .n_threads = 1,
        .kv_bytes = (uint64_t)e->n_pages * WEIR_PAGE_TOKENS * sizeof(int32_t),
        .kv_bytes_per_token = sizeof(int32_t),
        .arch = "echo",
        .quant = "none",
        .device = "echo0",
    };
    return 0;
}

static int64_t tokenize(void *model, weir_str text, int32_t *out, size_t cap)
{
    (void)model;
    for (size_t i = 0; i < text.n && i < cap; i++) {
        out[i] = (unsigned char)text.p[i];
    }
    return (int64_t)text.n;
}

static int64_t piece(void *model, int32_t token, char *out, size_t cap)
{
    (void)model;
    if (token < 0 || token >= N_VOCAB) {
        return WEIR_E_ARG;
    }
    if (token == END) {
        return 0;
    }
    if (cap > 0) {
        out[0] = (char)(unsigned char)token;
    }
    return 1;
}

static int is_end(void *model, int32_t token)
{
    (void)model;
    return token == END;
}

static int32_t *token_at(const struct echo *e, const weir_step_part *p, uint32_t pos)
{
    return &e->kv[(size_t)p->pages[pos / WEIR_PAGE_TOKENS] * WEIR_PAGE_TOKENS +
                  pos % WEIR_PAGE_TOKENS];
}

static bool is_sound(const struct echo *e, const weir_step_part *p)
{
    bool sound = p->slot < e->max_sequences && p->n_tokens <= e->n_ctx &&
                 p->pos <= e->n_ctx - p->n_tokens &&
                 (uint64_t)p->n_pages * WEIR_PAGE_TOKENS >= (uint64_t)p->pos + p->n_tokens &&
                 p->sample_index <= (uint64_t)p->pos + p->n_tokens;
    for (uint32_t i = 0; sound && i < p->n_pages; i++) {
        sound = p->pages[i] < e->n_pages;
    }
    return sound;
}

static void run_part(struct echo *e, const weir_step_part *p, weir_step_result *out)
{
    for (uint32_t i = 0; i < p->n_tokens; i++) {
        *token_at(e, p, p->pos + i) = p->tokens[i];
    }
    if (p->flags & WEIR_STEP_SAMPLE) {
        uint64_t n_prompt = (uint64_t)p->pos + p->n_tokens - p->sample_index;
        bool more = p->sample_index < n_prompt;
        out->tokens[0] = more ? *token_at(e, p, (uint32_t)p->sample_index) : END;
        out->n_tokens = 1;
    }
}

static void sleep_us(unsigned long us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    (void)nanosleep(&t, NULL);
}

static int step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    struct echo *e = model;
    e->steps++;
    if (e->delay_us || e->token_us) {
        sleep_us(e->delay_us + e->token_us * batch->n_tokens);
    }
    if (e->hang_after && e->steps == e->hang_after) {
        sleep_us(e->hang_ms * 1000);
    }
    if (e->fail_after && e->steps > e->fail_after) {
        return WEIR_E_DEVICE;
    }
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        const weir_step_part *p = (const void *)((const char *)batch->parts + i * batch->part_size);
        if (is_sound(e, p)) {
            run_part(e, p, &results[i]);
        } else {
            results[i].rc = WEIR_E_ARG;
        }
    }
    return 0;
}

static const weir_backend_step backend = {
    .struct_size = sizeof(backend),
    .devices = devices,
    .load = load,
    .unload = unload,
    .info = info,
    .tokenize = tokenize,
    .piece = piece,
    .is_end = is_end,
    .step = step,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_BACKEND_STEP) == 0 ? &backend : NULL;
}

static const char *const provides[] = {WEIR_EXT_BACKEND_STEP, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "echo",          .version = "1.0.0",
    .license = "Apache-2.0", .description = "Answers with the prompt's own tokens.",
    .provides = provides,    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
