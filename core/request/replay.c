/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* each EVP digest makes and frees a context */
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/siphash.h"
#include "core/request/request.h"

enum { MAX_KEY_BYTES = 64 * 1024 * 1024, USUAL_REST = 512 };

/* ---- the copy ---- */

/* Empty stays empty; a failed copy shows by its NULL. */
static bool copy(struct weir_arena *arena, weir_str *s)
{
    if (s->n == 0) {
        *s = (weir_str){NULL, 0};
        return true;
    }
    *s = weir_arena_copy(arena, *s);
    return s->p != NULL;
}

static bool copy_logprobs(struct weir_arena *arena, weir_chunk *c)
{
    if (c->n_logprobs == 0) {
        c->logprobs = NULL;
        return true;
    }
    weir_token_logprobs *list = weir_arena_array(arena, c->n_logprobs, sizeof(*list));
    for (uint32_t i = 0; list && i < c->n_logprobs; i++) {
        const weir_token_logprobs *from = &c->logprobs[i];
        weir_logprob *top = from->n_top ? weir_arena_array(arena, from->n_top, sizeof(*top)) : NULL;
        list[i] = *from;
        if (!copy(arena, &list[i].chosen.bytes) || (from->n_top && !top)) {
            return false;
        }
        for (uint32_t k = 0; k < from->n_top; k++) {
            top[k] = from->top[k];
            if (!copy(arena, &top[k].bytes)) {
                return false;
            }
        }
        list[i].top = top;
    }
    c->logprobs = list;
    return list != NULL;
}

int weir_replay_make(struct weir_arena *arena, weir_str source, const weir_chunk *chunks, size_t n,
                     const weir_outcome *outcome, struct weir_replay **ret_replay)
{
    struct weir_replay *p = weir_arena_alloc(arena, sizeof(*p));
    weir_chunk *list = weir_arena_array(arena, n, sizeof(*list));
    weir_str name = weir_arena_copy(arena, source);
    if (!p || !list || !name.p) {
        return WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = chunks[i];
        list[i].flags = 0;
        if (!copy(arena, &list[i].text) || !copy(arena, &list[i].tool_id) ||
            !copy(arena, &list[i].tool_name) || !copy_logprobs(arena, &list[i])) {
            return WEIR_E_NOMEM;
        }
    }
    *p = (struct weir_replay){.source = name.p, .chunks = list, .n = n, .outcome = *outcome};
    p->outcome.message = (weir_str){NULL, 0};
    *ret_replay = p;
    return 0;
}

/* ---- the key ---- */

static void add_text(struct weir_buf *b, weir_str s)
{
    uint64_t n = s.n; /* first, so that no two lists of texts look the same */
    weir_buf_add(b, &n, sizeof(n));
    weir_buf_add_str(b, s);
}

/* All numbers of a generation, without holes between them. */
struct numbers {
    uint64_t seed;
    uint32_t kind, tool_choice, parallel_tool_calls, format, n, max_tokens, echo, want_logprobs;
    uint32_t n_top, n_stop, ignore_eos, n_prompt_tokens, n_bias, pinned;
    uint32_t sampling_given; /* an upstream has defaults of its own */
    uint32_t no_hole;
    int32_t top_k;
    float temperature, top_p, typical_p, min_p, repetition, presence, frequency;
};

static struct numbers numbers_of(const struct weir_request *r, const weir_sampling *s)
{
    const weir_generation *g = &r->api.generation;
    bool seeded = r->api.seed_given && s->temperature > 0; /* without drawing a seed does nothing */
    return (struct numbers){
        .seed = seeded ? s->seed : 0,
        .kind = g->kind,
        .tool_choice = g->tool_choice,
        .parallel_tool_calls = g->parallel_tool_calls,
        .format = g->format,
        .n = g->n,
        .max_tokens = g->max_tokens,
        .echo = g->echo,
        .want_logprobs = g->want_logprobs,
        .n_top = g->n_top,
        .n_stop = g->n_stop,
        .ignore_eos = g->ignore_eos,
        .n_prompt_tokens = g->n_prompt_tokens,
        .n_bias = s->n_bias,
        .pinned = r->is_pinned ? r->pinned_index + 1 : 0,
        .sampling_given = g->sampling_given,
        .top_k = s->top_k,
        .temperature = s->temperature,
        .top_p = s->top_p,
        .typical_p = s->typical_p,
        .min_p = s->min_p,
        .repetition = s->repetition_penalty,
        .presence = s->presence_penalty,
        .frequency = s->frequency_penalty,
    };
}

/* Of whose answer it will be: a policy may have chosen another model just now. */
static const struct weir_model *model_of(const struct weir_request *r)
{
    return r->next_model ? r->next_model : r->model;
}

static void add_request(struct weir_buf *b, const struct weir_request *r)
{
    const weir_generation *g = &r->api.generation;
    const struct weir_model *m = model_of(r);
    const weir_sampling sampling = weir_api_request_sampling(&r->api, weir_model_sampling(m));
    const struct numbers numbers = numbers_of(r, &sampling);
    uint64_t revision = weir_model_revision(m);
    add_text(b, (weir_str)WEIR_STR_INIT("weir answer 2"));
    add_text(b, r->tenant);
    add_text(b, weir_str_from(weir_model_name(m)));
    weir_buf_add(b, &revision, sizeof(revision));
    weir_buf_add(b, &numbers, sizeof(numbers));
    add_text(b, g->messages_json);
    add_text(b, g->tools_json);
    add_text(b, g->template_args_json);
    add_text(b, g->tool_name);
    add_text(b, g->schema_json);
    add_text(b, g->prompt);
    if (g->n_prompt_tokens) {
        weir_buf_add(b, g->prompt_tokens, g->n_prompt_tokens * sizeof(*g->prompt_tokens));
    }
    for (uint32_t i = 0; i < g->n_stop; i++) {
        add_text(b, g->stop[i]);
    }
    for (uint32_t i = 0; i < g->sampling.n_bias; i++) {
        weir_buf_add(b, &g->sampling.bias[i].token, sizeof(g->sampling.bias[i].token));
        weir_buf_add(b, &g->sampling.bias[i].bias, sizeof(g->sampling.bias[i].bias));
    }
}

static void add_embedding(struct weir_buf *b, const weir_generation *g)
{
    const uint32_t numbers[] = {g->dimensions, g->is_base64};
    weir_buf_add(b, numbers, sizeof(numbers));
    add_text(b, g->input_json);
}

static void digest_of(weir_str all, const uint8_t *secret, uint8_t digest[WEIR_ANSWER_DIGEST_BYTES])
{
    if (secret) {
        weir_siphash(secret, all.p, all.n, digest);
        return;
    }
    SHA256_CTX sha;
    (void)SHA256_Init(&sha);
    (void)SHA256_Update(&sha, all.p, all.n);
    (void)SHA256_Final(digest, &sha);
}

int weir_replay_key(const struct weir_request *r, const uint8_t *secret, weir_answer_key *out)
{
    const weir_generation *g = &r->api.generation;
    bool embeds = g->kind == WEIR_GENERATION_EMBEDDING;
    if (!r->model ||
        (!embeds && g->kind != WEIR_GENERATION_CHAT && g->kind != WEIR_GENERATION_COMPLETION)) {
        return WEIR_E_NOTFOUND;
    }
    const weir_sampling sampling =
        weir_api_request_sampling(&r->api, weir_model_sampling(model_of(r)));
    bool draws = !embeds && sampling.temperature > 0 && !r->api.seed_given;
    weir_answer_key key = {.struct_size = sizeof(key)};
    key.flags = (draws ? WEIR_ANSWER_DRAWN : 0) | (g->max_tokens ? WEIR_ANSWER_LIMITED : 0);
    struct weir_buf b;
    weir_buf_init(&b, MAX_KEY_BYTES);
    (void)weir_buf_reserve(&b, g->messages_json.n + g->prompt.n + g->input_json.n + USUAL_REST);
    add_request(&b, r);
    if (embeds) {
        add_embedding(&b, g);
    }
    int rc = b.failed ? WEIR_E_NOMEM : 0;
    if (rc == 0) {
        digest_of(weir_buf_view(&b), secret, key.digest);
    }
    weir_buf_finish(&b);
    if (rc == 0) {
        *out = key;
    }
    return rc;
}
