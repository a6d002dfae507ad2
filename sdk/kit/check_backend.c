/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of "weir.backend.step/1": devices, loading, and the same tokens in every company. */
#include <stdio.h>
#include <stdlib.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"
#include "weir/backend_step.h"

enum { PROMPTS = 4, PROMPT_TOKENS = 37, NEW_TOKENS = 12, SLOTS = 8, MAX_DEVICES = 16 };

struct rig {
    struct weir_kit_bench bench;
    struct weir_plugin_instance *instance;
    const weir_backend_step *backend;
    const weir_host *host;
    void *model;
    weir_model_info info;
    uint32_t n_steps;
};

/* A sequence under generation. */
struct sequence {
    int32_t tokens[PROMPT_TOKENS + NEW_TOKENS];
    uint32_t n_prompt, n, done; /* done: tokens whose KV is written */
    uint32_t slot;
    uint32_t pages[(PROMPT_TOKENS + NEW_TOKENS) / WEIR_PAGE_TOKENS + 1];
};

static bool rig_init(struct rig *g, struct weir_kit_probe *p)
{
    *g = (struct rig){0};
    if (!weir_kit_bench_init(&g->bench, p)) {
        return false;
    }
    g->backend = weir_plugin_library_ext(g->bench.lib, WEIR_EXT_BACKEND_STEP);
    if (!g->backend || !WEIR_HAS_FN(g->backend, step) || !g->backend->load || !g->backend->unload ||
        !g->backend->info || !g->backend->devices ||
        weir_plugins_host(g->bench.stage.plugins, g->bench.lib, &g->instance, NULL) < 0) {
        weir_kit_find(p, "devices, load, unload, info and step must all be there");
        weir_kit_bench_finish(&g->bench);
        return false;
    }
    g->host = weir_plugin_instance_host(g->instance);
    return true;
}

static void rig_finish(struct rig *g)
{
    if (g->model) {
        g->backend->unload(g->model);
    }
    struct weir_plugin_leaks leaks = {0};
    weir_plugin_instance_end(g->instance, &leaks);
    if (leaks.allocs) {
        weir_kit_find(g->bench.probe, "unload left %llu blocks of host->alloc",
                      (unsigned long long)leaks.allocs);
    }
    weir_kit_bench_finish(&g->bench);
}

static int give_up(void *arg, float fraction)
{
    *(int *)arg += fraction >= 0 && fraction <= 1 ? 1 : 1000;
    return 1;
}

static bool rig_load(struct rig *g)
{
    const weir_load_params params = {
        .struct_size = sizeof(params),
        .n_threads = 1,
        .n_ctx = 256,
        .max_sequences = SLOTS,
        .max_step_tokens = 512,
        .file = weir_str_from(g->bench.probe->target->model),
        .options_json = WEIR_STR_INIT("{}"),
    };
    weir_str err = {NULL, 0};
    int rc = g->backend->load(g->host, &params, &g->model, &err);
    if (rc < 0 && params.file.n == 0) {
        weir_kit_skip(g->bench.probe, "it needs a model file: give one with --model (%.*s)",
                      (int)(err.n < 200 ? err.n : 200), err.p ? err.p : "");
        g->model = NULL;
        return false;
    }
    if (rc < 0 || !g->model) {
        weir_kit_find(g->bench.probe, "load failed with %d: %.*s", rc,
                      (int)(err.n < 300 ? err.n : 300), err.p ? err.p : "(no reason given)");
        g->model = NULL;
        return false;
    }
    g->info = (weir_model_info){.struct_size = sizeof(g->info)};
    rc = g->backend->info(g->model, &g->info);
    const weir_model_info *i = &g->info;
    if (rc < 0 || i->n_vocab == 0 || i->n_ctx == 0 || i->n_pages == 0 || i->max_sequences == 0 ||
        i->max_step_tokens == 0 || i->page_tokens != WEIR_PAGE_TOKENS) {
        weir_kit_find(g->bench.probe, "info gave %d, or a count of zero, or other pages than %d",
                      rc, WEIR_PAGE_TOKENS);
        return false;
    }
    return true;
}

void weir_kit_check_devices(struct weir_kit_probe *p)
{
    struct rig g;
    if (!rig_init(&g, p)) {
        return;
    }
    weir_device devices[MAX_DEVICES] = {0};
    uint32_t n = 99;
    if (g.backend->devices(g.host, devices, 0, &n) < 0 || n != 0) {
        weir_kit_find(p, "with room for 0 devices it gave %u", n);
    }
    if (g.backend->devices(g.host, devices, MAX_DEVICES, &n) < 0 || n > MAX_DEVICES) {
        weir_kit_find(p, "devices failed, or gave more than there was room for (%u)", n);
        n = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!memchr(devices[i].id, 0, sizeof(devices[i].id)) ||
            !memchr(devices[i].name, 0, sizeof(devices[i].name)) || !devices[i].id[0]) {
            weir_kit_find(p, "device %u has no id, or a text without its end", i);
        }
    }
    rig_finish(&g);
}

void weir_kit_check_load(struct weir_kit_probe *p)
{
    struct rig g;
    if (!rig_init(&g, p)) {
        return;
    }
    for (int i = 0; i < 3 && rig_load(&g); i++) {
        if (WEIR_HAS_FN(g.backend, interrupt)) {
            g.backend->interrupt(g.model);
        }
        g.backend->unload(g.model);
        g.model = NULL;
    }
    int calls = 0;
    weir_str err = {NULL, 0};
    const weir_load_params params = {.struct_size = sizeof(params),
                                     .n_ctx = 256,
                                     .max_sequences = 1,
                                     .max_step_tokens = 64,
                                     .file = weir_str_from(p->target->model),
                                     .options_json = WEIR_STR_INIT("{}"),
                                     .progress = give_up,
                                     .progress_arg = &calls};
    int rc = g.backend->load(g.host, &params, &g.model, &err);
    if (calls > 0 && rc == 0) {
        weir_kit_find(p, "load went on although progress asked it to give up");
    }
    if (calls >= 1000) {
        weir_kit_find(p, "progress left the range 0 to 1");
    }
    g.model = rc == 0 ? g.model : NULL;
    rig_finish(&g);
}

static void make_prompt(const struct rig *g, struct sequence *s, unsigned number, uint32_t slot,
                        uint32_t first_page)
{
    *s = (struct sequence){.slot = slot, .n_prompt = PROMPT_TOKENS - number * 5};
    uint32_t words = g->info.n_vocab < 250 ? g->info.n_vocab : 250;
    for (uint32_t i = 0; i < s->n_prompt; i++) {
        s->tokens[i] = (int32_t)((i * 7 + number * 13 + 40) % words);
    }
    s->n = s->n_prompt;
    for (uint32_t i = 0; i < sizeof(s->pages) / sizeof(s->pages[0]); i++) {
        s->pages[i] = (first_page + i) % g->info.n_pages;
    }
}

static const weir_sampling greedy = {
    .struct_size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1};

/* The next step's part of a sequence: at most `chunk` tokens, sampling when it reaches the end. */
static weir_step_part next_part(const struct sequence *s, uint32_t chunk)
{
    uint32_t left = s->n - s->done, n = left < chunk ? left : chunk;
    return (weir_step_part){
        .slot = s->slot,
        .flags = n == left ? WEIR_STEP_SAMPLE : 0,
        .pos = s->done,
        .n_tokens = n,
        .tokens = s->tokens + s->done,
        .pages = s->pages,
        .n_pages = (s->done + n + WEIR_PAGE_TOKENS - 1) / WEIR_PAGE_TOKENS,
        .sampling = &greedy,
        .history = s->tokens,
        .n_history = s->n,
        .n_history_prompt = s->n_prompt,
        .sample_index = s->n - s->n_prompt,
    };
}

static bool take_result(struct rig *g, struct sequence *s, const weir_step_part *part,
                        const weir_step_result *r)
{
    s->done += part->n_tokens;
    if (r->rc < 0) {
        weir_kit_find(g->bench.probe, "a sound part of a step failed with %d", r->rc);
        return false;
    }
    bool sampled = (part->flags & WEIR_STEP_SAMPLE) != 0;
    if ((sampled && r->n_tokens == 0) || (!sampled && r->n_tokens != 0) ||
        r->n_tokens > WEIR_STEP_MAX_TOKENS_OUT) {
        weir_kit_find(g->bench.probe, "a part %s sampling gave %u tokens",
                      sampled ? "with" : "without", r->n_tokens);
        return false;
    }
    for (uint32_t i = 0; i < r->n_tokens; i++) {
        if (r->tokens[i] < 0 || (uint32_t)r->tokens[i] >= g->info.n_vocab) {
            weir_kit_find(g->bench.probe, "token %d is outside the vocabulary", r->tokens[i]);
            return false;
        }
        if (s->n < s->n_prompt + NEW_TOKENS) {
            s->tokens[s->n++] = r->tokens[i];
        }
    }
    return true;
}

static bool has_pieces(const struct rig *g)
{
    return WEIR_HAS_FN(g->backend, prefill_begin) && WEIR_HAS_FN(g->backend, prefill_run) &&
           WEIR_HAS_FN(g->backend, prefill_drop);
}

/* The first part as a chunk in pieces, begun twice, with the step of the others in between. */
static int run_in_pieces(struct rig *g, const weir_step_batch *batch, weir_step_result *results)
{
    enum { MOST_PIECES = 1000000 };
    weir_step_batch chunk = *batch, rest = *batch;
    chunk.n_parts = 1;
    chunk.n_tokens = batch->parts[0].n_tokens;
    rest.parts++;
    rest.n_parts--;
    rest.n_tokens -= chunk.n_tokens;
    int rc = g->backend->prefill_begin(g->model, &chunk, results);
    rc = rc == 0 ? g->backend->prefill_run(g->model, 0) : rc;
    if (rc == 0) {
        g->backend->prefill_drop(g->model);
        rc = g->backend->prefill_begin(g->model, &chunk, results);
    }
    if (rc >= 0 && rest.n_parts > 0) {
        int step_rc = g->backend->step(g->model, &rest, results + 1);
        rc = step_rc < 0 ? step_rc : rc;
    }
    for (int i = 0; rc == 0 && i < MOST_PIECES; i++) {
        rc = g->backend->prefill_run(g->model, 0);
    }
    if (rc == 0) {
        weir_kit_find(g->bench.probe, "a chunk is not done after %d pieces", MOST_PIECES);
        g->backend->prefill_drop(g->model);
    }
    return rc;
}

/* Every other time in two halves or in pieces, where the backend has them: the same tokens must
 * come. */
static int run_step(struct rig *g, const weir_step_batch *batch, weir_step_result *results)
{
    const uint32_t n_first = batch->parts[0].n_tokens;
    if (has_pieces(g) && n_first > 1 && n_first <= g->info.max_prefill_tokens &&
        ++g->n_steps % 2 != 0) {
        return run_in_pieces(g, batch, results);
    }
    bool has_halves = WEIR_HAS_FN(g->backend, step_begin) && WEIR_HAS_FN(g->backend, step_end);
    if (!has_halves || ++g->n_steps % 2 == 0) {
        return g->backend->step(g->model, batch, results);
    }
    int rc = g->backend->step_begin(g->model, batch, results);
    return rc < 0 ? rc : g->backend->step_end(g->model);
}

/* Runs sequences side by side to NEW_TOKENS each. */
static bool generate(struct rig *g, struct sequence *all, uint32_t n, uint32_t chunk)
{
    for (uint32_t i = 0; i < n; i++) {
        if (WEIR_HAS_FN(g->backend, seq_open)) {
            (void)g->backend->seq_open(g->model, all[i].slot);
        }
    }
    bool ok = true;
    for (bool busy = true; busy && ok;) {
        weir_step_part parts[SLOTS];
        weir_step_result results[SLOTS] = {0};
        struct sequence *of[SLOTS];
        weir_step_batch batch = {
            .struct_size = sizeof(batch), .part_size = sizeof(weir_step_part), .parts = parts};
        for (uint32_t i = 0; i < n; i++) {
            if (all[i].n < all[i].n_prompt + NEW_TOKENS) {
                of[batch.n_parts] = &all[i];
                parts[batch.n_parts] = next_part(&all[i], chunk);
                batch.n_tokens += parts[batch.n_parts++].n_tokens;
            }
        }
        const uint32_t n_parts = batch.n_parts;
        busy = n_parts > 0;
        int rc = busy ? run_step(g, &batch, results) : 0;
        if (rc < 0) {
            weir_kit_find(g->bench.probe, "a sound step failed with %d", rc);
            ok = false;
        }
        for (uint32_t i = 0; ok && i < n_parts; i++) {
            ok = take_result(g, of[i], &parts[i], &results[i]);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (WEIR_HAS_FN(g->backend, seq_close)) {
            g->backend->seq_close(g->model, all[i].slot);
        }
    }
    return ok;
}

static void same(struct rig *g, const struct sequence *a, const struct sequence *b, const char *how)
{
    if (a->n != b->n || memcmp(a->tokens, b->tokens, a->n * sizeof(a->tokens[0])) != 0) {
        weir_kit_find(g->bench.probe, "at temperature 0 the tokens of a prompt differ %s", how);
    }
}

void weir_kit_check_steps(struct weir_kit_probe *p)
{
    struct rig g;
    if (!rig_init(&g, p)) {
        return;
    }
    struct sequence alone[PROMPTS], other[PROMPTS];
    const uint32_t stride = sizeof(other[0].pages) / sizeof(other[0].pages[0]);
    bool ok = rig_load(&g);
    if (ok && (g.info.max_sequences < PROMPTS || g.info.n_pages < PROMPTS * stride)) {
        weir_kit_skip(p, "it has room for fewer than %d sequences", PROMPTS);
        ok = false;
    }
    for (unsigned i = 0; ok && i < PROMPTS; i++) {
        make_prompt(&g, &alone[i], i, 0, 0); /* the same slot and pages each time */
        ok = generate(&g, &alone[i], 1, UINT32_MAX);
    }
    for (unsigned i = 0; ok && i < PROMPTS; i++) {
        make_prompt(&g, &other[i], i, PROMPTS - 1 - i, i * stride);
    }
    ok = ok && generate(&g, other, PROMPTS, UINT32_MAX);
    for (unsigned i = 0; ok && i < PROMPTS; i++) {
        same(&g, &alone[i], &other[i], "in a batch");
        make_prompt(&g, &other[i], i, i, i * stride);
    }
    ok = ok && generate(&g, other, PROMPTS, 5);
    for (unsigned i = 0; ok && i < PROMPTS; i++) {
        same(&g, &alone[i], &other[i], "when it is read in chunks");
    }
    rig_finish(&g);
}
