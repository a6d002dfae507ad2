/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const struct synthetic_shape synthetic_8b = {
    .n_layer = 32,
    .n_embd = 4096,
    .n_ff = 14336,
    .n_head = 32,
    .n_head_kv = 8,
    .head_dim = 128,
    .n_vocab = 128256,
    .n_ctx = 40960,
};
const struct synthetic_shape synthetic_tiny = {
    .n_layer = 2,
    .n_embd = 256,
    .n_ff = 512,
    .n_head = 4,
    .n_head_kv = 2,
    .head_dim = 64,
    .n_vocab = 512,
    .n_ctx = 2048,
};

enum { PATTERN_BLOCKS = 8192, BUFFERS_MAX = 2 };

struct buffer {
    uint32_t type;
    void *bytes;
    size_t size_bytes;
};

struct synthetic {
    struct weir_model model;
    struct buffer buffers[BUFFERS_MAX];
    float *ones; /* [n_embd] */
    struct weir_gguf_tensor norm, embed, head, q, kv, o, gate_up, down;
};

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void put_half(uint8_t *at, uint16_t bits)
{
    memcpy(at, &bits, sizeof(bits));
}

/* Scales that keep a weight near 1/50, whatever the bits of its quants are. */
static void mend_block(uint32_t type, uint8_t *block)
{
    enum { HALF_2_9 = 0x1800, HALF_2_13 = 0x0800, HALF_2_15 = 0x0200, HALF_2_18 = 0x0040 };
    switch (type) {
    case WEIR_TENSOR_F16:
        /* exponent of 2^-7..2^-5, random sign and mantissa */
        block[1] = (uint8_t)((block[1] & 0x83) | (8 + block[0] % 2) << 2);
        break;
    case WEIR_TENSOR_Q8_0: put_half(block, HALF_2_13 + 0x400); break;
    case WEIR_TENSOR_Q4_0: put_half(block, HALF_2_9); break;
    case WEIR_TENSOR_Q4_K:
        put_half(block, HALF_2_15);
        put_half(block + 2, HALF_2_13);
        break;
    case WEIR_TENSOR_Q6_K: put_half(block + 208, HALF_2_18); break;
    default: abort();
    }
}

static void fill(struct buffer *b)
{
    const struct weir_tensor_type_info *info = weir_tensor_type_info(b->type);
    size_t pattern = (size_t)PATTERN_BLOCKS * info->block_bytes;
    uint8_t *bytes = b->bytes;
    if (pattern > b->size_bytes) {
        pattern = b->size_bytes / info->block_bytes * info->block_bytes;
    }
    for (size_t i = 0; i + 8 <= pattern; i += 8) {
        uint64_t r = next_random();
        memcpy(bytes + i, &r, 8);
    }
    for (size_t i = 0; i < pattern; i += info->block_bytes) {
        mend_block(b->type, bytes + i);
    }
    for (size_t done = pattern; done < b->size_bytes;) {
        size_t n = b->size_bytes - done < done ? b->size_bytes - done : done;
        memcpy(bytes + done, bytes, n);
        done += n;
    }
}

static const void *buffer_of(struct synthetic *s, uint32_t type, size_t size_bytes)
{
    struct buffer *b = s->buffers;
    while (b->bytes && b->type != type) {
        b++;
    }
    if (!b->bytes) {
        void *map =
            mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED) {
            return NULL;
        }
        *b = (struct buffer){.type = type, .bytes = map, .size_bytes = size_bytes};
        fill(b);
    }
    return b->bytes;
}

static struct weir_gguf_tensor matrix(struct synthetic *s, const char *name, uint32_t type,
                                      uint64_t n_rows, uint64_t n_cols)
{
    size_t n_bytes = weir_tensor_row_bytes(type, n_cols) * n_rows;
    return (struct weir_gguf_tensor){
        .name = weir_str_from(name),
        .type = type,
        .n_dims = 2,
        .dims = {n_cols, n_rows, 1, 1},
        .data = buffer_of(s, type, n_bytes),
        .n_bytes = n_bytes,
    };
}

static void set_hparams(struct weir_hparams *hp, const struct synthetic_shape *shape)
{
    *hp = (struct weir_hparams){
        .arch = "llama",
        .n_vocab = shape->n_vocab,
        .n_ctx_train = shape->n_ctx,
        .n_layer = shape->n_layer,
        .n_embd = shape->n_embd,
        .n_ff = shape->n_ff,
        .n_head = shape->n_head,
        .n_head_kv = shape->n_head_kv,
        .head_dim = shape->head_dim,
        .n_rot = shape->head_dim,
        .norm_eps = 1e-5f,
        .attn_scale = 1.0f,
        .embed_scale = 1.0f,
        .activation = WEIR_ACTIVATION_SILU,
        .rope = {{.base = 500000.0f, .scale = 1.0f}},
    };
    for (uint32_t d = 1; d * d <= shape->head_dim; d++) { /* 1 / sqrt(head_dim) without libm */
        hp->attn_scale = 1.0f / (float)d;
    }
}

static bool set_weights(struct synthetic *s, const struct synthetic_shape *shape, uint32_t type)
{
    struct weir_weights *w = &s->model.weights;
    bool is_4_bit = type == WEIR_TENSOR_Q4_0 || type == WEIR_TENSOR_Q4_K;
    uint32_t head_type = is_4_bit ? WEIR_TENSOR_Q6_K : type;
    const uint64_t q_rows = (uint64_t)shape->n_head * shape->head_dim;
    const uint64_t kv_rows = (uint64_t)shape->n_head_kv * shape->head_dim;
    s->ones = calloc(shape->n_embd, sizeof(float));
    w->layers = calloc(shape->n_layer, sizeof(*w->layers));
    if (!s->ones || !w->layers) {
        return false;
    }
    for (uint32_t i = 0; i < shape->n_embd; i++) {
        s->ones[i] = 1.0f;
    }
    s->norm = (struct weir_gguf_tensor){.name = weir_str_from("norm"),
                                        .type = WEIR_TENSOR_F32,
                                        .n_dims = 1,
                                        .dims = {shape->n_embd, 1, 1, 1},
                                        .data = s->ones,
                                        .n_bytes = shape->n_embd * sizeof(float)};
    /* The largest first: the buffers take their size from it. */
    s->head = matrix(s, "head", head_type, shape->n_vocab, shape->n_embd);
    s->embed = matrix(s, "embed", type, shape->n_vocab, shape->n_embd);
    s->q = matrix(s, "q", type, q_rows, shape->n_embd);
    s->kv = matrix(s, "kv", type, kv_rows, shape->n_embd);
    s->o = matrix(s, "o", type, shape->n_embd, q_rows);
    s->gate_up = matrix(s, "gate", type, shape->n_ff, shape->n_embd);
    s->down = matrix(s, "down", type, shape->n_embd, shape->n_ff);
    w->embed = &s->embed;
    w->head = &s->head;
    w->output_norm = &s->norm;
    for (uint32_t i = 0; i < shape->n_layer; i++) {
        w->layers[i] = (struct weir_layer_weights){
            .attn_norm = &s->norm,
            .ffn_norm = &s->norm,
            .q = &s->q,
            .k = &s->kv,
            .v = &s->kv,
            .o = &s->o,
            .gate = &s->gate_up,
            .up = &s->gate_up,
            .down = &s->down,
        };
    }
    return s->head.data && s->embed.data;
}

struct synthetic *synthetic_create(const struct synthetic_shape *shape, uint32_t type)
{
    struct synthetic *s = calloc(1, sizeof(*s));
    if (!s) {
        return NULL;
    }
    set_hparams(&s->model.hparams, shape);
    if (!set_weights(s, shape, type) ||
        weir_graph_build(&s->model.hparams, &s->model.weights, &s->model.graph) < 0) {
        synthetic_destroy(s);
        return NULL;
    }
    return s;
}

void synthetic_destroy(struct synthetic *s)
{
    if (!s) {
        return;
    }
    for (int i = 0; i < BUFFERS_MAX; i++) {
        if (s->buffers[i].bytes) {
            munmap(s->buffers[i].bytes, s->buffers[i].size_bytes);
        }
    }
    weir_graph_finish(&s->model.graph);
    free(s->model.weights.layers);
    free(s->ones);
    free(s);
}

const struct weir_model *synthetic_model(const struct synthetic *s)
{
    return &s->model;
}
