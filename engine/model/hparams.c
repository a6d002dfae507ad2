/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/model/hparams.h"

#include <math.h>
#include <stdio.h>

#include "engine/gguf/gguf.h"

/* Metadata keys begin with the architecture's name. */
struct reader {
    const struct weir_gguf *gguf;
    const char *arch;
    struct weir_error *err;
};

struct key_name {
    char text[96];
};

static struct key_name key_of(const struct reader *r, const char *suffix)
{
    struct key_name name;
    snprintf(name.text, sizeof(name.text), "%s.%s", r->arch, suffix);
    return name;
}

/* Reads a count within [min, max]; `fallback` 0 makes the key obligatory. */
static int read_count(const struct reader *r, const char *suffix, uint32_t fallback, uint32_t min,
                      uint32_t max, uint32_t *ret_value)
{
    struct key_name key = key_of(r, suffix);
    uint32_t value = 0;
    int rc = weir_gguf_u32(r->gguf, key.text, &value, r->err);
    if (rc == WEIR_E_NOTFOUND) {
        if (fallback == 0) {
            return weir_error_set(r->err, WEIR_E_FORMAT, "metadata key %s is missing", key.text);
        }
        value = fallback;
    } else if (rc < 0) {
        return rc;
    }
    if (value < min || value > max) {
        return weir_error_set(r->err, WEIR_E_FORMAT, "%s is %u; allowed are %u to %u", key.text,
                              value, min, max);
    }
    *ret_value = value;
    return 0;
}

/* Reads a positive finite number; `fallback` 0 makes the key obligatory. */
static int read_positive(const struct reader *r, const char *suffix, float fallback,
                         float *ret_value)
{
    struct key_name key = key_of(r, suffix);
    float value = fallback;
    int rc = weir_gguf_f32(r->gguf, key.text, &value, r->err);
    if (rc == WEIR_E_NOTFOUND) {
        if (fallback == 0) {
            return weir_error_set(r->err, WEIR_E_FORMAT, "metadata key %s is missing", key.text);
        }
    } else if (rc < 0) {
        return rc;
    }
    if (!(value > 0) || !isfinite(value)) {
        return weir_error_set(r->err, WEIR_E_FORMAT, "%s is %g; it must be above 0", key.text,
                              (double)value);
    }
    *ret_value = value;
    return 0;
}

static int read_arch(struct reader *r, struct weir_hparams *hp)
{
    weir_str arch;
    int rc = weir_gguf_str(r->gguf, "general.architecture", &arch, r->err);
    if (rc == WEIR_E_NOTFOUND) {
        return weir_error_set(r->err, WEIR_E_FORMAT,
                              "metadata key general.architecture is missing");
    }
    if (rc < 0) {
        return rc;
    }
    hp->rope_neox = !weir_str_is(arch, "llama"); /* GGUF permutes llama's q and k rows for pairs */
    if (weir_str_is(arch, "llama")) {
        hp->activation = WEIR_ACTIVATION_SILU;
    } else if (weir_str_is(arch, "qwen2")) {
        hp->has_qkv_bias = true;
    } else if (weir_str_is(arch, "qwen3")) {
        hp->has_qk_norm = true;
    } else if (weir_str_is(arch, "gemma3")) {
        hp->has_qk_norm = true;
        hp->has_post_norm = true;
        hp->activation = WEIR_ACTIVATION_GELU_TANH;
    } else {
        return weir_error_set(r->err, WEIR_E_UNSUPPORTED,
                              "architecture \"%.*s\" is not supported; supported are llama, qwen2, "
                              "qwen3 and gemma3",
                              (int)(arch.n < 64 ? arch.n : 64), arch.p);
    }
    snprintf(hp->arch, sizeof(hp->arch), "%.*s", (int)arch.n, arch.p);
    r->arch = hp->arch;
    return 0;
}

static int read_shape(const struct reader *r, struct weir_hparams *hp)
{
    int rc = read_count(r, "block_count", 0, 1, WEIR_MODEL_LAYERS_MAX, &hp->n_layer);
    if (rc >= 0) {
        rc = read_count(r, "context_length", 0, 1, WEIR_MODEL_CTX_MAX, &hp->n_ctx_train);
    }
    if (rc >= 0) {
        rc = read_count(r, "embedding_length", 0, 1, WEIR_MODEL_EMBD_MAX, &hp->n_embd);
    }
    if (rc >= 0) {
        rc = read_count(r, "feed_forward_length", 0, 1, WEIR_MODEL_FF_MAX, &hp->n_ff);
    }
    if (rc >= 0) {
        rc = read_count(r, "attention.head_count", 0, 1, WEIR_MODEL_HEADS_MAX, &hp->n_head);
    }
    if (rc >= 0) {
        rc = read_count(r, "attention.head_count_kv", hp->n_head, 1, hp->n_head, &hp->n_head_kv);
    }
    if (rc >= 0 && hp->n_head % hp->n_head_kv != 0) {
        rc = weir_error_set(r->err, WEIR_E_FORMAT,
                            "%s.attention.head_count %u is not a multiple of head_count_kv %u",
                            r->arch, hp->n_head, hp->n_head_kv);
    }
    if (rc >= 0) {
        rc = read_count(r, "attention.key_length", hp->n_embd / hp->n_head, 1,
                        WEIR_MODEL_HEAD_DIM_MAX, &hp->head_dim);
    }
    uint32_t value_length = 0;
    if (rc >= 0) {
        rc = read_count(r, "attention.value_length", hp->head_dim, hp->head_dim, hp->head_dim,
                        &value_length);
    }
    if (rc >= 0) {
        rc = read_count(r, "rope.dimension_count", hp->head_dim, 2, hp->head_dim, &hp->n_rot);
    }
    if (rc >= 0 && hp->n_rot % 2 != 0) {
        rc = weir_error_set(r->err, WEIR_E_FORMAT, "%s.rope.dimension_count %u is odd", r->arch,
                            hp->n_rot);
    }
    return rc;
}

/* No scaling, linear scaling, or Llama 3's, which arrives as the tensor rope_freqs. */
static int read_rope(const struct reader *r, struct weir_hparams *hp)
{
    struct key_name key = key_of(r, "rope.scaling.type");
    weir_str type = {NULL, 0};
    int rc = weir_gguf_str(r->gguf, key.text, &type, r->err);
    if (rc < 0 && rc != WEIR_E_NOTFOUND) {
        return rc;
    }
    if (type.n > 0 && !weir_str_is(type, "none") && !weir_str_is(type, "linear")) {
        return weir_error_set(r->err, WEIR_E_UNSUPPORTED,
                              "%s \"%.*s\" is not supported; supported are none and linear",
                              key.text, (int)(type.n < 64 ? type.n : 64), type.p);
    }
    float factor = 1.0f;
    if (weir_str_is(type, "linear")) {
        rc = read_positive(r, "rope.scaling.factor", 1.0f, &factor);
        if (rc < 0) {
            return rc;
        }
    }
    struct weir_rope *global = &hp->rope[0];
    global->scale = 1.0f / factor;
    rc = read_positive(r, "rope.freq_base", 10000.0f, &global->base);
    if (rc < 0) {
        return rc;
    }
    hp->rope[1].scale = 1.0f;
    return read_positive(r, "rope.freq_base_swa", 10000.0f, &hp->rope[1].base);
}

/* Gemma 3: every sixth layer sees all keys, the others a window. */
static int read_window(const struct reader *r, struct weir_hparams *hp)
{
    struct key_name key = key_of(r, "attention.sliding_window");
    uint32_t window = 0;
    int rc = weir_gguf_u32(r->gguf, key.text, &window, r->err);
    if (rc < 0 && rc != WEIR_E_NOTFOUND) {
        return rc;
    }
    if (window == 0 || strcmp(hp->arch, "gemma3") != 0) {
        return 0;
    }
    uint32_t pattern = 0;
    rc = read_count(r, "attention.sliding_window_pattern", 6, 1, WEIR_MODEL_LAYERS_MAX, &pattern);
    if (rc < 0) {
        return rc;
    }
    hp->window = window;
    for (uint32_t layer = 0; layer < hp->n_layer; layer++) {
        hp->is_sliding[layer] = layer % pattern < pattern - 1;
    }
    return 0;
}

/* What a file of a supported architecture may also ask for and no graph here computes. */
static int refuse_variants(const struct reader *r)
{
    static const char *const counts[] = {"expert_count", "attention.head_count_kv_swa"};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct key_name key = key_of(r, counts[i]);
        uint32_t value = 0;
        if (weir_gguf_u32(r->gguf, key.text, &value, NULL) == 0 && value > 0) {
            return weir_error_set(r->err, WEIR_E_UNSUPPORTED, "%s %u is not supported", key.text,
                                  value);
        }
    }
    struct key_name key = key_of(r, "final_logit_softcapping");
    float cap = 0;
    if (weir_gguf_f32(r->gguf, key.text, &cap, NULL) == 0 && cap != 0) {
        return weir_error_set(r->err, WEIR_E_UNSUPPORTED, "%s %g is not supported", key.text,
                              (double)cap);
    }
    return 0;
}

int weir_hparams_read(const struct weir_gguf *gguf, struct weir_hparams *ret_hparams,
                      struct weir_error *err)
{
    struct weir_hparams hp = {.embed_scale = 1.0f};
    struct reader r = {.gguf = gguf, .err = err};
    int rc = read_arch(&r, &hp);
    if (rc >= 0) {
        rc = refuse_variants(&r);
    }
    if (rc >= 0) {
        rc = read_shape(&r, &hp);
    }
    if (rc >= 0) {
        rc = read_rope(&r, &hp);
    }
    if (rc >= 0) {
        rc = read_window(&r, &hp);
    }
    if (rc >= 0) {
        rc = read_positive(&r, "attention.layer_norm_rms_epsilon", 0, &hp.norm_eps);
    }
    if (rc < 0) {
        return rc;
    }
    hp.attn_scale = 1.0f / sqrtf((float)hp.head_dim);
    if (strcmp(hp.arch, "gemma3") == 0) {
        hp.embed_scale = sqrtf((float)hp.n_embd);
        /* The 27B model divides by the root of n_embd / n_head instead (its query_pre_attn_scalar);
         * GGUF has no key for that, 62 layers tell it. */
        if (hp.n_layer == 62) {
            const uint32_t scalar = hp.n_embd / hp.n_head;
            hp.attn_scale = 1.0f / sqrtf((float)scalar);
        }
    }
    *ret_hparams = hp;
    return 0;
}
