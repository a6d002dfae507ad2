/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/model/weights.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/gguf/gguf.h"

struct finder {
    const struct weir_gguf *gguf;
    struct weir_error *err;
};

enum { OPTIONAL = 1 };

/* Finds tensor `name` of dims[0] n_cols and dims[1] n_rows (0: any, up to the vocabulary's bound).
 */
static int find(const struct finder *f, const char *name, uint32_t n_cols, uint32_t n_rows,
                int flags, const struct weir_gguf_tensor **ret_tensor)
{
    const struct weir_gguf_tensor *t = weir_gguf_tensor(f->gguf, name);
    if (!t) {
        return flags & OPTIONAL
                   ? 0
                   : weir_error_set(f->err, WEIR_E_FORMAT, "tensor %s is missing", name);
    }
    bool rows_fit =
        n_rows ? t->dims[1] == n_rows : t->dims[1] > 0 && t->dims[1] <= WEIR_MODEL_VOCAB_MAX;
    if (t->dims[0] != n_cols || !rows_fit || t->dims[2] != 1 || t->dims[3] != 1) {
        return weir_error_set(
            f->err, WEIR_E_FORMAT, "tensor %s has shape %llux%llux%llux%llu; expected is %ux%u",
            name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
            (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], n_cols, n_rows);
    }
    const struct weir_tensor_type_info *info = weir_tensor_type_info(t->type);
    if (!info || !info->supported) {
        return weir_error_set(f->err, WEIR_E_UNSUPPORTED,
                              "tensor %s has type %s, for which there "
                              "is no kernel",
                              name, info ? info->name : "unknown");
    }
    *ret_tensor = t;
    return 0;
}

static int find_vector(const struct finder *f, const char *name, uint32_t n, int flags,
                       const struct weir_gguf_tensor **ret_tensor)
{
    int rc = find(f, name, n, 1, flags, ret_tensor);
    if (rc >= 0 && *ret_tensor && (*ret_tensor)->type != WEIR_TENSOR_F32) {
        return weir_error_set(f->err, WEIR_E_UNSUPPORTED, "tensor %s has type %s; expected is F32",
                              name, weir_tensor_type_info((*ret_tensor)->type)->name);
    }
    return rc;
}

/* One row of the table of a layer's tensors. */
struct role {
    const char *name; /* behind "blk.N." */
    size_t offset;    /* in struct weir_layer_weights */
    uint32_t n_cols, n_rows;
    bool is_vector, is_wanted;
};

static int read_layer(const struct finder *f, const struct weir_hparams *hp, uint32_t layer,
                      struct weir_layer_weights *lw)
{
    const uint32_t q = hp->n_head * hp->head_dim;
    const uint32_t kv = hp->n_head_kv * hp->head_dim;
    const uint32_t n = hp->n_embd;
    const struct role roles[] = {
#define ROLE(field) offsetof(struct weir_layer_weights, field)
        {"attn_norm.weight", ROLE(attn_norm), n, 1, true, true},
        {"ffn_norm.weight", ROLE(ffn_norm), n, 1, true, true},
        {"post_attention_norm.weight", ROLE(attn_post_norm), n, 1, true, hp->has_post_norm},
        {"post_ffw_norm.weight", ROLE(ffn_post_norm), n, 1, true, hp->has_post_norm},
        {"attn_q.weight", ROLE(q), n, q, false, true},
        {"attn_k.weight", ROLE(k), n, kv, false, true},
        {"attn_v.weight", ROLE(v), n, kv, false, true},
        {"attn_q.bias", ROLE(q_bias), q, 1, true, hp->has_qkv_bias},
        {"attn_k.bias", ROLE(k_bias), kv, 1, true, hp->has_qkv_bias},
        {"attn_v.bias", ROLE(v_bias), kv, 1, true, hp->has_qkv_bias},
        {"attn_q_norm.weight", ROLE(q_norm), hp->head_dim, 1, true, hp->has_qk_norm},
        {"attn_k_norm.weight", ROLE(k_norm), hp->head_dim, 1, true, hp->has_qk_norm},
        {"attn_output.weight", ROLE(o), q, n, false, true},
        {"ffn_gate.weight", ROLE(gate), n, hp->n_ff, false, true},
        {"ffn_up.weight", ROLE(up), n, hp->n_ff, false, true},
        {"ffn_down.weight", ROLE(down), hp->n_ff, n, false, true},
        {"attn_output.bias", 0, 0, 0, true, false},
        {"ffn_gate.bias", 0, 0, 0, true, false},
        {"ffn_up.bias", 0, 0, 0, true, false},
        {"ffn_down.bias", 0, 0, 0, true, false},
#undef ROLE
    };
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        const struct role *role = &roles[i];
        char name[64];
        snprintf(name, sizeof(name), "blk.%u.%s", layer, role->name);
        if (!role->is_wanted) {
            if (weir_gguf_tensor(f->gguf, name)) {
                return weir_error_set(f->err, WEIR_E_UNSUPPORTED,
                                      "tensor %s is not part of architecture %s", name, hp->arch);
            }
            continue;
        }
        const struct weir_gguf_tensor **slot =
            (const struct weir_gguf_tensor **)((char *)lw + role->offset);
        int rc = role->is_vector ? find_vector(f, name, role->n_cols, 0, slot)
                                 : find(f, name, role->n_cols, role->n_rows, 0, slot);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int read_all(const struct finder *f, struct weir_hparams *hp, struct weir_weights *w)
{
    int rc = find(f, "token_embd.weight", hp->n_embd, 0, 0, &w->embed);
    if (rc < 0) {
        return rc;
    }
    hp->n_vocab = (uint32_t)w->embed->dims[1];
    rc = find(f, "output.weight", hp->n_embd, hp->n_vocab, OPTIONAL, &w->head);
    if (rc >= 0) {
        rc = find_vector(f, "output_norm.weight", hp->n_embd, 0, &w->output_norm);
    }
    if (rc >= 0) {
        rc = find_vector(f, "rope_freqs.weight", hp->n_rot / 2, OPTIONAL, &w->rope_factors);
    }
    if (rc < 0) {
        return rc;
    }
    if (!w->head) {
        w->head = w->embed;
    }
    hp->rope[0].has_factors = w->rope_factors != NULL;
    for (uint32_t layer = 0; layer < hp->n_layer; layer++) {
        rc = read_layer(f, hp, layer, &w->layers[layer]);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int weir_weights_read(const struct weir_gguf *gguf, struct weir_hparams *hparams,
                      struct weir_weights *ret_weights, struct weir_error *err)
{
    struct weir_weights w = {.layers = calloc(hparams->n_layer, sizeof(*w.layers))};
    if (!w.layers) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory for %u layers", hparams->n_layer);
    }
    struct finder f = {.gguf = gguf, .err = err};
    int rc = read_all(&f, hparams, &w);
    if (rc < 0) {
        weir_weights_finish(&w);
        return rc;
    }
    *ret_weights = w;
    return 0;
}

void weir_weights_finish(struct weir_weights *weights)
{
    free(weights->layers);
    *weights = (struct weir_weights){0};
}
