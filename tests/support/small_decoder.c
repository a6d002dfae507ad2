/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/small_decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quant/half.h"

enum { N_CTX = 512, TENSORS_PER_LAYER = 17, TENSORS_OUTSIDE = 3 };

struct small_decoder {
    struct weir_model model;
    struct weir_gguf_tensor *tensors;
    uint32_t n_tensors;
    uint64_t random;
};

static uint32_t draw(struct small_decoder *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return (uint32_t)(d->random >> 32);
}

/* -1 to 1 */
static float draw_float(struct small_decoder *d)
{
    return (float)((int32_t)draw(d) * 0x1p-31);
}

static void *take(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        abort();
    }
    return p;
}

/* Scales that keep weights within about `size`. */
static void set_scale(uint32_t type, float size, uint8_t *block)
{
    uint16_t scale = weir_f32_to_f16(type == WEIR_TENSOR_Q8_0 ? size / 127 : size / 8);
    uint16_t tiny = weir_f32_to_f16(size / 8 / 63);
    if (type == WEIR_TENSOR_Q4_K) {
        memcpy(block, &tiny, sizeof(tiny));
        memcpy(block + 2, &tiny, sizeof(tiny));
    } else {
        memcpy(block, &scale, sizeof(scale));
    }
}

static void fill(struct small_decoder *d, struct weir_gguf_tensor *t, float size)
{
    const struct weir_tensor_type_info *info = weir_tensor_type_info(t->type);
    uint8_t *bytes = take(1, t->n_bytes);
    for (size_t i = 0; t->type == WEIR_TENSOR_F16 && i < t->n_bytes / 2; i++) {
        uint16_t v = weir_f32_to_f16(draw_float(d) * size);
        memcpy(bytes + 2 * i, &v, sizeof(v));
    }
    for (size_t i = 0; t->type != WEIR_TENSOR_F16 && i < t->n_bytes; i++) {
        bytes[i] = (uint8_t)draw(d);
    }
    for (size_t i = 0; t->type != WEIR_TENSOR_F16 && i < t->n_bytes; i += info->block_bytes) {
        set_scale(t->type, size, bytes + i);
    }
    t->data = bytes;
}

static const struct weir_gguf_tensor *add(struct small_decoder *d, uint32_t type, uint64_t n_rows,
                                          uint64_t n_cols)
{
    struct weir_gguf_tensor *t = &d->tensors[d->n_tensors++];
    *t = (struct weir_gguf_tensor){
        .name = weir_str_from("random"),
        .type = type,
        .n_dims = 2,
        .dims = {n_cols, n_rows, 1, 1},
        .n_bytes = weir_tensor_row_bytes(type, n_cols) * n_rows,
    };
    fill(d, t, 2.0f / sqrtf((float)n_cols));
    return t;
}

static const struct weir_gguf_tensor *add_vector(struct small_decoder *d, bool is_there, uint64_t n,
                                                 float middle)
{
    if (!is_there) {
        return NULL;
    }
    struct weir_gguf_tensor *t = &d->tensors[d->n_tensors++];
    float *values = take(n, sizeof(*values));
    for (uint64_t i = 0; i < n; i++) {
        values[i] = middle + 0.2f * draw_float(d);
    }
    *t = (struct weir_gguf_tensor){
        .name = weir_str_from("random"),
        .type = WEIR_TENSOR_F32,
        .n_dims = 1,
        .dims = {n, 1, 1, 1},
        .data = values,
        .n_bytes = n * sizeof(*values),
    };
    return t;
}

static void add_layer(struct small_decoder *d, const struct small_decoder_shape *s,
                      struct weir_layer_weights *lw)
{
    const uint64_t q = (uint64_t)s->n_head * s->head_dim;
    const uint64_t kv = (uint64_t)s->n_head_kv * s->head_dim;
    *lw = (struct weir_layer_weights){
        .attn_norm = add_vector(d, true, s->n_embd, 1),
        .ffn_norm = add_vector(d, true, s->n_embd, 1),
        .attn_post_norm = add_vector(d, s->has_post_norm, s->n_embd, 1),
        .ffn_post_norm = add_vector(d, s->has_post_norm, s->n_embd, 1),
        .q = add(d, s->type, q, s->n_embd),
        .k = add(d, s->type, kv, s->n_embd),
        .v = add(d, s->type, kv, s->n_embd),
        .q_bias = add_vector(d, s->has_qkv_bias, q, 0),
        .k_bias = add_vector(d, s->has_qkv_bias, kv, 0),
        .v_bias = add_vector(d, s->has_qkv_bias, kv, 0),
        .q_norm = add_vector(d, s->has_qk_norm, s->head_dim, 1),
        .k_norm = add_vector(d, s->has_qk_norm, s->head_dim, 1),
        .o = add(d, s->o_type, s->n_embd, q),
        .gate = add(d, s->type, s->n_ff, s->n_embd),
        .up = add(d, s->type, s->n_ff, s->n_embd),
        .down = add(d, s->down_type, s->n_embd, s->n_ff),
    };
}

struct small_decoder *small_decoder_create(const struct small_decoder_shape *s)
{
    struct small_decoder *d = take(1, sizeof(*d));
    d->random = 0x9E3779B97F4A7C15u;
    d->tensors =
        take((size_t)s->n_layer * TENSORS_PER_LAYER + TENSORS_OUTSIDE, sizeof(*d->tensors));
    d->model.hparams = (struct weir_hparams){
        .arch = "random",
        .n_vocab = s->n_vocab,
        .n_ctx_train = N_CTX,
        .n_layer = s->n_layer,
        .n_embd = s->n_embd,
        .n_ff = s->n_ff,
        .n_head = s->n_head,
        .n_head_kv = s->n_head_kv,
        .head_dim = s->head_dim,
        .n_rot = s->head_dim,
        .norm_eps = 1e-5f,
        .attn_scale = 1.0f / sqrtf((float)s->head_dim),
        .embed_scale = 1.0f,
        .activation = WEIR_ACTIVATION_SILU,
        .rope_neox = s->has_qk_norm,
        .has_qk_norm = s->has_qk_norm,
        .has_post_norm = s->has_post_norm,
        .has_qkv_bias = s->has_qkv_bias,
        .rope = {{.base = 10000.0f, .scale = 1.0f}},
    };
    struct weir_weights *w = &d->model.weights;
    w->layers = take(s->n_layer, sizeof(*w->layers));
    w->embed = add(d, s->type, s->n_vocab, s->n_embd);
    w->head = add(d, s->type, s->n_vocab, s->n_embd);
    w->output_norm = add_vector(d, true, s->n_embd, 2);
    for (uint32_t i = 0; i < s->n_layer; i++) {
        add_layer(d, s, &w->layers[i]);
    }
    if (weir_graph_build(&d->model.hparams, w, &d->model.graph) < 0) {
        abort();
    }
    return d;
}

void small_decoder_destroy(struct small_decoder *d)
{
    for (uint32_t i = 0; i < d->n_tensors; i++) {
        free((void *)(uintptr_t)d->tensors[i].data);
    }
    weir_graph_finish(&d->model.graph);
    free(d->model.weights.layers);
    free(d->tensors);
    free(d);
}

const struct weir_model *small_decoder_model(const struct small_decoder *d)
{
    return &d->model;
}
