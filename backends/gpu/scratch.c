/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a step works in: everything is cut once, at load. */
#include "backends/gpu/rank.h"
#include "kernels/linear/linear.h"

static void cut_rows(struct weir_gpu_rank *m, struct weir_gpu_cutter *on_device)
{
    struct weir_gpu_scratch *s = &m->scratch;
    for (int i = 1; i < WEIR_BUFFER__COUNT; i++) {
        uint64_t width = weir_graph_width(&m->hparams, (enum weir_buffer)i);
        bool is_glu = i == WEIR_BUFFER_GATE_UP || i == WEIR_BUFFER_H;
        bool has_delta = m->hparams.has_post_norm || m->share.n_ranks > 1;
        if ((i == WEIR_BUFFER_DELTA && !has_delta) || i == WEIR_BUFFER_N ||
            (is_glu && !m->weights.has_separate_glu)) {
            continue;
        }
        if (i == WEIR_BUFFER_LOGITS) {
            s->rows[i] = weir_gpu_cut(on_device, m->limits.max_parts * width, sizeof(float));
            s->chosen[i] = s->rows[i];
            continue;
        }
        s->rows[i] = weir_gpu_cut(on_device, m->limits.max_rows * width, sizeof(float));
        if (i != WEIR_BUFFER_QKV) {
            s->chosen[i] = weir_gpu_cut(on_device, m->limits.max_parts * width, sizeof(float));
        }
    }
}

static void cut_all(struct weir_gpu_rank *m, struct weir_gpu_cutter *on_device,
                    struct weir_gpu_cutter *pinned)
{
    struct weir_gpu_scratch *s = &m->scratch;
    const struct weir_hparams *hp = &m->hparams;
    struct weir_gpu_batch shape = {0};
    weir_gpu_batch_lay_out(&shape, &m->limits);
    size_t batch_bytes = shape.offsets[WEIR_GPU_PIECE__COUNT];
    s->batch_host = weir_gpu_cut(pinned, batch_bytes, 1);
    s->batch_device = weir_gpu_cut(on_device, batch_bytes, 1);
    cut_rows(m, on_device);
    const uint64_t att = weir_graph_width(hp, WEIR_BUFFER_ATT);
    const uint64_t widest = att > hp->n_embd ? att : hp->n_embd;
    s->halves = weir_gpu_cut(on_device, m->limits.max_rows * widest, sizeof(*s->halves));
    s->halves_h =
        weir_gpu_cut(on_device, (uint64_t)m->limits.max_rows * hp->n_ff, sizeof(*s->halves_h));
    s->linear_bytes = weir_linear_workspace_bytes(&m->device.info.props);
    s->linear = weir_gpu_cut(on_device, s->linear_bytes, 1);
    s->partials = weir_gpu_cut(on_device,
                               shape.max_items * weir_attn_partial_floats(hp->n_head, hp->head_dim),
                               sizeof(float));
    s->arrivals =
        weir_gpu_cut(on_device, (uint64_t)m->limits.max_parts * hp->n_head, sizeof(uint32_t));
    if (m->share.rank == 0) { /* the others only help with the logits */
        weir_gpu_sampling_cut(&m->sampling, &m->limits, on_device, pinned);
    }
}

void weir__gpu_scratch_sizes(struct weir_gpu_rank *m, uint64_t *ret_device, uint64_t *ret_pinned)
{
    struct weir_gpu_cutter on_device = {0};
    struct weir_gpu_cutter pinned = {0};
    cut_all(m, &on_device, &pinned);
    *ret_device = on_device.used_bytes;
    *ret_pinned = pinned.used_bytes;
}

int weir__gpu_scratch_init(struct weir_gpu_rank *m, struct weir_error *err)
{
    struct weir_gpu_scratch *s = &m->scratch;
    struct weir_gpu_device *d = &m->device;
    weir__gpu_scratch_sizes(m, &s->memory_bytes, &s->pinned_bytes);
    int rc = d->api->alloc(d->context, s->memory_bytes, (void **)&s->memory);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "memory for a step", err);
    }
    rc = d->api->host_alloc(d->context, s->pinned_bytes, (void **)&s->pinned);
    if (rc < 0) {
        return weir_gpu_error(d, rc, "pinned memory for a step", err);
    }
    cut_all(m, &(struct weir_gpu_cutter){.base = s->memory},
            &(struct weir_gpu_cutter){.base = s->pinned});
    rc = weir_gpu_batch_init(&m->batch, &m->limits, s->batch_host, s->batch_device);
    if (rc < 0) {
        return weir_error_set(err, rc, "out of memory");
    }
    /* What kernels count up from zero and leave at zero. */
    rc = d->api->fill(d->stream, s->memory, 0, s->memory_bytes);
    return rc < 0 ? weir_gpu_error(d, rc, "clearing the memory of a step", err) : 0;
}

void weir__gpu_scratch_finish(struct weir_gpu_rank *m)
{
    weir_gpu_batch_finish(&m->batch);
    if (m->device.context) {
        m->device.api->release(m->device.context, m->scratch.memory);
        m->device.api->host_release(m->device.context, m->scratch.pinned);
    }
    m->scratch = (struct weir_gpu_scratch){0};
}
