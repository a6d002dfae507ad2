/* SPDX-License-Identifier: Apache-2.0 */
#include "backend_vocabulary.h"

#include <stdlib.h>

enum { MAX_PIECE_BYTES = 4096, MAX_TABLE_BYTES = 64 << 20 };

struct weir_backend_vocabulary {
    const weir_backend_step *backend;
    void *model;
    uint32_t n_vocab;
    uint32_t max_piece_bytes;
    uint32_t *offsets; /* [n_vocab + 1] into bytes */
    struct weir_buf bytes;
};

static int64_t encode(const void *impl, weir_str text, uint32_t flags, int32_t *out, size_t cap)
{
    (void)flags; /* such a backend has no special tokens */
    const struct weir_backend_vocabulary *v = impl;
    return v->backend->tokenize(v->model, text, out, cap);
}

static weir_str piece(const void *impl, int32_t token)
{
    const struct weir_backend_vocabulary *v = impl;
    if (token < 0 || (uint32_t)token >= v->n_vocab) {
        return (weir_str){NULL, 0};
    }
    uint32_t begin = v->offsets[token];
    return (weir_str){v->bytes.data + begin, v->offsets[token + 1] - begin};
}

static bool is_control(const void *impl, int32_t token)
{
    (void)impl;
    (void)token;
    return false;
}

static bool is_end(const void *impl, int32_t token)
{
    const struct weir_backend_vocabulary *v = impl;
    return v->backend->is_end(v->model, token) > 0;
}

static void decode(const void *impl, const int32_t *tokens, size_t n_tokens, struct weir_buf *out)
{
    for (size_t i = 0; i < n_tokens; i++) {
        weir_buf_add_str(out, piece(impl, tokens[i]));
    }
}

static int read_pieces(struct weir_backend_vocabulary *v)
{
    v->max_piece_bytes = 1;
    for (uint32_t t = 0; t < v->n_vocab; t++) {
        int64_t n = v->backend->piece(v->model, (int32_t)t, NULL, 0);
        if (n < 0 || n > MAX_PIECE_BYTES) {
            return WEIR_E_FORMAT;
        }
        char *to = weir_buf_reserve(&v->bytes, (size_t)n);
        if (!to) {
            return WEIR_E_NOMEM;
        }
        if (v->backend->piece(v->model, (int32_t)t, to, (size_t)n) != n) {
            return WEIR_E_FORMAT;
        }
        weir_buf_commit(&v->bytes, (size_t)n);
        v->offsets[t + 1] = (uint32_t)v->bytes.len;
        v->max_piece_bytes = (uint32_t)n > v->max_piece_bytes ? (uint32_t)n : v->max_piece_bytes;
    }
    return 0;
}

int weir_backend_vocabulary_create(const weir_backend_step *backend, void *model, uint32_t n_vocab,
                                   struct weir_backend_vocabulary **ret_impl,
                                   struct weir_vocabulary *ret_view)
{
    if (!WEIR_HAS_FN(backend, tokenize) || !WEIR_HAS_FN(backend, piece) ||
        !WEIR_HAS_FN(backend, is_end)) {
        return WEIR_E_UNSUPPORTED;
    }
    struct weir_backend_vocabulary *v = calloc(1, sizeof(*v));
    if (!v) {
        return WEIR_E_NOMEM;
    }
    v->backend = backend;
    v->model = model;
    v->n_vocab = n_vocab;
    weir_buf_init(&v->bytes, MAX_TABLE_BYTES);
    v->offsets = calloc((size_t)n_vocab + 1, sizeof(*v->offsets));
    int r = v->offsets ? read_pieces(v) : WEIR_E_NOMEM;
    if (r < 0) {
        weir_backend_vocabulary_destroy(v);
        return r;
    }
    *ret_impl = v;
    *ret_view = (struct weir_vocabulary){
        .impl = v,
        .n_vocab = n_vocab,
        .max_piece_bytes = v->max_piece_bytes,
        .encode = encode,
        .piece = piece,
        .is_control = is_control,
        .is_end = is_end,
        .decode = decode,
    };
    return 0;
}

void weir_backend_vocabulary_destroy(struct weir_backend_vocabulary *v)
{
    if (v) {
        weir_buf_finish(&v->bytes);
        free(v->offsets);
        free(v);
    }
}
