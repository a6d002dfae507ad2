/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gguf/describe.h"

#include <stdio.h>
#include <stdlib.h>

static void count_tensor(struct weir_gguf_summary *s, const struct weir_gguf_tensor *t)
{
    uint64_t n_params = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    const struct weir_tensor_type_info *info = weir_tensor_type_info(t->type);
    s->n_params += n_params;
    if (!info->supported) {
        if (s->n_unsupported == 0) {
            s->first_unsupported = t->name;
            s->first_unsupported_type = info->name;
        }
        s->n_unsupported++;
    }
    size_t i = 0;
    while (i < s->n_types && s->types[i].type != t->type) {
        i++;
    }
    if (i == s->n_types) {
        s->types[s->n_types++] = (struct weir_gguf_type_share){.type = t->type};
    }
    s->types[i].n_tensors++;
    s->types[i].n_params += n_params;
    s->types[i].n_bytes += t->n_bytes;
}

static int compare_bytes_descending(const void *a, const void *b)
{
    uint64_t x = ((const struct weir_gguf_type_share *)a)->n_bytes;
    uint64_t y = ((const struct weir_gguf_type_share *)b)->n_bytes;
    return (x < y) - (x > y);
}

static void write_mix(struct weir_gguf_summary *s)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s->n_types; i++) {
        total += s->types[i].n_bytes;
    }
    size_t at = 0;
    for (size_t i = 0; i < s->n_types && at < sizeof(s->mix); i++) {
        int n = snprintf(s->mix + at, sizeof(s->mix) - at, "%s%s %.1f%%", i ? ", " : "",
                         weir_tensor_type_info(s->types[i].type)->name,
                         100.0 * (double)s->types[i].n_bytes / (double)total);
        at += n > 0 ? (size_t)n : 0;
    }
}

static uint64_t read_context_length(const struct weir_gguf *g, weir_str arch)
{
    char key[128];
    uint64_t n = 0;
    int len = snprintf(key, sizeof(key), "%.*s.context_length", (int)arch.n, arch.p);
    if (len > 0 && (size_t)len < sizeof(key)) {
        (void)weir_gguf_u64(g, key, &n, NULL);
    }
    return n;
}

void weir_gguf_describe(const struct weir_gguf *g, struct weir_gguf_summary *ret_summary)
{
    struct weir_gguf_summary *s = ret_summary;
    *s = (struct weir_gguf_summary){
        .file_bytes = weir_gguf_size_bytes(g),
        .n_tensors = weir_gguf_n_tensors(g),
    };
    (void)weir_gguf_str(g, "general.architecture", &s->arch, NULL);
    (void)weir_gguf_str(g, "general.name", &s->name, NULL);
    if (s->arch.n < 64) {
        s->context_length = read_context_length(g, s->arch);
    }
    for (size_t i = 0; i < s->n_tensors; i++) {
        count_tensor(s, weir_gguf_tensor_at(g, i));
    }
    qsort(s->types, s->n_types, sizeof(s->types[0]), compare_bytes_descending);
    write_mix(s);
}
