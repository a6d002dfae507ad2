/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of output on their way through on_chunk of every plugin. */
#include "core/plugin/run.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "core/plugin/run_internal.h"

/* Text that one plugin holds back of one choice. */
struct held {
    struct weir_buf text;
    uint32_t kind, tool_index;
    uint32_t n_tokens;           /* of the pieces held */
    weir_str tool_id, tool_name; /* in the request's arena */
    bool any;
};

struct weir_plugin_choice {
    uint64_t next_seq;  /* of emitted chunks */
    bool ended;         /* FINISH was emitted */
    struct held held[]; /* of each plugin in the list of those that see chunks */
};

struct flow {
    struct weir_plugin_run *run;
    const struct weir_plugin_hook_list *list; /* who sees chunks; plugins are places in it here */
    struct weir_plugin_choice *choice;
    void (*emit)(void *arg, const weir_chunk *chunk);
    void *arg;
    uint64_t at_ns; /* the end of the last hook, when nothing came after it; 0: look */
};

static struct weir_plugin_choice *get_choice(struct weir_plugin_run *run, uint32_t number)
{
    if (number >= WEIR_PLUGIN_MAX_CHOICES) {
        return NULL;
    }
    struct weir_plugin_choice *c = run->choices[number];
    if (!c) {
        uint32_t n = run->chain->hooks[WEIR_HOOK_CHUNK].n;
        c = weir_arena_alloc(run->arena, sizeof(*c) + n * sizeof(c->held[0]));
        for (uint32_t i = 0; c && i < n; i++) {
            weir_buf_init(&c->held[i].text, WEIR_PLUGIN_MAX_HELD_BYTES);
        }
        run->choices[number] = c;
        run->n_choices = number < run->n_choices ? run->n_choices : number + 1;
    }
    return c;
}

void weir_plugin_choices_finish(struct weir_plugin_run *run)
{
    for (uint32_t i = 0; i < run->n_choices; i++) {
        for (uint32_t j = 0; run->choices[i] && j < run->chain->hooks[WEIR_HOOK_CHUNK].n; j++) {
            weir_buf_finish(&run->choices[i]->held[j].text);
        }
    }
}

static void emit(struct flow *f, const weir_chunk *chunk)
{
    weir_chunk out = *chunk;
    out.struct_size = sizeof(out);
    out.seq = f->choice->next_seq++;
    out.flags = 0;
    f->choice->ended = f->choice->ended || chunk->kind == WEIR_CHUNK_FINISH;
    f->emit(f->arg, &out);
    f->at_ns = 0;
}

static int pass(struct flow *f, const weir_chunk *chunk, uint32_t from);

/* Ends the choice at plugin `at`: those behind it see the end, then it goes out. */
static int end_choice(struct flow *f, uint32_t choice, uint32_t at, uint32_t finish)
{
    struct weir_plugin_choice *c = f->choice;
    for (uint32_t i = 0; i <= at; i++) {
        c->held[i].any = false;
    }
    const weir_chunk end = {
        .struct_size = sizeof(end), .kind = WEIR_CHUNK_FINISH, .choice = choice, .finish = finish};
    (void)pass(f, &end, at + 1);
    if (!c->ended) {
        emit(f, &end);
    }
    return WEIR_E_CANCELLED;
}

static int fail(struct flow *f, struct weir_plugin_instance *inst, const weir_chunk *chunk,
                uint32_t at, bool *ret_go_on)
{
    if (inst->fail_open) {
        *ret_go_on = true;
        return 0;
    }
    return end_choice(f, chunk->choice, at, WEIR_FINISH_ERROR);
}

/* Adds the chunk to what is held. The arena keeps ids: they come once per call. */
static bool hold(struct flow *f, struct held *h, const weir_chunk *chunk)
{
    if (!h->any) {
        weir_buf_reset(&h->text);
        h->kind = chunk->kind;
        h->tool_index = chunk->tool_index;
        h->n_tokens = 0;
        h->tool_id =
            chunk->tool_id.n ? weir_arena_copy(f->run->arena, chunk->tool_id) : (weir_str){NULL, 0};
        h->tool_name = chunk->tool_name.n ? weir_arena_copy(f->run->arena, chunk->tool_name)
                                          : (weir_str){NULL, 0};
        h->any = true;
    }
    weir_buf_add_str(&h->text, chunk->text);
    h->n_tokens += chunk->n_tokens;
    return !h->text.failed && (!chunk->tool_id.n || h->tool_id.p) &&
           (!chunk->tool_name.n || h->tool_name.p);
}

static bool continues(const struct held *h, const weir_chunk *chunk)
{
    return chunk->kind == h->kind && chunk->tool_index == h->tool_index && chunk->tool_id.n == 0 &&
           chunk->tool_name.n == 0;
}

static weir_chunk held_chunk(const struct held *h, uint32_t choice)
{
    return (weir_chunk){
        .struct_size = sizeof(weir_chunk),
        .kind = h->kind,
        .choice = choice,
        .text = weir_buf_view(&h->text),
        .tool_index = h->tool_index,
        .n_tokens = h->n_tokens,
        .tool_id = h->tool_id,
        .tool_name = h->tool_name,
    };
}

static bool is_hook_action(int action, const weir_chunk *chunk, weir_str out)
{
    bool has_text = chunk->kind == WEIR_CHUNK_TEXT || chunk->kind == WEIR_CHUNK_TOOL_CALL;
    switch (action) {
    case WEIR_CHUNK_PASS:
    case WEIR_CHUNK_REST:
    case WEIR_CHUNK_ABORT: return true;
    case WEIR_CHUNK_REPLACE: return has_text && (out.n == 0 || weir_utf8_is_valid(out));
    case WEIR_CHUNK_HOLD: return has_text && !(chunk->flags & WEIR_CHUNK_LAST);
    default: return false;
    }
}

/* Shows one chunk to one plugin. *ret_go_on: *chunk goes on to the next plugin. The held text is
 * not yet forgotten then, since *chunk may borrow it. Negative: the choice has ended. */
static int call_plugin(struct flow *f, weir_chunk *chunk, uint32_t at, bool *ret_go_on)
{
    const struct weir_plugin_link *link = &f->run->chain->links[f->list->at[at]];
    struct weir_plugin_instance *inst = link->instance;
    struct held *h = &f->choice->held[at];
    *ret_go_on = false;
    if (!weir_plugin_run_admits(f->run, inst)) {
        return fail(f, inst, chunk, at, ret_go_on);
    }
    weir_str out = {NULL, 0};
    uint64_t start_ns = f->at_ns ? f->at_ns : weir_plugin_run_now_ns(f->run);
    f->run->may_pause = inst;
    f->run->called = f->list->at[at];
    int action = link->policy->on_chunk(inst->self, f->run->req, chunk, &out);
    f->run->may_pause = NULL;
    bool sound = is_hook_action(action, chunk, out);
    f->at_ns = weir_plugin_run_note(f->run, inst, WEIR_HOOK_CHUNK, start_ns, !sound);
    if (!sound) {
        return fail(f, inst, chunk, at, ret_go_on);
    }
    if (action == WEIR_CHUNK_ABORT) {
        return end_choice(f, chunk->choice, at, WEIR_FINISH_FILTER);
    }
    if (action == WEIR_CHUNK_HOLD) {
        /* When text was held before, pass() has added this piece to it already. */
        bool held = h->any || hold(f, h, chunk);
        return held ? 0 : end_choice(f, chunk->choice, at, WEIR_FINISH_FILTER);
    }
    if (action == WEIR_CHUNK_REST) {
        f->run->chunks_done |= UINT64_C(1) << at;
    }
    if (action == WEIR_CHUNK_REPLACE) {
        chunk->text = out;
        chunk->logprobs = NULL;
        chunk->n_logprobs = 0;
    }
    *ret_go_on = true;
    return 0;
}

/* Something else than its continuation comes: the plugin sees its held text a last time. */
static int flush(struct flow *f, uint32_t choice, uint32_t at)
{
    struct held *h = &f->choice->held[at];
    weir_chunk chunk = held_chunk(h, choice);
    chunk.flags = WEIR_CHUNK_LAST;
    bool go_on = false;
    int rc = call_plugin(f, &chunk, at, &go_on);
    chunk.flags = 0;
    if (rc == 0 && go_on) {
        rc = pass(f, &chunk, at + 1);
    }
    h->any = false;
    return rc;
}

/* Carries a chunk from plugin `from` to the end of the chain. Calls itself through flush() and
 * end_choice() with a larger `from` each time, so at most WEIR_PLUGIN_CHAIN_MAX deep. */
static int pass(struct flow *f, const weir_chunk *chunk, uint32_t from)
{
    weir_chunk c = *chunk;
    for (uint32_t i = from; i < f->list->n; i++) {
        struct held *h = &f->choice->held[i];
        if ((f->run->chunks_done & UINT64_C(1) << i) && !h->any) {
            continue; /* text that it held of another choice comes to it once more */
        }
        int rc = h->any && !continues(h, &c) ? flush(f, c.choice, i) : 0;
        if (rc < 0) {
            return rc;
        }
        if (h->any) {
            if (!hold(f, h, &c)) {
                return end_choice(f, c.choice, i, WEIR_FINISH_FILTER);
            }
            c = held_chunk(h, c.choice);
        }
        bool go_on = false;
        rc = call_plugin(f, &c, i, &go_on);
        if (rc < 0 || !go_on) {
            return rc;
        }
        if (h->any) {
            /* c may still point into the held text, which stays as it is until the next hold. */
            h->any = false;
        }
    }
    emit(f, &c);
    return 0;
}

bool weir_plugin_run_shows_chunks(const struct weir_plugin_run *run)
{
    return weir_plugin_chain_has_chunk_hooks(run->chain);
}

enum weir_plugin_chunk_outcome
weir_plugin_run_chunk(struct weir_plugin_run *run, const weir_chunk *chunk,
                      void (*emit_fn)(void *arg, const weir_chunk *chunk), void *arg)
{
    const struct weir_plugin_hook_list *list = &run->chain->hooks[WEIR_HOOK_CHUNK];
    if (list->n == 0) {
        emit_fn(arg, chunk);
        return WEIR_PLUGIN_CHUNK_OK;
    }
    struct weir_plugin_choice *choice = get_choice(run, chunk->choice);
    if (!choice) {
        /* The arena is full: nothing may pass unseen, so the choice ends here. */
        emit_fn(arg, &(weir_chunk){.struct_size = sizeof(weir_chunk),
                                   .kind = WEIR_CHUNK_FINISH,
                                   .choice = chunk->choice,
                                   .finish = WEIR_FINISH_ERROR});
        return WEIR_PLUGIN_CHUNK_ENDED;
    }
    if (choice->ended) {
        return WEIR_PLUGIN_CHUNK_ENDED;
    }
    struct flow f = {.run = run, .list = list, .choice = choice, .emit = emit_fn, .arg = arg};
    uint32_t from = 0;
    while (from < list->n && list->at[from] < run->chunks_from) {
        from++;
    }
    return pass(&f, chunk, from) < 0 ? WEIR_PLUGIN_CHUNK_ENDED : WEIR_PLUGIN_CHUNK_OK;
}
