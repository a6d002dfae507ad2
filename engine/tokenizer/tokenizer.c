/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/tokenizer.h"

#include <stdlib.h>

#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/roles.h"
#include "engine/tokenizer/special.h"
#include "engine/tokenizer/spm.h"

struct weir_tokenizer {
    struct weir_tokenizer_info info;
    struct weir_vocab vocab;
    struct weir_special_set special;
    uint32_t *eog;
    bool is_spm; /* which of the two below is in use */
    struct weir_bpe bpe;
    struct weir_spm spm;
};

static int read_flag(const struct weir_gguf *g, const char *key, bool *flag, struct weir_error *err)
{
    int r = weir_gguf_bool(g, key, flag, err);
    return r == WEIR_E_NOTFOUND ? 0 : r;
}

static int read_info(struct weir_tokenizer *t, const struct weir_gguf *g, bool add_bos,
                     struct weir_error *err)
{
    struct weir_tokenizer_info *info = &t->info;
    *info = (struct weir_tokenizer_info){
        .n_vocab = t->vocab.n,
        .bos = WEIR_TOKEN_NONE,
        .eos = WEIR_TOKEN_NONE,
        .eot = WEIR_TOKEN_NONE,
        .unk = WEIR_TOKEN_NONE,
        .pad = WEIR_TOKEN_NONE,
        .add_bos = add_bos,
        .add_space_prefix = t->is_spm,
    };
    if (t->is_spm && t->vocab.n > 2) { /* what SentencePiece gives unless told otherwise */
        info->unk = 0;
        info->bos = 1;
        info->eos = 2;
    }
    int r = read_flag(g, "tokenizer.ggml.add_bos_token", &info->add_bos, err);
    if (r == 0) {
        r = read_flag(g, "tokenizer.ggml.add_eos_token", &info->add_eos, err);
    }
    if (r == 0) {
        r = read_flag(g, "tokenizer.ggml.add_space_prefix", &info->add_space_prefix, err);
    }
    if (r == 0) {
        r = weir_roles_read(info, &t->vocab, g, err);
    }
    info->add_bos = info->add_bos && info->bos != WEIR_TOKEN_NONE;
    info->add_eos = info->add_eos && info->eos != WEIR_TOKEN_NONE;
    return r;
}

static int read_bpe(struct weir_tokenizer *t, const struct weir_gguf *g, struct weir_error *err)
{
    weir_str name = weir_str_from("default");
    int r = weir_gguf_str(g, "tokenizer.ggml.pre", &name, err);
    if (r < 0 && r != WEIR_E_NOTFOUND) {
        return r;
    }
    const struct weir_pretokenizer *pre = weir_pretokenizer_find(name);
    if (!pre) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "tokenizer.ggml.pre '%.*s' is not supported",
                              (int)(name.n < 64 ? name.n : 64), name.p);
    }
    r = read_info(t, g, pre->add_bos, err);
    if (r == 0) {
        r = weir_bpe_init(&t->bpe, &t->vocab, pre, g, err);
    }
    return r;
}

static int read_spm(struct weir_tokenizer *t, const struct weir_gguf *g, struct weir_error *err)
{
    int r = read_info(t, g, true, err);
    return r < 0 ? r : weir_spm_init(&t->spm, &t->vocab, g, err);
}

/* Derived from final attributes: pieces, the special tokens' trie, the list of ends. */
static int derive(struct weir_tokenizer *t)
{
    int r = weir_vocab_decode_pieces(&t->vocab,
                                     t->is_spm ? WEIR_VOCAB_SENTENCEPIECE : WEIR_VOCAB_BYTE_LEVEL);
    if (r == 0) {
        r = weir_special_set_init(&t->special, &t->vocab);
    }
    if (r < 0) {
        return r;
    }
    size_t n_eog = 0;
    for (uint32_t id = 0; id < t->vocab.n; id++) {
        n_eog += (t->vocab.attrs[id] & WEIR_TOKEN_EOG) != 0;
        size_t n_bytes = weir_vocab_piece(&t->vocab, id).n;
        if (n_bytes > t->info.max_piece_bytes) {
            t->info.max_piece_bytes = n_bytes;
        }
    }
    t->eog = malloc((n_eog + 1) * sizeof(t->eog[0]));
    if (!t->eog) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t id = 0; id < t->vocab.n; id++) {
        if (t->vocab.attrs[id] & WEIR_TOKEN_EOG) {
            t->eog[t->info.n_eog++] = id;
        }
    }
    t->info.eog = t->eog;
    return 0;
}

static int read_tokenizer(struct weir_tokenizer *t, const struct weir_gguf *g,
                          struct weir_error *err)
{
    weir_str model = {0};
    int r = weir_gguf_str(g, "tokenizer.ggml.model", &model, err);
    if (r < 0) {
        return r;
    }
    t->is_spm = weir_str_is(model, "llama");
    if (!t->is_spm && !weir_str_is(model, "gpt2")) {
        return weir_error_set(
            err, WEIR_E_UNSUPPORTED,
            "tokenizer.ggml.model '%.*s' is not supported, 'gpt2' and 'llama' are",
            (int)(model.n < 64 ? model.n : 64), model.p);
    }
    r = weir_vocab_init(&t->vocab, g, err);
    if (r == 0) {
        r = t->is_spm ? read_spm(t, g, err) : read_bpe(t, g, err);
    }
    if (r == 0 && derive(t) < 0) {
        r = weir_error_set(err, WEIR_E_NOMEM, "no memory for the tokenizer");
    }
    return r;
}

int weir_tokenizer_create(const struct weir_gguf *g, struct weir_tokenizer **ret_tokenizer,
                          struct weir_error *err)
{
    struct weir_tokenizer *t = calloc(1, sizeof(*t));
    if (!t) {
        return weir_error_set(err, WEIR_E_NOMEM, "no memory for the tokenizer");
    }
    int r = read_tokenizer(t, g, err);
    if (r < 0) {
        weir_tokenizer_destroy(t);
        return r;
    }
    *ret_tokenizer = t;
    return 0;
}

void weir_tokenizer_destroy(struct weir_tokenizer *t)
{
    if (!t) {
        return;
    }
    weir_bpe_finish(&t->bpe);
    weir_spm_finish(&t->spm);
    weir_special_set_finish(&t->special);
    weir_vocab_finish(&t->vocab);
    free(t->eog);
    free(t);
}

const struct weir_tokenizer_info *weir_tokenizer_info(const struct weir_tokenizer *t)
{
    return &t->info;
}

/* The text between special tokens. Each such text begins anew, with its own space prefix. */
static int encode_plain(const struct weir_tokenizer *t, weir_str text, struct weir_merge *merge,
                        struct weir_token_sink *sink)
{
    if (text.n == 0) {
        return 0;
    }
    if (t->is_spm) {
        return weir_spm_encode(&t->spm, text, t->info.add_space_prefix, merge, sink);
    }
    return weir_bpe_encode(&t->bpe, text, merge, sink);
}

static int encode_text(const struct weir_tokenizer *t, weir_str text, bool parse_special,
                       struct weir_token_sink *sink)
{
    struct weir_special_match *matches;
    size_t n_matches;
    int r = weir_special_set_find(&t->special, text, parse_special, &matches, &n_matches);
    if (r < 0) {
        return r;
    }
    struct weir_merge merge;
    weir_merge_init(&merge);
    size_t at = 0;
    for (size_t i = 0; i < n_matches && r == 0; i++) {
        r = encode_plain(t, (weir_str){text.p + at, matches[i].start - at}, &merge, sink);
        weir_token_sink_add(sink, matches[i].id);
        at = (size_t)matches[i].start + matches[i].n_bytes;
    }
    if (r == 0) {
        r = encode_plain(t, (weir_str){text.p + at, text.n - at}, &merge, sink);
    }
    weir_merge_finish(&merge);
    free(matches);
    return r;
}

int weir_tokenizer_encode(const struct weir_tokenizer *t, weir_str text, unsigned flags,
                          uint32_t *out, size_t cap, size_t *ret_n)
{
    *ret_n = 0;
    if (text.n > WEIR_TOKENIZER_MAX_TEXT_BYTES) {
        return WEIR_E_TOOBIG;
    }
    struct weir_token_sink sink = {.out = out, .cap = cap};
    if ((flags & WEIR_ENCODE_ADD_SPECIAL) && t->info.add_bos) {
        weir_token_sink_add(&sink, t->info.bos);
    }
    int r = text.n ? encode_text(t, text, (flags & WEIR_ENCODE_PARSE_SPECIAL) != 0, &sink) : 0;
    if (r < 0) {
        return r;
    }
    if ((flags & WEIR_ENCODE_ADD_SPECIAL) && t->info.add_eos) {
        weir_token_sink_add(&sink, t->info.eos);
    }
    *ret_n = sink.n;
    return sink.n > cap ? WEIR_E_TOOBIG : 0;
}

weir_str weir_tokenizer_piece(const struct weir_tokenizer *t, uint32_t id)
{
    return id < t->vocab.n ? weir_vocab_piece(&t->vocab, id) : (weir_str){NULL, 0};
}

unsigned weir_tokenizer_attrs(const struct weir_tokenizer *t, uint32_t id)
{
    return id < t->vocab.n ? t->vocab.attrs[id] : 0;
}

uint32_t weir_tokenizer_find(const struct weir_tokenizer *t, weir_str text)
{
    return weir_vocab_find(&t->vocab, text);
}

void weir_tokenizer_decode(const struct weir_tokenizer *t, const uint32_t *ids, size_t n,
                           unsigned flags, struct weir_buf *out)
{
    bool drop_space = t->info.add_space_prefix;
    for (size_t i = 0; i < n; i++) {
        unsigned hidden = WEIR_TOKEN_CONTROL | WEIR_TOKEN_UNKNOWN;
        if (!(flags & WEIR_DECODE_SPECIAL) && (weir_tokenizer_attrs(t, ids[i]) & hidden)) {
            continue;
        }
        weir_str piece = weir_tokenizer_piece(t, ids[i]);
        if (drop_space && piece.n > 0 && piece.p[0] == ' ') {
            piece.p++;
            piece.n--;
        }
        drop_space = false;
        weir_buf_add_str(out, piece);
    }
}
