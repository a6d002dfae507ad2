/* SPDX-License-Identifier: Apache-2.0 */
/* Check: output that is cut at random comes out the same. */
#include "base/utf8.h"
#include "core/plugin/plugins_internal.h"
#include "sdk/kit/bench.h"

enum { ROUNDS = 60 };

static const char text[] =
    "Dear customer, the secret word is \"swordfish\". Gr\xC3\xBC\xC3\x9F"
    "e aus K\xC3\xB6ln \xF0\x9F\x98\x80! "
    "Call 555-0199 or write to a@example.org; se cre t, secret, secretsecret.";

struct output {
    struct weir_kit_probe *probe;
    struct weir_buf text;
    uint32_t n_finish, finish, n_tokens;
};

static void collect(void *arg, const weir_chunk *c)
{
    struct output *o = arg;
    if (!weir_utf8_is_valid(c->text)) {
        weir_kit_find(o->probe, "a chunk came out that is not whole UTF-8 characters");
    }
    weir_buf_add_str(&o->text, c->text);
    o->n_tokens += c->n_tokens;
    if (c->kind == WEIR_CHUNK_FINISH) {
        o->n_finish++;
        o->finish = c->finish;
    }
}

/* Pushes the text in pieces of up to `most` bytes, cut between characters. */
static void run_cut(struct weir_kit_bench *b, struct weir_plugin_chain *chain, uint32_t most,
                    struct output *o)
{
    struct weir_kit_request r;
    weir_kit_bench_request(&r, 0);
    (void)weir_kit_request_begin(&r, chain, b->stage.loop);
    (void)weir_plugin_run_phase(&r.run, WEIR_PHASE_HEADERS);
    weir_chunk c = {.struct_size = sizeof(c), .kind = WEIR_CHUNK_TEXT, .n_tokens = 1};
    size_t at = 0, n = sizeof(text) - 1;
    uint32_t n_pieces = 0;
    while (at < n) {
        size_t len = most < n ? weir_kit_random(b->probe, most) + 1 : n;
        len = len < n - at ? len : n - at;
        while (at + len < n && ((unsigned char)text[at + len] & 0xC0) == 0x80) {
            len++;
        }
        c.text = (weir_str){text + at, len};
        (void)weir_plugin_run_chunk(&r.run, &c, collect, o);
        c.seq++;
        n_pieces++;
        at += len;
    }
    c.kind = WEIR_CHUNK_FINISH;
    c.text = (weir_str){NULL, 0};
    c.n_tokens = 0;
    c.finish = WEIR_FINISH_STOP;
    (void)weir_plugin_run_chunk(&r.run, &c, collect, o);
    weir_kit_request_finish(&r);
    if (o->n_finish != 1) {
        weir_kit_find(b->probe, "%u finish chunks came out of one choice", o->n_finish);
    }
    if (o->finish == WEIR_FINISH_STOP && o->n_tokens != n_pieces) {
        weir_kit_find(b->probe, "%u tokens went in and %u came out", n_pieces, o->n_tokens);
    }
}

static void compare(struct weir_kit_bench *b, struct weir_plugin_chain *chain)
{
    struct output whole = {.probe = b->probe}, cut = {.probe = b->probe};
    weir_buf_init(&whole.text, 1 << 20);
    weir_buf_init(&cut.text, 1 << 20);
    run_cut(b, chain, UINT32_MAX, &whole);
    for (int i = 0; i < ROUNDS; i++) {
        weir_buf_reset(&cut.text);
        cut.n_finish = cut.n_tokens = 0;
        run_cut(b, chain, 1 + weir_kit_random(b->probe, 20), &cut);
        bool both_stopped = cut.finish == WEIR_FINISH_STOP && whole.finish == WEIR_FINISH_STOP;
        if (cut.finish != whole.finish ||
            (both_stopped && !weir_str_eq(weir_buf_view(&cut.text), weir_buf_view(&whole.text)))) {
            weir_kit_find(b->probe, "cut differently (seed %llu, round %d) the output differs",
                          (unsigned long long)b->probe->target->seed, i);
            break;
        }
    }
    weir_buf_finish(&whole.text);
    weir_buf_finish(&cut.text);
}

void weir_kit_check_chunks(struct weir_kit_probe *p)
{
    struct weir_kit_bench b;
    if (!weir_kit_bench_init(&b, p)) {
        return;
    }
    struct weir_plugin_chain *chain = NULL;
    if (!b.lib->policy.on_chunk) {
        weir_kit_skip(p, "it has no on_chunk");
    } else {
        chain = weir_kit_bench_chain(&b, NULL);
    }
    if (chain) {
        compare(&b, chain);
        weir_kit_bench_end(&b, chain);
    }
    weir_kit_bench_finish(&b);
}
