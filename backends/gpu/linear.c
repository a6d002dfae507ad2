/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/linear.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/gpu/crew.h"
#include "engine/gguf/gguf.h"
#include "kernels/linear/linear.h"

int weir_gpu_linear_plan(struct weir_gpu_linear *l, const struct weir_gpu_share *share,
                         const struct weir_hparams *whole, const struct weir_op *op, uint32_t lanes,
                         struct weir_error *err)
{
    *l = (struct weir_gpu_linear){.n_segments = op->n_weights};
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct weir_gguf_tensor *t = op->weights[i];
        struct weir_gpu_segment *s = &l->segments[i];
        s->slice = weir_gpu_share_slice(share, whole, op, i);
        int rc = weir_pack_plan(t->type, lanes, s->slice.n_rows, s->slice.n_columns, &s->plan);
        if (rc < 0) {
            return weir_error_set(err, rc,
                                  "tensor %.*s has a type or shape that no GPU kernel takes",
                                  (int)t->name.n, t->name.p);
        }
        s->plan.row_bytes = weir_tensor_row_bytes(t->type, t->dims[0]); /* to the next row */
        s->row_begin = l->n_rows;
        l->n_rows += s->plan.n_rows;
    }
    l->n_cols = l->segments[0].plan.n_cols;
    if (op->out == WEIR_BUFFER_LOGITS) {
        l->y_at = l->segments[0].slice.row;
        l->y_stride = (uint32_t)op->weights[0]->dims[1];
    }
    return 0;
}

/* Row tiles of one segment, packed by many threads into a pinned buffer. */
struct slice {
    const struct weir_pack_plan *plan;
    const void *source;
    uint32_t first; /* tile */
    uint8_t *to;
    float *scales; /* of all rows; NULL: the kind has none */
};

static void pack_share(void *arg, uint32_t begin, uint32_t end)
{
    const struct slice *s = arg;
    size_t tile_bytes = (size_t)s->plan->n_records * s->plan->record_bytes;
    size_t row = (size_t)(s->first + begin) * WEIR_TILE_ROWS;
    weir_pack_tiles(s->plan, s->source, s->first + begin, end - begin, s->to + begin * tile_bytes,
                    s->scales ? s->scales + row : NULL);
}

/* Gives back the whole pages of [begin, end) of a mapped file; a later read fetches them again. */
static void drop_source(const uint8_t *begin, const uint8_t *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)begin + page - 1) & ~(page - 1);
    uintptr_t last = (uintptr_t)end & ~(page - 1);
    if (first < last) {
        (void)madvise((void *)first, last - first, MADV_COLD);
    }
}

static int load_slice(struct slice *s, uint32_t n_tiles, uint8_t *memory, struct weir_gpu_upload *u,
                      uint32_t n_threads)
{
    size_t tile_bytes = (size_t)s->plan->n_records * s->plan->record_bytes;
    void *host = NULL;
    int rc = weir_gpu_upload_begin(u, &host);
    if (rc < 0) {
        return rc;
    }
    s->to = host;
    weir_gpu_crew_run(n_threads, n_tiles, pack_share, s);
    return weir_gpu_upload_end(u, memory + s->first * tile_bytes, n_tiles * tile_bytes);
}

static int load_segment(struct weir_gpu_segment *segment, const struct weir_gguf_tensor *t,
                        float *scales, struct weir_gpu_upload *u, uint32_t n_threads,
                        int (*progress)(void *arg, uint64_t n_bytes), void *arg)
{
    const struct weir_pack_plan *plan = &segment->plan;
    const size_t tile_bytes = (size_t)plan->n_records * plan->record_bytes;
    const size_t tiles_at_once = WEIR_GPU_SLICE_BYTES / tile_bytes;
    if (tiles_at_once == 0) {
        return WEIR_E_TOOBIG;
    }
    const struct weir_tensor_type_info *type = weir_tensor_type_info(t->type);
    const uint8_t *source = (const uint8_t *)t->data + segment->slice.row * plan->row_bytes +
                            (size_t)segment->slice.column / type->block_elems * type->block_bytes;
    struct slice s = {.plan = plan, .source = source, .scales = scales};
    for (uint32_t done = 0; done < plan->n_tiles;) {
        uint32_t left = plan->n_tiles - done;
        uint32_t n = left < tiles_at_once ? left : (uint32_t)tiles_at_once;
        s.first = done;
        int rc = load_slice(&s, n, segment->memory, u, n_threads);
        if (rc < 0) {
            return rc;
        }
        uint32_t first_row = done * WEIR_TILE_ROWS;
        uint32_t end_row = (done + n) * WEIR_TILE_ROWS;
        end_row = end_row < plan->n_rows ? end_row : plan->n_rows;
        drop_source(source + first_row * plan->row_bytes, source + end_row * plan->row_bytes);
        if (progress(arg, (uint64_t)(end_row - first_row) * plan->row_bytes) != 0) {
            return WEIR_E_CANCELLED;
        }
        done += n;
    }
    segment->matrix = weir_pack_matrix_at(plan, segment->memory);
    return scales ? weir_gpu_upload_bytes(u, segment->memory + plan->records_bytes, scales,
                                          plan->n_bytes - plan->records_bytes)
                  : 0;
}

int weir_gpu_linear_load(struct weir_gpu_linear *l, const struct weir_op *op,
                         struct weir_gpu_upload *u, uint32_t n_threads,
                         int (*progress)(void *arg, uint64_t n_bytes), void *arg)
{
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < l->n_segments; i++) {
        const struct weir_pack_plan *plan = &l->segments[i].plan;
        const size_t scale_bytes = plan->n_bytes - plan->records_bytes;
        float *scales = scale_bytes > 0 ? malloc(scale_bytes) : NULL;
        if (scale_bytes > 0 && !scales) {
            return WEIR_E_NOMEM;
        }
        rc = load_segment(&l->segments[i], op->weights[i], scales, u, n_threads, progress, arg);
        free(scales);
    }
    return rc;
}

bool weir_gpu_linear_takes_glu(const struct weir_gpu_linear *l)
{
    const struct weir_pack_plan *a = &l->segments[0].plan;
    const struct weir_pack_plan *b = &l->segments[1].plan;
    return l->n_segments == 2 && a->kind == b->kind && a->n_rows == b->n_rows;
}

static uint32_t glu_of(const struct weir_gpu_product *p)
{
    if (!p->glu) {
        return WEIR_GLU_NONE;
    }
    return p->activation == WEIR_ACTIVATION_SILU ? WEIR_GLU_SILU : WEIR_GLU_GELU;
}

int weir_gpu_linear_multiply(const struct weir_gpu_linear *l, struct weir_gpu_device *d,
                             const struct weir_gpu_product *p)
{
    struct weir_linear_args args = {
        .n_w = l->n_segments,
        .n_tokens = p->n_tokens,
        .x = p->x,
        .x_stride = l->n_cols,
        .y_stride = l->y_stride ? l->y_stride
                    : p->glu    ? l->n_rows / 2
                                : l->n_rows,
        .y = p->y ? p->y + l->y_at : NULL,
        .y_f16 = p->y_f16,
        .add = p->add,
        .glu = glu_of(p),
        .workspace = p->scratch,
    };
    for (uint32_t i = 0; i < l->n_segments; i++) {
        args.w[i] = l->segments[i].matrix;
        args.bias[i] = l->bias ? l->bias + l->segments[i].row_begin : NULL;
    }
    struct weir_linear_plan plan;
    int n = weir_linear_launch(&args, &d->info.props, &plan);
    int rc = n < 0 ? n : 0;
    for (int i = 0; rc >= 0 && i < n; i++) {
        rc = weir_gpu_device_launch(d, &plan.launches[i]);
    }
    return rc;
}
