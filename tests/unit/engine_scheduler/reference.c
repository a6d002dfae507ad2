/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <stdlib.h>

#include "base/utf8.h"

/* Bytes as whole characters; an unfinished one at the end is left out, or U+FFFD when `last`. */
static size_t repair(const char *bytes, size_t n, bool last, char *out)
{
    size_t len = 0;
    size_t i = 0;
    while (i < n) {
        size_t good = weir_utf8_valid_len(bytes + i, n - i);
        bool unfinished = weir_utf8_partial_tail((weir_str){bytes + i, n - i}) == n - i;
        if (good == 0 && unfinished && !last) {
            break;
        }
        memcpy(out + len, good ? bytes + i : "\xEF\xBF\xBD", good ? good : 3);
        len += good ? good : 3;
        i += good ? good : unfinished ? n - i : 1;
    }
    return len;
}

/* Offset of the stop string whose end comes first (of two, the longer), or SIZE_MAX. */
static size_t find_stop(const weir_generation *g, const char *text, size_t n)
{
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (uint32_t i = 0; i < g->n_stop; i++) {
            weir_str stop = g->stop[i];
            if (stop.n <= end && stop.n > longest &&
                memcmp(text + end - stop.n, stop.p, stop.n) == 0) {
                longest = stop.n;
            }
        }
        if (longest > 0) {
            return end - longest;
        }
    }
    return SIZE_MAX;
}

struct reference reference_run(const struct fake_backend *f, const weir_generation *g,
                               const int32_t *prompt, uint32_t n_prompt, uint32_t max_tokens,
                               uint32_t choice)
{
    int32_t *tokens = malloc((n_prompt + max_tokens) * sizeof(*tokens));
    char *bytes = malloc((size_t)max_tokens * 64 + 1);
    struct reference r = {.text = malloc((size_t)max_tokens * 192 + 1)};
    if (!tokens || !bytes || !r.text) {
        abort();
    }
    memcpy(tokens, prompt, n_prompt * sizeof(*tokens));
    weir_sampling sampling = g->sampling;
    sampling.seed += choice;
    size_t n_bytes = 0;
    size_t stop = SIZE_MAX;
    r.finish = WEIR_FINISH_LENGTH;
    while (r.n_tokens < max_tokens && stop == SIZE_MAX) {
        uint32_t n = n_prompt + r.n_tokens;
        int32_t token = fake_backend_next(f, tokens, n, n_prompt, &sampling);
        tokens[n] = token;
        r.n_tokens++;
        if (token == FAKE_END && !g->ignore_eos) {
            r.finish = WEIR_FINISH_STOP;
            break;
        }
        weir_str piece = fake_backend_piece(token);
        memcpy(bytes + n_bytes, piece.p, piece.n);
        n_bytes += piece.n;
        r.len = repair(bytes, n_bytes, false, r.text);
        stop = find_stop(g, r.text, r.len);
    }
    if (stop == SIZE_MAX) {
        r.len = repair(bytes, n_bytes, true, r.text);
    } else {
        r.len = stop;
        r.finish = WEIR_FINISH_STOP;
    }
    r.text[r.len] = '\0';
    free(tokens);
    free(bytes);
    return r;
}
