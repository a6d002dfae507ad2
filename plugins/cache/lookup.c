/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "cache.h"
#include "text.h"

enum { STORE_WAIT_MS = 5000 };

#define LITERAL(text) ((weir_str)WEIR_STR_INIT(text))

/* ---- what is looked for ---- */

static void unref(struct ask *a)
{
    if (--a->refs == 0) {
        answer_unref(a->found);
        answer_drop(&a->writer);
        a->c->host->free(a->c->host, a);
    }
}

void ask_end(struct ask *a)
{
    flights_end(&a->c->flights, &a->flight);
    if (a->waited) {
        flights_leave(&a->c->flights, a->digest, &a->waiter);
    }
    a->left = true;
    unref(a);
}

void ask_drop(struct flight *left)
{
    unref((struct ask *)(void *)((char *)left - offsetof(struct ask, flight)));
}

static weir_str field(const struct cache *c, weir_req *r, int which)
{
    weir_str s = {NULL, 0};
    return c->host->req_get(c->host, r, which, &s) < 0 ? (weir_str){NULL, 0} : s;
}

/* Answers of one key or user are nobody else's. */
static bool narrow(const struct cache *c, weir_req *r, uint8_t digest[WEIR_ANSWER_DIGEST_BYTES])
{
    if (c->settings.partition == PARTITION_TENANT) {
        return true;
    }
    bool by_key = c->settings.partition == PARTITION_KEY;
    weir_str whose = field(c, r, by_key ? WEIR_FIELD_KEY_ID : WEIR_FIELD_USER);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, digest, WEIR_ANSWER_DIGEST_BYTES) == 1 &&
              EVP_DigestUpdate(ctx, by_key ? "key/" : "user", 4) == 1 &&
              EVP_DigestUpdate(ctx, whose.p, whose.n) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* How many places the tenant has: what its bytes allow; see cache.h. */
static uint64_t bound(const struct cache *c, weir_req *r, struct ask *a)
{
    int64_t n = 0;
    uint64_t most = c->settings.places;
    a->max_answer_bytes = c->settings.max_answer_bytes;
    if (c->host->req_get_num(c->host, r, WEIR_NUMBER_CACHE_BYTES, &n) < 0 || n <= 0) {
        return most;
    }
    uint64_t bytes = (uint64_t)n;
    if (c->uses_store) { /* without it places are all that there is, and they bound it */
        a->max_bytes = bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
    }
    if (bytes < a->max_answer_bytes) {
        a->max_answer_bytes = (size_t)bytes;
    }
    uint64_t places = bytes / a->max_answer_bytes;
    return places < most ? places : most;
}

/* Another part of the digest than those that choose a place in tables. */
static uint64_t number_of(const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t places)
{
    uint64_t number;
    memcpy(&number, digest + 8, sizeof(number));
    return number % places;
}

static struct ask *make_ask(struct cache *c, weir_req *r, const weir_answer_key *key,
                            const struct cache_control *control)
{
    weir_str tenant = field(c, r, WEIR_FIELD_TENANT), model = field(c, r, WEIR_FIELD_MODEL);
    struct ask *a = c->host->alloc(c->host, sizeof(*a) + tenant.n + model.n);
    if (!a) {
        return NULL;
    }
    *a = (struct ask){.c = c, .refs = 1, .n_tenant = tenant.n, .n_model = model.n};
    a->number = number_of(key->digest, bound(c, r, a));
    a->place = memory_place(tenant, a->number);
    a->epoch = c->memory ? memory_epoch(c->memory) : 0;
    a->limited = (key->flags & WEIR_ANSWER_LIMITED) != 0;
    memcpy(a->digest, key->digest, sizeof(a->digest));
    if (tenant.n) {
        memcpy(a->texts, tenant.p, tenant.n);
    }
    if (model.n) {
        memcpy(a->texts + tenant.n, model.p, model.n);
    }
    uint64_t now_us = weir_host_turn_wall_us(c->host), age_us = c->settings.ttl_us;
    if (control->max_age_s < age_us / 1000000) {
        age_us = control->max_age_s * 1000000;
    }
    a->oldest_us = now_us > age_us ? now_us - age_us : 0;
    return a;
}

void cache_place(const struct ask *a, char out[CACHE_PLACE_BYTES])
{
    struct text t = text_on(out, CACHE_PLACE_BYTES - 1);
    TEXT_ADD(&t, "answer/");
    text_add_u64(&t, a->number);
    out[t.n] = '\0';
}

/* ---- verdicts ---- */

static void say(const struct cache *c, weir_req *r, const char *what)
{
    (void)c->host->set_header(c->host, r, LITERAL("x-weir-cache"), weir_str_from(what));
}

static int go_by(struct cache *c, weir_req *r, struct state *s)
{
    s->stage = STAGE_DONE;
    cache_count(c, COUNT_BYPASS, 1);
    say(c, r, "BYPASS");
    return WEIR_CONTINUE;
}

static void say_age(const struct cache *c, weir_req *r, uint64_t made_us)
{
    char buffer[24];
    struct text t = text_on(buffer, sizeof(buffer));
    uint64_t now_us = c->host->wall_us(c->host);
    text_add_u64(&t, now_us > made_us ? (now_us - made_us) / 1000000 : 0);
    (void)c->host->set_header(c->host, r, LITERAL("age"), text_view(&t));
}

/* False: it cannot be given, and counts as not found. */
static bool give(struct cache *c, weir_req *r, struct state *s, struct answer *a, bool from_store)
{
    weir_chunk *chunks = NULL;
    if (answer_chunks(a, &chunks) < 0) {
        return false;
    }
    const weir_outcome outcome = {.struct_size = sizeof(outcome),
                                  .prompt_tokens = a->prompt_tokens,
                                  .cached_tokens = a->prompt_tokens,
                                  .completion_tokens = a->completion_tokens};
    int rc = c->answers->replay(c->host, r, chunks, a->n_chunks, &outcome);
    free(chunks);
    if (rc < 0) {
        return false;
    }
    s->stage = STAGE_DONE;
    say(c, r, "HIT");
    say_age(c, r, a->made_us);
    cache_count(c, from_store ? COUNT_HIT_STORE : COUNT_HIT_MEMORY, 1);
    cache_count(c, COUNT_COALESCED, s->ask->waited);
    cache_count(c, COUNT_TOKENS, a->completion_tokens);
    if (from_store && c->memory) {
        (void)memory_add(c->memory, answer_ref(a), s->ask->epoch, s->ask->place, ask_tenant(s->ask),
                         ask_model(s->ask), s->ask->max_bytes);
    }
    ask_end(s->ask); /* `a` may be gone with it */
    s->ask = NULL;
    return true;
}

static int refuse_uncached(struct cache *c, weir_req *r)
{
    (void)c->host->set_header(c->host, r, LITERAL("x-should-retry"), LITERAL("false"));
    (void)c->host->deny(c->host, r, 504, LITERAL("invalid_request_error"), LITERAL("not_cached"),
                        LITERAL("The request is only-if-cached and its answer is not kept."));
    return WEIR_DENY;
}

static int refuse_lost(struct cache *c, weir_req *r)
{
    (void)c->host->set_header(c->host, r, LITERAL("retry-after"), LITERAL("1"));
    (void)c->host->deny(c->host, r, 503, LITERAL("server_error"), LITERAL("cache_unavailable"),
                        LITERAL("Kept answers cannot be read now; retry."));
    return WEIR_DENY;
}

static int missed(struct cache *c, weir_req *r, struct state *s)
{
    s->stage = STAGE_DONE;
    if (s->ask->lost && c->settings.deny_on_loss) {
        return refuse_lost(c, r);
    }
    cache_count(c, s->control.no_cache ? COUNT_BYPASS : COUNT_MISS, 1);
    say(c, r, s->control.no_cache ? "BYPASS" : "MISS");
    if (s->control.only_if_cached) {
        return refuse_uncached(c, r);
    }
    recording_begin(s->ask);
    return WEIR_CONTINUE;
}

/* An equal request may be running: an answer that is not streamed loses nothing by waiting for its
 * end; a stream would lose its first words. */
static bool would_wait(const struct cache *c, weir_req *r, const struct state *s)
{
    int64_t stream = 1;
    (void)c->host->req_get_num(c->host, r, WEIR_NUMBER_STREAM, &stream);
    return c->settings.coalesce_ms > 0 && !s->ask->waited && !s->control.no_cache &&
           !s->control.only_if_cached && !stream;
}

static int not_found(struct cache *c, weir_req *r, struct state *s)
{
    if (flights_begin(&c->flights, s->ask->digest, &s->ask->flight) || !would_wait(c, r, s)) {
        return missed(c, r, s);
    }
    s->ask->waited = true;
    weir_ticket ticket = c->host->suspend(c->host, r, c->settings.coalesce_ms);
    if (!ticket || !flights_wait(&c->flights, &s->ask->flight, &s->ask->waiter, ticket)) {
        return missed(c, r, s);
    }
    s->stage = STAGE_FLIGHT;
    return WEIR_SUSPEND;
}

static int judge(struct cache *c, weir_req *r, struct state *s)
{
    struct answer *found = s->ask->found;
    if (found && found->made_us >= s->ask->oldest_us && give(c, r, s, found, true)) {
        return WEIR_RESPOND;
    }
    return not_found(c, r, s);
}

/* ---- the two levels ---- */

static void on_got(void *arg, const weir_store_result *result)
{
    struct ask *a = arg;
    a->waits = false;
    a->lost = result->rc < 0 && result->rc != WEIR_E_NOTFOUND;
    a->has_mark = !a->lost;
    a->mark = result->number;
    if (result->rc == 0) {
        answer_unref(a->found);
        a->found = NULL;
        (void)answer_read(result->value, a->digest, &a->found);
    }
    if (a->lost) {
        cache_count(a->c, COUNT_STORE_FAILURES, 1);
    }
    if (a->ticket && !a->left) {
        (void)a->c->host->resume(a->c->host, a->ticket, 0, (weir_str){NULL, 0});
    }
    unref(a);
}

static int look(struct cache *c, weir_req *r, struct state *s)
{
    struct ask *a = s->ask;
    struct answer *found = NULL;
    if (c->memory) {
        a->epoch = memory_epoch(c->memory); /* it may have waited */
        answer_drop(&a->writer);            /* and have a spare one already */
        found = memory_find(c->memory, a->place, a->digest, a->oldest_us, &a->writer.spare);
    }
    if (found) {
        bool given = give(c, r, s, found, false);
        answer_unref(found);
        return given ? WEIR_RESPOND : not_found(c, r, s);
    }
    if (!c->uses_store) {
        return not_found(c, r, s);
    }
    char place[CACHE_PLACE_BYTES], tag[CACHE_TAG_BYTES];
    weir_str tags[CACHE_TAGS];
    cache_place(a, place);
    cache_tags(a, tag, tags);
    a->has_mark = false;
    a->waits = true;
    a->ticket = 0;
    a->refs++; /* the operation's */
    const weir_store_tags of = {.list = tags, .n = CACHE_TAGS};
    int rc = c->store->look(c->host, ask_tenant(a), weir_str_from(place), &of, on_got, a);
    if (rc < 0) {
        a->waits = false;
        a->refs--; /* it is not called; ours stays */
        return not_found(c, r, s);
    }
    if (!a->waits) {
        return judge(c, r, s);
    }
    a->ticket = c->host->suspend(c->host, r, STORE_WAIT_MS);
    if (a->ticket) {
        s->stage = STAGE_STORE;
        return WEIR_SUSPEND;
    }
    a->left = true; /* the answer comes too late for us */
    a->lost = true;
    return missed(c, r, s);
}

/* In this process alone a hash under its secret does; a shared store's is the same everywhere. */
static int make_key(const struct cache *c, weir_req *r, weir_answer_key *ret_key)
{
    return c->uses_store || !WEIR_HAS_FN(c->answers, own_key)
               ? c->answers->key(c->host, r, ret_key)
               : c->answers->own_key(c->host, r, memory_secret(c->memory), ret_key);
}

int lookup_begin(struct cache *c, weir_req *r, struct state *s)
{
    weir_answer_key key;
    weir_str control;
    if (make_key(c, r, &key) < 0) {
        s->stage = STAGE_DONE;
        return WEIR_CONTINUE; /* generates nothing that could be kept */
    }
    s->control = (struct cache_control){.max_age_s = UINT64_MAX};
    if (c->host->req_header(c->host, r, LITERAL("cache-control"), &control) == 0) {
        s->control = cache_control_parse(control);
    }
    bool drawn = (key.flags & WEIR_ANSWER_DRAWN) && !c->settings.sampled;
    bool too_big = field(c, r, WEIR_FIELD_BODY).n > c->settings.max_request_bytes;
    if (s->control.no_store || drawn || too_big || !narrow(c, r, key.digest)) {
        return s->control.only_if_cached ? refuse_uncached(c, r) : go_by(c, r, s);
    }
    s->ask = make_ask(c, r, &key, &s->control);
    if (!s->ask) {
        return go_by(c, r, s);
    }
    return s->control.no_cache ? not_found(c, r, s) : look(c, r, s);
}

int lookup_resumed(struct cache *c, weir_req *r, struct state *s, int rc)
{
    struct ask *a = s->ask;
    if (s->stage == STAGE_FLIGHT) {
        flights_leave(&c->flights, a->digest, &a->waiter);
        /* Timed out: it runs by itself. */
        return rc < 0 ? missed(c, r, s) : look(c, r, s);
    }
    a->ticket = 0;
    if (a->waits) { /* the suspension timed out */
        a->left = true;
        a->lost = true;
        return missed(c, r, s);
    }
    return judge(c, r, s);
}
