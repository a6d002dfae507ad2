/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/model/graph.h"

#include <stdlib.h>

#include "engine/model/weights.h"

enum { OPS_PER_LAYER = 9, OPS_OUTSIDE = 4 };

static void append(struct weir_graph *graph, struct weir_op op)
{
    graph->ops[graph->n_ops++] = op;
}

/* A branch ends in X, or in DELTA when its post norm comes first. */
static struct weir_op branch_end(const struct weir_hparams *hp, uint32_t layer,
                                 const struct weir_gguf_tensor *weight, enum weir_buffer in)
{
    return (struct weir_op){
        .kind = WEIR_OP_LINEAR,
        .layer = layer,
        .in = in,
        .out = hp->has_post_norm ? WEIR_BUFFER_DELTA : WEIR_BUFFER_X,
        .weights = {weight},
        .n_weights = 1,
        .add = !hp->has_post_norm,
    };
}

/* `post` is the post norm of the branch before, NULL where there is none. */
static struct weir_op norm(uint32_t layer, const struct weir_gguf_tensor *weight,
                           const struct weir_gguf_tensor *post)
{
    return (struct weir_op){
        .kind = WEIR_OP_NORM,
        .layer = layer,
        .in = WEIR_BUFFER_X,
        .out = WEIR_BUFFER_N,
        .weights = {weight},
        .n_weights = 1,
        .delta = post ? WEIR_BUFFER_DELTA : WEIR_BUFFER_NONE,
        .post = post,
    };
}

static void append_attention(struct weir_graph *graph, const struct weir_hparams *hp,
                             const struct weir_layer_weights *lw, uint32_t layer,
                             const struct weir_gguf_tensor *post)
{
    append(graph, norm(layer, lw->attn_norm, post));
    append(graph, (struct weir_op){
                      .kind = WEIR_OP_LINEAR,
                      .layer = layer,
                      .in = WEIR_BUFFER_N,
                      .out = WEIR_BUFFER_QKV,
                      .weights = {lw->q, lw->k, lw->v},
                      .biases = {lw->q_bias, lw->k_bias, lw->v_bias},
                      .n_weights = 3,
                  });
    append(graph, (struct weir_op){
                      .kind = WEIR_OP_ROPE_KV,
                      .layer = layer,
                      .in = WEIR_BUFFER_QKV,
                      .out = WEIR_BUFFER_QKV,
                      .q_norm = lw->q_norm,
                      .k_norm = lw->k_norm,
                      .rope = hp->is_sliding[layer],
                  });
    append(graph, (struct weir_op){
                      .kind = WEIR_OP_ATTENTION,
                      .layer = layer,
                      .in = WEIR_BUFFER_QKV,
                      .out = WEIR_BUFFER_ATT,
                      .window = hp->is_sliding[layer] ? hp->window : 0,
                      .scale = hp->attn_scale,
                  });
    if (layer + 1 == hp->n_layer) { /* nothing behind this needs the other rows */
        append(graph, (struct weir_op){
                          .kind = WEIR_OP_SELECT,
                          .layer = layer,
                          .in = WEIR_BUFFER_X,
                          .out = WEIR_BUFFER_ATT,
                      });
    }
    append(graph, branch_end(hp, layer, lw->o, WEIR_BUFFER_ATT));
}

static void append_feed_forward(struct weir_graph *graph, const struct weir_hparams *hp,
                                const struct weir_layer_weights *lw, uint32_t layer)
{
    append(graph, norm(layer, lw->ffn_norm, lw->attn_post_norm));
    append(graph, (struct weir_op){
                      .kind = WEIR_OP_LINEAR,
                      .layer = layer,
                      .in = WEIR_BUFFER_N,
                      .out = WEIR_BUFFER_GATE_UP,
                      .weights = {lw->gate, lw->up},
                      .n_weights = 2,
                  });
    append(graph, (struct weir_op){
                      .kind = WEIR_OP_GLU,
                      .layer = layer,
                      .in = WEIR_BUFFER_GATE_UP,
                      .out = WEIR_BUFFER_H,
                  });
    append(graph, branch_end(hp, layer, lw->down, WEIR_BUFFER_H));
}

int weir_graph_build(const struct weir_hparams *hparams, const struct weir_weights *weights,
                     struct weir_graph *ret_graph)
{
    size_t n_max = (size_t)hparams->n_layer * OPS_PER_LAYER + OPS_OUTSIDE;
    struct weir_graph graph = {.ops = calloc(n_max, sizeof(*graph.ops))};
    if (!graph.ops) {
        return WEIR_E_NOMEM;
    }
    append(&graph, (struct weir_op){
                       .kind = WEIR_OP_EMBED,
                       .out = WEIR_BUFFER_X,
                       .weights = {weights->embed},
                       .n_weights = 1,
                       .scale = hparams->embed_scale,
                   });
    const struct weir_gguf_tensor *post = NULL;
    for (uint32_t layer = 0; layer < hparams->n_layer; layer++) {
        append_attention(&graph, hparams, &weights->layers[layer], layer, post);
        append_feed_forward(&graph, hparams, &weights->layers[layer], layer);
        post = weights->layers[layer].ffn_post_norm;
    }
    append(&graph, norm(hparams->n_layer, weights->output_norm, post));
    append(&graph, (struct weir_op){
                       .kind = WEIR_OP_LINEAR,
                       .layer = hparams->n_layer,
                       .in = WEIR_BUFFER_N,
                       .out = WEIR_BUFFER_LOGITS,
                       .weights = {weights->head},
                       .n_weights = 1,
                   });
    *ret_graph = graph;
    return 0;
}

void weir_graph_finish(struct weir_graph *graph)
{
    free(graph->ops);
    *graph = (struct weir_graph){0};
}

uint32_t weir_graph_width(const struct weir_hparams *hparams, enum weir_buffer buffer)
{
    switch (buffer) {
    case WEIR_BUFFER_X:
    case WEIR_BUFFER_N:
    case WEIR_BUFFER_DELTA: return hparams->n_embd;
    case WEIR_BUFFER_QKV: return (hparams->n_head + 2 * hparams->n_head_kv) * hparams->head_dim;
    case WEIR_BUFFER_ATT: return hparams->n_head * hparams->head_dim;
    case WEIR_BUFFER_GATE_UP: return 2 * hparams->n_ff;
    case WEIR_BUFFER_H: return hparams->n_ff;
    case WEIR_BUFFER_LOGITS: return hparams->n_vocab;
    default: return 0;
    }
}
