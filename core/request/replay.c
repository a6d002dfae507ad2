/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* each EVP digest makes and frees a context */
#include <openssl/sha.h>

#include "core/request/request.h"
#include "core/server/worker.h"

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

/* Under a secret of the caller's, or without one the same everywhere. */
struct digest {
    bool is_own;
    struct weir_keyed_hash own;
    SHA256_CTX sha;
};

static const struct weir_keyed_hash_key *key_of(struct weir_replay_secret *last,
                                                const uint8_t secret[WEIR_ANSWER_SECRET_BYTES])
{
    if (!last->is_made || memcmp(last->secret, secret, sizeof(last->secret)) != 0) {
        memcpy(last->secret, secret, sizeof(last->secret));
        weir_keyed_hash_make_key(&last->key, secret);
        last->is_made = true;
    }
    return &last->key;
}

static void begin(struct digest *d, struct weir_worker *w, const uint8_t *secret)
{
    d->is_own = secret != NULL;
    if (secret) {
        weir_keyed_hash_begin(&d->own, key_of(weir_worker_replay_secret(w), secret));
    } else {
        (void)SHA256_Init(&d->sha);
    }
}

static void add(struct digest *d, const void *bytes, size_t n)
{
    if (n == 0) {
        return;
    }
    if (d->is_own) {
        weir_keyed_hash_add(&d->own, bytes, n);
    } else {
        (void)SHA256_Update(&d->sha, bytes, n);
    }
}

static void end(struct digest *d, uint8_t ret_digest[WEIR_ANSWER_DIGEST_BYTES])
{
    if (d->is_own) {
        weir_keyed_hash_end(&d->own, ret_digest);
    } else {
        (void)SHA256_Final(ret_digest, &d->sha);
    }
}

enum { N_TEXTS = 9 };

/* What all requests have, without holes. Lengths of the texts that follow are in it, so that no two
 * lists of texts look the same. */
struct head {
    char version[16];
    uint64_t seed, revision;
    uint64_t n_texts[N_TEXTS];
    uint32_t kind, tool_choice, parallel_tool_calls, format, n, max_tokens, echo, want_logprobs;
    uint32_t n_top, n_stop, ignore_eos, n_prompt_tokens, n_bias, pinned;
    uint32_t dimensions, is_base64;
    uint32_t sampling_given; /* an upstream has defaults of its own */
    int32_t top_k;
    float temperature, top_p, typical_p, min_p, repetition, presence, frequency;
    uint32_t no_hole;
};
_Static_assert(sizeof(struct head) == 32 + 8 * N_TEXTS + 4 * 26, "no holes");

/* Of whose answer it will be: a policy may have chosen another model just now. */
static const struct weir_model *model_of(const struct weir_request *r)
{
    return r->next_model ? r->next_model : r->model;
}

static struct head head_of(const struct weir_request *r, const weir_sampling *s)
{
    const weir_generation *g = &r->api.generation;
    bool seeded = r->api.seed_given && s->temperature > 0; /* without drawing a seed does nothing */
    return (struct head){
        .version = "weir answer 3",
        .seed = seeded ? s->seed : 0,
        .revision = weir_model_revision(model_of(r)),
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
        .dimensions = g->dimensions,
        .is_base64 = g->is_base64,
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

static void add_request(struct digest *d, const struct weir_request *r, const weir_sampling *s)
{
    const weir_generation *g = &r->api.generation;
    const weir_str texts[N_TEXTS] = {
        r->tenant,
        weir_str_from(weir_model_name(model_of(r))),
        g->messages_json,
        g->tools_json,
        g->template_args_json,
        g->tool_name,
        g->schema_json,
        g->prompt,
        g->input_json,
    };
    struct head head = head_of(r, s);
    for (size_t i = 0; i < N_TEXTS; i++) {
        head.n_texts[i] = texts[i].n;
    }
    add(d, &head, sizeof(head));
    for (size_t i = 0; i < N_TEXTS; i++) {
        add(d, texts[i].p, texts[i].n);
    }
    add(d, g->prompt_tokens, g->n_prompt_tokens * sizeof(*g->prompt_tokens));
    for (uint32_t i = 0; i < g->n_stop; i++) {
        uint64_t n = g->stop[i].n;
        add(d, &n, sizeof(n));
        add(d, g->stop[i].p, g->stop[i].n);
    }
    for (uint32_t i = 0; i < g->sampling.n_bias; i++) {
        add(d, &g->sampling.bias[i].token, sizeof(g->sampling.bias[i].token));
        add(d, &g->sampling.bias[i].bias, sizeof(g->sampling.bias[i].bias));
    }
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
    struct digest digest;
    *out = (weir_answer_key){.struct_size = sizeof(*out),
                             .flags = (draws ? WEIR_ANSWER_DRAWN : 0) |
                                      (g->max_tokens ? WEIR_ANSWER_LIMITED : 0)};
    begin(&digest, r->worker, secret);
    add_request(&digest, r, &sampling);
    end(&digest, out->digest);
    return 0;
}
