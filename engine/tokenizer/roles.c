/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/roles.h"

/* Texts that end a turn; the first one that the vocabulary has is `eot`. */
static const char *const end_of_turn_texts[] = {
    "<|eot_id|>",         "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",    "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
};

/* Texts that end a generation wherever they are in the vocabulary. */
static const char *const end_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
};

/* Marks of fill-in-the-middle. Those that separate files end a generation, too. */
static const struct {
    const char *key;
    bool ends;
    const char *texts[9];
} middle_marks[] = {
    {"tokenizer.ggml.fim_pre_token_id",
     false,
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
      "<|code_prefix|>", "<|prefix|>"}},
    {"tokenizer.ggml.fim_suf_token_id",
     false,
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
      "<|code_suffix|>", "<|suffix|>"}},
    {"tokenizer.ggml.fim_mid_token_id",
     false,
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
      "<|code_middle|>", "<|middle|>"}},
    {"tokenizer.ggml.fim_pad_token_id",
     true,
     {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {"tokenizer.ggml.fim_rep_token_id",
     true,
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {"tokenizer.ggml.fim_sep_token_id", true, {"<|file_sep|>"}},
};

/* Leaves *id as it is when the file has no such key. */
static int read_id(const struct weir_gguf *g, const char *key, uint32_t n_vocab, uint32_t *id,
                   struct weir_error *err)
{
    uint32_t value = 0;
    int r = weir_gguf_u32(g, key, &value, err);
    if (r == WEIR_E_NOTFOUND) {
        return 0;
    }
    if (r == 0 && value >= n_vocab) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s is %u, the vocabulary has %u tokens", key,
                              value, n_vocab);
    }
    if (r == 0) {
        *id = value;
    }
    return r;
}

static uint32_t find_first(const struct weir_vocab *v, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n && texts[i]; i++) {
        uint32_t id = weir_vocab_find(v, weir_str_from(texts[i]));
        if (id != WEIR_TOKEN_NONE) {
            return id;
        }
    }
    return WEIR_TOKEN_NONE;
}

static void set_attrs(struct weir_vocab *v, uint32_t id, unsigned attrs)
{
    if (id != WEIR_TOKEN_NONE) {
        v->attrs[id] |= (uint16_t)attrs;
    }
}

static int read_middle_marks(struct weir_vocab *v, const struct weir_gguf *g,
                             struct weir_error *err)
{
    for (size_t i = 0; i < sizeof(middle_marks) / sizeof(middle_marks[0]); i++) {
        uint32_t id = WEIR_TOKEN_NONE;
        int r = read_id(g, middle_marks[i].key, v->n, &id, err);
        if (r < 0) {
            return r;
        }
        if (id == WEIR_TOKEN_NONE) {
            id = find_first(v, middle_marks[i].texts, 9);
            set_attrs(v, id, WEIR_TOKEN_CONTROL);
        }
        set_attrs(v, id, middle_marks[i].ends ? WEIR_TOKEN_EOG : 0);
    }
    return 0;
}

int weir_roles_read(struct weir_tokenizer_info *info, struct weir_vocab *v,
                    const struct weir_gguf *g, struct weir_error *err)
{
    uint32_t eom = WEIR_TOKEN_NONE;
    const struct {
        const char *key;
        uint32_t *id;
    } keys[] = {
        {"tokenizer.ggml.bos_token_id", &info->bos},
        {"tokenizer.ggml.eos_token_id", &info->eos},
        {"tokenizer.ggml.eot_token_id", &info->eot},
        {"tokenizer.ggml.eom_token_id", &eom},
        {"tokenizer.ggml.unknown_token_id", &info->unk},
        {"tokenizer.ggml.padding_token_id", &info->pad},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        int r = read_id(g, keys[i].key, v->n, keys[i].id, err);
        if (r < 0) {
            return r;
        }
    }
    int r = read_middle_marks(v, g, err);
    if (r < 0) {
        return r;
    }
    if (info->eot == WEIR_TOKEN_NONE) {
        info->eot = find_first(v, end_of_turn_texts,
                               sizeof(end_of_turn_texts) / sizeof(end_of_turn_texts[0]));
        set_attrs(v, info->eot, WEIR_TOKEN_CONTROL);
    }
    for (size_t i = 0; i < sizeof(end_texts) / sizeof(end_texts[0]); i++) {
        uint32_t id = weir_vocab_find(v, weir_str_from(end_texts[i]));
        set_attrs(v, id, WEIR_TOKEN_EOG | WEIR_TOKEN_CONTROL);
    }
    set_attrs(v, info->eos, WEIR_TOKEN_EOG);
    set_attrs(v, info->eot, WEIR_TOKEN_EOG);
    set_attrs(v, eom, WEIR_TOKEN_EOG);
    return 0;
}
