/* SPDX-License-Identifier: Apache-2.0 */
/* From the model file to the device: sizes, one allocation, packing and upload in slices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/gpu/cutter.h"
#include "backends/gpu/rank.h"
#include "engine/gguf/gguf.h"

static int plan_stages(struct weir_gpu_rank *m, const struct weir_model *source,
                       struct weir_error *err)
{
    struct weir_gpu_weights *w = &m->weights;
    const size_t n = source->graph.n_ops;
    m->graph.ops = calloc(n, sizeof(*m->graph.ops));
    w->stages = calloc(n, sizeof(*w->stages));
    if (!m->graph.ops || !w->stages) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    memcpy(m->graph.ops, source->graph.ops, n * sizeof(*m->graph.ops));
    m->graph.n_ops = w->n_stages = source->graph.n_ops;
    weir_gpu_share_rewrite(&m->share, &m->graph);
    w->step_bytes = 0;
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < w->n_stages; i++) {
        struct weir_gpu_stage *s = &w->stages[i];
        s->op = &m->graph.ops[i];
        if (s->op->kind == WEIR_OP_SELECT) {
            w->select = i;
        } else if (s->op->kind == WEIR_OP_LINEAR) {
            rc = weir_gpu_linear_plan(&s->linear, &m->share, &source->hparams, s->op,
                                      m->device.info.props.lanes, err);
            w->has_separate_glu |= rc >= 0 && s->op->out == WEIR_BUFFER_GATE_UP &&
                                   !weir_gpu_linear_takes_glu(&s->linear);
            for (uint32_t k = 0; rc >= 0 && k < s->linear.n_segments; k++) {
                w->step_bytes += s->linear.segments[k].plan.n_bytes;
            }
        }
    }
    return rc;
}

static const float *cut_floats(struct weir_gpu_cutter *c, const struct weir_gguf_tensor *t)
{
    return t ? weir_gpu_cut(c, t->dims[0], sizeof(float)) : NULL;
}

/* The same order for counting and for cutting. */
static void cut_all(struct weir_gpu_rank *m, const struct weir_model *source,
                    struct weir_gpu_cutter *c)
{
    struct weir_gpu_weights *w = &m->weights;
    for (uint32_t i = 0; i < w->n_stages; i++) {
        struct weir_gpu_stage *s = &w->stages[i];
        const struct weir_op *op = &source->graph.ops[i];
        for (uint32_t k = 0; k < s->linear.n_segments; k++) {
            s->linear.segments[k].memory = weir_gpu_cut(c, s->linear.segments[k].plan.n_bytes, 1);
        }
        if (op->kind == WEIR_OP_LINEAR && op->biases[0]) {
            s->linear.bias = weir_gpu_cut(c, s->linear.n_rows, sizeof(float));
        }
        s->norm = op->kind == WEIR_OP_NORM ? cut_floats(c, op->weights[0]) : NULL;
        s->post = cut_floats(c, op->post);
        s->q_norm = cut_floats(c, op->q_norm);
        s->k_norm = cut_floats(c, op->k_norm);
    }
    const struct weir_gguf_tensor *embed = source->weights.embed;
    w->embed_type = embed->type;
    w->embed_row_bytes = weir_tensor_row_bytes(embed->type, embed->dims[0]);
    w->embed = weir_gpu_cut(c, embed->n_bytes, 1);
    for (int i = 0; i < WEIR_MODEL_ROPES_MAX; i++) {
        w->turns[i] = weir_gpu_cut(c, m->hparams.n_rot / 2, sizeof(double));
    }
}

int weir__gpu_weights_plan(struct weir_gpu_rank *m, const struct weir_model *source,
                           struct weir_error *err)
{
    int rc = plan_stages(m, source, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_gpu_cutter counter = {0};
    cut_all(m, source, &counter);
    m->weights.memory_bytes = counter.used_bytes;
    return 0;
}

/* Progress over all bytes of the source. */
struct loading {
    struct weir_gpu_rank *m;
    struct weir_gpu_upload upload;
    const weir_load_params *params;
    uint64_t done_bytes, total_bytes;
};

static int count_progress(void *arg, uint64_t n_bytes)
{
    struct loading *l = arg;
    l->done_bytes += n_bytes;
    double done = (double)l->done_bytes / (double)l->total_bytes;
    const struct weir_gpu_share *s = &l->m->share; /* one device is loaded behind the other */
    return l->params->progress ? l->params->progress(l->params->progress_arg,
                                                     (float)((s->rank + done) / s->n_ranks))
                               : 0;
}

static int send_floats(struct loading *l, const float *to, const struct weir_gguf_tensor *t)
{
    return t ? weir_gpu_upload_bytes(&l->upload, (void *)(uintptr_t)to, t->data, t->n_bytes) : 0;
}

static int send_biases(struct loading *l, const struct weir_gpu_linear *linear,
                       const struct weir_op *op)
{
    int rc = 0;
    for (uint32_t k = 0; rc >= 0 && linear->bias && k < op->n_weights; k++) {
        const struct weir_gpu_segment *s = &linear->segments[k];
        rc = weir_gpu_upload_bytes(&l->upload, linear->bias + s->row_begin,
                                   (const float *)op->biases[k]->data + s->slice.row,
                                   s->slice.n_rows * sizeof(float));
    }
    return rc;
}

static int load_stage(struct loading *l, uint32_t i, const struct weir_op *op)
{
    struct weir_gpu_stage *s = &l->m->weights.stages[i];
    int rc = send_floats(l, s->norm, op->kind == WEIR_OP_NORM ? op->weights[0] : NULL);
    rc = rc < 0 ? rc : send_floats(l, s->post, op->post);
    rc = rc < 0 ? rc : send_floats(l, s->q_norm, op->q_norm);
    rc = rc < 0 ? rc : send_floats(l, s->k_norm, op->k_norm);
    if (rc >= 0 && op->kind == WEIR_OP_LINEAR) {
        rc = send_biases(l, &s->linear, op);
        rc = rc < 0 ? rc
                    : weir_gpu_linear_load(&s->linear, op, &l->upload, l->m->n_threads,
                                           count_progress, l);
    }
    return rc;
}

/* Turns per position of each pair, in double: see kernels/rope_kv/rope_kv.h. */
static int send_turns(struct loading *l, const struct weir_model *source)
{
    static const double TAU = 6.283185307179586476925286766559;
    const struct weir_hparams *hp = &l->m->hparams;
    const uint32_t n = hp->n_rot / 2;
    double *turns = calloc(n, sizeof(*turns));
    if (!turns) {
        return WEIR_E_NOMEM;
    }
    const struct weir_gguf_tensor *t = source->weights.rope_factors;
    int rc = 0;
    for (int k = 0; rc >= 0 && k < WEIR_MODEL_ROPES_MAX; k++) {
        const struct weir_rope *rope = &hp->rope[k];
        for (uint32_t i = 0; i < n; i++) {
            float factor = 1.0f;
            if (rope->has_factors && t) {
                memcpy(&factor, (const uint8_t *)t->data + i * sizeof(float), sizeof(float));
            }
            double base = rope->base > 0 ? rope->base : 1.0;
            turns[i] = rope->scale * pow(base, -2.0 * i / hp->n_rot) / factor / TAU;
        }
        rc = weir_gpu_upload_bytes(&l->upload, (void *)(uintptr_t)l->m->weights.turns[k], turns,
                                   n * sizeof(*turns));
    }
    free(turns);
    return rc;
}

/* As progress counts them: whole rows, also where a part of each is taken. */
static uint64_t source_bytes(const struct weir_gpu_weights *w)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < w->n_stages; i++) {
        const struct weir_gpu_linear *l = &w->stages[i].linear;
        for (uint32_t k = 0; k < l->n_segments; k++) {
            n += (uint64_t)l->segments[k].plan.n_rows * l->segments[k].plan.row_bytes;
        }
    }
    return n;
}

static int load_all(struct loading *l, const struct weir_model *source)
{
    const struct weir_gguf_tensor *embed = source->weights.embed;
    int rc = weir_gpu_upload_bytes(&l->upload, (void *)(uintptr_t)l->m->weights.embed, embed->data,
                                   embed->n_bytes);
    rc = rc < 0 ? rc : send_turns(l, source);
    for (uint32_t i = 0; rc >= 0 && i < source->graph.n_ops; i++) {
        rc = load_stage(l, i, &source->graph.ops[i]);
    }
    return rc < 0 ? rc : weir_gpu_upload_flush(&l->upload);
}

int weir__gpu_weights_load(struct weir_gpu_rank *m, const struct weir_model *source,
                           const weir_load_params *params, struct weir_error *err)
{
    struct weir_gpu_device *d = &m->device;
    int rc = d->api->alloc(d->context, m->weights.memory_bytes, (void **)&m->weights.memory);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "memory for the weights", err);
    }
    cut_all(m, source, &(struct weir_gpu_cutter){.base = m->weights.memory});
    struct loading l = {.m = m, .params = params, .total_bytes = source_bytes(&m->weights)};
    rc = weir_gpu_upload_open(&l.upload, d);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "pinned memory for the upload", err);
    }
    rc = load_all(&l, source);
    weir_gpu_upload_close(&l.upload);
    if (rc == WEIR_E_CANCELLED) {
        return weir_error_set(err, rc, "the load was cancelled");
    }
    return rc < 0 ? weir_gpu_error(d, rc, "sending the weights to the device", err) : 0;
}

void weir__gpu_weights_finish(struct weir_gpu_rank *m)
{
    if (m->device.context) {
        m->device.api->release(m->device.context, m->weights.memory);
    }
    free(m->weights.stages);
    free(m->graph.ops);
    m->weights = (struct weir_gpu_weights){0};
    m->graph = (struct weir_graph){0};
}
