/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers over arbitrary text; the first byte picks the vocabulary and the flags. Properties:
 * ids are in the vocabulary, and a small output array gets the beginning of the same ids. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_IDS 65536u

static const char *const vocabs[] = {
    "default", "gpt-2",          "llama-bpe",   "qwen2", "qwen35",
    "falcon",  "deepseek-coder", "deepseek-v3", "spm",
};
#define N_VOCABS (sizeof(vocabs) / sizeof(vocabs[0]))

/* Made once for the life of the fuzzer. */
static struct weir_tokenizer *tokenizer(size_t i)
{
    static struct weir_tokenizer *made[N_VOCABS];
    if (!made[i]) {
        char path[1024];
        struct weir_gguf *g = NULL;
        (void)snprintf(path, sizeof(path), "%s/tests/golden/vocab/%s.gguf", WEIR_SOURCE_ROOT,
                       vocabs[i]);
        if (weir_gguf_open(path, &g, NULL) < 0 || weir_tokenizer_create(g, &made[i], NULL) < 0) {
            abort();
        }
        weir_gguf_destroy(g);
    }
    return made[i];
}

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint32_t ids[MAX_IDS], few[8];
    if (size == 0 || size > MAX_IDS / 8) {
        return 0;
    }
    const struct weir_tokenizer *t = tokenizer(data[0] / 4 % N_VOCABS);
    unsigned flags = data[0] % 4;
    weir_str text = {(const char *)data + 1, size - 1};
    size_t n, n_few;
    check(weir_tokenizer_encode(t, text, flags, ids, MAX_IDS, &n) == 0);
    for (size_t i = 0; i < n; i++) {
        check(ids[i] < weir_tokenizer_info(t)->n_vocab);
    }
    int r = weir_tokenizer_encode(t, text, flags, few, 8, &n_few);
    check(n_few == n && (r == 0) == (n <= 8));
    check(memcmp(few, ids, (n < 8 ? n : 8) * sizeof(ids[0])) == 0);

    struct weir_buf out;
    weir_buf_init(&out, (size_t)1 << 24);
    weir_tokenizer_decode(t, ids, n, WEIR_DECODE_SPECIAL, &out);
    check(!out.failed);
    weir_buf_finish(&out);
    return 0;
}
