/* SPDX-License-Identifier: Apache-2.0 */
#include "backend_vocabulary.h"

#include <stdlib.h>

enum { MAX_PIECE_BYTES = 4096 };

struct backend_vocabulary {
    const weir_backend_step *backend;
    void *model;
};

static int64_t encode(const void *impl, weir_str text, uint32_t flags, int32_t *out, size_t cap)
{
    (void)flags; /* such a backend has no special tokens */
    const struct backend_vocabulary *v = impl;
    return v->backend->tokenize(v->model, text, out, cap);
}

static int64_t piece(const void *impl, int32_t token, char *out, size_t cap)
{
    const struct backend_vocabulary *v = impl;
    return v->backend->piece(v->model, token, out, cap);
}

static bool is_end(const void *impl, int32_t token)
{
    const struct backend_vocabulary *v = impl;
    return v->backend->is_end(v->model, token) > 0;
}

int weir_backend_vocabulary_create(const weir_backend_step *backend, void *model, uint32_t n_vocab,
                                   void **ret_impl, struct weir_vocabulary *ret_vocabulary)
{
    if (!WEIR_HAS_FN(backend, tokenize) || !WEIR_HAS_FN(backend, piece) ||
        !WEIR_HAS_FN(backend, is_end)) {
        return WEIR_E_UNSUPPORTED;
    }
    int64_t longest = 1;
    for (uint32_t t = 0; t < n_vocab; t++) {
        int64_t n = backend->piece(model, (int32_t)t, NULL, 0);
        if (n > MAX_PIECE_BYTES) {
            return WEIR_E_FORMAT;
        }
        longest = n > longest ? n : longest;
    }
    struct backend_vocabulary *v = malloc(sizeof(*v));
    if (!v) {
        return WEIR_E_NOMEM;
    }
    *v = (struct backend_vocabulary){.backend = backend, .model = model};
    *ret_impl = v;
    *ret_vocabulary = (struct weir_vocabulary){
        .impl = v,
        .n_vocab = n_vocab,
        .max_piece_bytes = (uint32_t)longest,
        .encode = encode,
        .piece = piece,
        .is_end = is_end,
    };
    return 0;
}
