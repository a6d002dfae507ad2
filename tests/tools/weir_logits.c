/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the logits after every token of a text to standard output, float [n][n_vocab].
 *
 *     weir_logits MODEL TOKENS [options as JSON]
 *
 * TOKENS is a file of int32; a negative number ends a document, positions begin again behind it.
 * Each token is a step of its own, so that every position's logits are computed by the decode
 * path; that prefill gives the same bits is the subject of test_same_answer.py. */
#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/model.h"

enum { TOKENS_MAX = 1 << 20 };

static int read_tokens(const char *path, int32_t *tokens, uint32_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return -1;
    }
    *ret_n = (uint32_t)fread(tokens, sizeof(*tokens), TOKENS_MAX, f);
    fclose(f);
    return 0;
}

static int write_logits(struct weir_cpu_model *m, const int32_t *tokens, uint32_t n)
{
    uint32_t *pages = calloc(m->info.n_pages, sizeof(*pages));
    if (!pages) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t i = 0; i < m->info.n_pages; i++) {
        pages[i] = i;
    }
    int rc = 0;
    uint32_t pos = 0;
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        if (tokens[i] < 0) {
            pos = 0;
            continue;
        }
        weir_step_part part = {
            .flags = WEIR_STEP_SAMPLE,
            .pos = pos++,
            .n_tokens = 1,
            .tokens = &tokens[i],
            .pages = pages,
            .n_pages = m->info.n_pages,
        };
        weir_step_result result = {0};
        weir_step_batch batch = {.struct_size = sizeof(batch),
                                 .part_size = sizeof(part),
                                 .parts = &part,
                                 .n_parts = 1,
                                 .n_tokens = 1};
        rc = weir_cpu_model_step(m, &batch, &result);
        rc = rc < 0 ? rc : result.rc;
        if (rc >= 0 && fwrite(weir_cpu_model_logits(m, 0), sizeof(float), m->info.n_vocab,
                              stdout) != m->info.n_vocab) {
            rc = WEIR_E_IO;
        }
    }
    free(pages);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: weir_logits MODEL TOKENS [options as JSON]\n");
        return 2;
    }
    static int32_t tokens[TOKENS_MAX];
    uint32_t n = 0;
    if (read_tokens(argv[2], tokens, &n) < 0) {
        fprintf(stderr, "can not read %s\n", argv[2]);
        return 1;
    }
    weir_load_params params = {
        .struct_size = sizeof(params),
        .max_sequences = 1,
        .n_ctx = 4096,
        .max_step_tokens = 16,
        .file = weir_str_from(argv[1]),
        .options_json = weir_str_from(argc > 3 ? argv[3] : "{}"),
    };
    struct weir_cpu_model *m = NULL;
    struct weir_error err = {0};
    int rc = weir_cpu_model_load(NULL, &params, &m, &err);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], err.message);
        return 1;
    }
    rc = write_logits(m, tokens, n);
    weir_cpu_model_unload(m);
    if (rc < 0) {
        fprintf(stderr, "%s\n", weir_error_name(rc));
        return 1;
    }
    return 0;
}
