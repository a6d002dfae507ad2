/* SPDX-License-Identifier: Apache-2.0 */
#include "file_vocabulary.h"

static int64_t encode(const void *impl, weir_str text, uint32_t flags, int32_t *out, size_t cap)
{
    unsigned how = (flags & WEIR_TEXT_ADD_SPECIAL ? WEIR_ENCODE_ADD_SPECIAL : 0) |
                   (flags & WEIR_TEXT_PARSE_SPECIAL ? WEIR_ENCODE_PARSE_SPECIAL : 0);
    size_t n = 0;
    /* Ids are below 2^31, so that both types have the same bits. */
    int r = weir_tokenizer_encode(impl, text, how, (uint32_t *)out, cap, &n);
    bool only_too_many = r == WEIR_E_TOOBIG && n > 0;
    return r < 0 && !only_too_many ? r : (int64_t)n;
}

static weir_str piece(const void *impl, int32_t token)
{
    return weir_tokenizer_piece(impl, (uint32_t)token);
}

static bool is_control(const void *impl, int32_t token)
{
    return weir_tokenizer_attrs(impl, (uint32_t)token) & WEIR_TOKEN_CONTROL;
}

static bool is_end(const void *impl, int32_t token)
{
    return weir_tokenizer_attrs(impl, (uint32_t)token) & WEIR_TOKEN_EOG;
}

static void decode(const void *impl, const int32_t *tokens, size_t n_tokens, struct weir_buf *out)
{
    weir_tokenizer_decode(impl, (const uint32_t *)tokens, n_tokens, WEIR_DECODE_SPECIAL, out);
}

struct weir_vocabulary weir_file_vocabulary(const struct weir_tokenizer *t)
{
    const struct weir_tokenizer_info *info = weir_tokenizer_info(t);
    return (struct weir_vocabulary){
        .impl = t,
        .n_vocab = info->n_vocab,
        .max_piece_bytes = (uint32_t)info->max_piece_bytes,
        .encode = encode,
        .piece = piece,
        .is_control = is_control,
        .is_end = is_end,
        .decode = decode,
    };
}
