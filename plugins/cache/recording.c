/* SPDX-License-Identifier: Apache-2.0 */
/* The output of a request whose answer was not found, until it is kept or given up. */
#include "cache.h"

void recording_begin(struct ask *a)
{
    a->records = true;
    a->writer.max_bytes = a->max_answer_bytes;
}

/* Ends that are the model's own. What a policy or an error cut is nobody else's answer. */
static bool is_whole(const struct ask *a, uint32_t finish)
{
    return finish == WEIR_FINISH_STOP || finish == WEIR_FINISH_TOOL_CALLS ||
           (finish == WEIR_FINISH_LENGTH && a->limited);
}

int recording_add(struct ask *a, const weir_chunk *chunk)
{
    if (!a->records || a->failed) {
        return WEIR_CHUNK_REST;
    }
    bool end = chunk->kind == WEIR_CHUNK_FINISH;
    if ((end && !is_whole(a, chunk->finish)) || answer_add(&a->writer, chunk) < 0) {
        a->failed = true;
        answer_drop(&a->writer);
        return WEIR_CHUNK_REST;
    }
    if (end) {
        a->finished |= UINT64_C(1) << (chunk->choice % 64);
    }
    return WEIR_CHUNK_PASS;
}

/* Another model may have answered in the end: a fallback. */
static bool is_good(const struct ask *a, const weir_usage *u)
{
    uint64_t all = u->n_choices >= 64 ? UINT64_MAX : (UINT64_C(1) << u->n_choices) - 1;
    return !a->failed && u->http_status == 200 && weir_str_eq(u->model, ask_model(a)) &&
           u->error_code.n == 0 && is_whole(a, u->finish) && u->n_choices > 0 && a->finished == all;
}

/* The operation has no request any more: only its end counts. */
static void on_kept(void *arg, const weir_store_result *result)
{
    struct cache *c = arg;
    if (result->rc == WEIR_E_BUSY) { /* invalidated since it was asked for */
        cache_count(c, COUNT_NOT_KEPT, 1);
    } else {
        cache_count(c, result->rc < 0 ? COUNT_STORE_FAILURES : COUNT_KEPT, 1);
    }
}

static void keep_in_store(const struct ask *ask, const struct answer *a)
{
    struct cache *c = ask->c;
    char place[CACHE_PLACE_BYTES], tag[CACHE_TAG_BYTES];
    weir_str tags[CACHE_TAGS];
    cache_place(ask, place);
    cache_tags(ask, tag, tags);
    const weir_store_tags of = {.list = tags, .n = CACHE_TAGS, .mark = ask->mark};
    int rc = c->store->keep(c->host, ask_tenant(ask), weir_str_from(place),
                            (weir_str){a->bytes, a->n}, c->settings.ttl_us / 1000, &of, on_kept, c);
    if (rc < 0) {
        cache_count(c, COUNT_STORE_FAILURES, 1);
    }
}

static void keep(struct ask *ask, const weir_usage *u)
{
    struct cache *c = ask->c;
    struct answer *a = answer_finish(&ask->writer, ask->digest, weir_host_turn_wall_us(c->host),
                                     u->prompt_tokens, u->completion_tokens);
    if (!a) {
        return;
    }
    if (c->uses_store && ask->has_mark) {
        keep_in_store(ask, a);
    } else if (c->uses_store) { /* what was invalidated meanwhile is not known */
        cache_count(c, COUNT_NOT_KEPT, 1);
    }
    if (!c->memory) {
        answer_unref(a);
        return;
    }
    bool kept = memory_add(c->memory, a, ask->epoch, ask->place, ask_tenant(ask), ask_model(ask),
                           ask->max_bytes);
    if (!c->uses_store) {
        cache_count(c, kept ? COUNT_KEPT : COUNT_NOT_KEPT, 1);
    }
}

void recording_end(struct ask *a, const weir_usage *u)
{
    if (a->records && is_good(a, u)) {
        keep(a, u);
    } else if (a->records) {
        cache_count(a->c, COUNT_NOT_KEPT, 1);
    }
}
