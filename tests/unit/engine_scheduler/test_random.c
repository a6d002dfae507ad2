/* SPDX-License-Identifier: Apache-2.0 */
/* Random requests against a random scheduler: every answer equals the one it would get alone. */
#include <stdio.h>
#include <stdlib.h>

#include <yyjson.h>

#include "rig.h"
#include "tests/support/cmocka.h"

static uint64_t rng = 1;

static uint32_t random_below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng * 0x2545F4914F6CDD1Du) >> 33) % n;
}

static bool one_in(uint32_t n)
{
    return random_below(n) == 0;
}

enum { N_PREFIXES = 4, MAX_PREFIX = 150, MAX_SUFFIX = 60, MAX_TOKENS = 80 };

static char prefixes[N_PREFIXES][MAX_PREFIX + 1];
static char prompts[RIG_JOBS][MAX_PREFIX + MAX_SUFFIX + 1];

static void random_text(char *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (char)('a' + random_below(26));
    }
    out[n] = '\0';
}

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"},"
    "\"n\":{\"enum\":[1,22,333]}},\"required\":[\"ok\",\"n\"],\"additionalProperties\":false}";

/* What can be said without a second implementation of grammars: whole answers fit the schema. */
static uint32_t check_constrained(const struct rig *r, weir_ticket ticket)
{
    uint32_t n_whole = 0;
    for (uint32_t i = 0; i < r->generations[ticket].n; i++) {
        const struct fake_choice *c = &r->sink->streams[ticket].choices[i];
        if (c->finish != WEIR_FINISH_STOP) {
            assert_int_equal(c->finish, WEIR_FINISH_LENGTH);
            continue;
        }
        yyjson_doc *doc = yyjson_read(c->text, c->len, 0);
        assert_non_null(doc);
        yyjson_val *root = yyjson_doc_get_root(doc);
        uint64_t n = yyjson_get_uint(yyjson_obj_get(root, "n"));
        assert_true(yyjson_is_bool(yyjson_obj_get(root, "ok")));
        assert_true(n == 1 || n == 22 || n == 333);
        yyjson_doc_free(doc);
        n_whole++;
    }
    return n_whole;
}

static weir_generation random_generation(char *prompt)
{
    static const char *const stops[] = {"ST", "STOP", "P no", "llo", "\nUser:", "he", "xx", "a l"};
    static const char *const tenants[] = {"", "acme", "globex"};
    char suffix[MAX_SUFFIX + 1];
    random_text(suffix, 1 + random_below(MAX_SUFFIX));
    (void)snprintf(prompt, MAX_PREFIX + MAX_SUFFIX + 1, "%s%s",
                   one_in(4) ? "" : prefixes[random_below(N_PREFIXES)], suffix);
    weir_generation g = rig_completion(prompt, 1 + random_below(MAX_TOKENS));
    g.class_rank = random_below(3);
    g.priority = (int32_t)random_below(5) - 2;
    g.tenant = weir_str_from(tenants[random_below(3)]);
    g.n = one_in(4) ? 1 + random_below(4) : 1;
    g.ignore_eos = one_in(4);
    g.want_logprobs = one_in(4);
    g.n_top = g.want_logprobs ? random_below(21) : 0;
    g.echo = !g.want_logprobs && one_in(8);
    g.sampling.temperature = one_in(2) ? 0.8f : 0;
    g.sampling.seed = random_below(1000);
    if (one_in(6)) {
        g.format = WEIR_FORMAT_JSON_SCHEMA;
        g.schema_json = weir_str_from(schema);
        g.n_stop = 0;
        g.echo = 0;
        return g;
    }
    while (one_in(2) && g.n_stop < 4) {
        g.stop[g.n_stop++] = weir_str_from(stops[random_below(8)]);
    }
    return g;
}

static void add_random(struct rig *r)
{
    weir_generation g = random_generation(prompts[r->n_jobs + 1]);
    weir_ticket ticket = rig_add(r, &g);
    if (one_in(3)) {
        r->sink->streams[ticket].refuse_every = 2 + random_below(10);
    }
    if (one_in(20)) {
        r->sink->streams[ticket].gone = true;
    }
}

static void cancel_random(struct rig *r)
{
    uint32_t ticket = 1 + random_below(r->n_jobs);
    if (r->jobs[ticket]) {
        weir_scheduler_cancel(r->scheduler, r->jobs[ticket]);
    }
}

static void drive(struct rig *r, uint32_t n_jobs)
{
    while (r->n_jobs < n_jobs || r->n_live > 0) {
        while (r->n_jobs < n_jobs && r->n_live + 8 < r->max_live && one_in(3)) {
            add_random(r);
        }
        if (r->n_jobs > 0 && one_in(40)) {
            cancel_random(r);
        }
        int stepped = weir_scheduler_run(r->scheduler);
        assert_true(stepped >= 0);
        if (one_in(3) || stepped == 0) {
            rig_wake_all(r);
        }
    }
}

/* Returns how many constrained answers came to their end. */
static uint32_t check_all(struct rig *r)
{
    uint32_t n_whole = 0;
    for (uint32_t t = 1; t <= r->n_jobs; t++) {
        const struct fake_stream *s = &r->sink->streams[t];
        if (s->n_finished == 1 && s->outcome.rc == WEIR_E_CANCELLED) {
            continue;
        }
        if (r->generations[t].format != WEIR_FORMAT_TEXT) {
            n_whole += check_constrained(r, t);
        } else {
            rig_check(r, t);
        }
    }
    return n_whole;
}

static void every_answer_is_the_one_it_would_get_alone(void **state)
{
    (void)state;
    static struct rig r;
    uint64_t preemptions = 0, hits = 0, n_whole = 0;
    for (uint32_t round = 0; round < 60; round++) {
        rng = 88172645463325252u + round * 7919u;
        for (uint32_t i = 0; i < N_PREFIXES; i++) {
            random_text(prefixes[i], random_below(MAX_PREFIX));
        }
        rig_init(&r);
        /* The longest request needs 19 pages. */
        r.backend.n_pages = 20 + random_below(one_in(2) ? 20 : 200);
        r.max_batch = 1 + random_below(10);
        r.max_live = 12 + random_below(30);
        r.max_step_tokens = r.max_batch + random_below(100);
        r.backend.step_us = random_below(5000);
        r.backend.prompt_token_us = random_below(100);
        rig_open(&r);
        drive(&r, 40);
        n_whole += check_all(&r);
        preemptions += r.counters.preemptions;
        hits += r.counters.prefix_tokens_hit;
        rig_close(&r);
    }
    assert_true(preemptions > 100);
    assert_true(hits > 1000);
    assert_true(n_whole > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_the_one_it_would_get_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
