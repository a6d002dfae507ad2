/* SPDX-License-Identifier: Apache-2.0 */
#include "vocabulary.h"

#include "base/utf8.h"

void weir_utf8_repair(struct weir_buf *out, weir_str s)
{
    size_t i = 0;
    while (i < s.n) {
        size_t len = weir_utf8_valid_len(s.p + i, s.n - i);
        if (len > 0) {
            weir_buf_add(out, s.p + i, len);
        } else {
            weir_buf_add_text(out, "\xEF\xBF\xBD");
            len = 1;
        }
        i += len;
    }
}

int weir_vocabulary_decode(const struct weir_vocabulary *v, const int32_t *tokens, size_t n_tokens,
                           struct weir_buf *ret_bytes)
{
    for (size_t i = 0; i < n_tokens; i++) {
        char *to = weir_buf_reserve(ret_bytes, v->max_piece_bytes);
        if (!to) {
            return WEIR_E_NOMEM;
        }
        int64_t n = v->piece(v->impl, tokens[i], to, v->max_piece_bytes);
        if (n < 0 || n > v->max_piece_bytes) {
            return WEIR_E_ARG;
        }
        weir_buf_commit(ret_bytes, (size_t)n);
    }
    return 0;
}
