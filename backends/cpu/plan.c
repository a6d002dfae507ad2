/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/plan.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "backends/cpu/pack.h"
#include "engine/gguf/gguf.h"

enum { STAGES_PER_OP = 3, FLOATS_MAX_BYTES = 1 << 30 };

struct builder {
    struct weir_cpu_plan *plan;
    const struct weir_model *model;
    struct weir_error *err;
    const struct weir_op **matrix_ops; /* [n_matrices] the op a matrix was packed for */
    enum weir_cpu_rows x;              /* where the residual stream is now */
    uint32_t last_norm;                /* index of the newest NORM stage */
};

/* A copy of an F32 tensor; NULL for a NULL tensor. On failure *failed is set. */
static const float *copy_floats(struct builder *b, const struct weir_gguf_tensor *t, bool *failed)
{
    if (!t) {
        return NULL;
    }
    float *copy = weir_arena_array(&b->plan->floats, t->dims[0], sizeof(float));
    if (!copy) {
        *failed = true;
        return NULL;
    }
    memcpy(copy, t->data, t->dims[0] * sizeof(float));
    return copy;
}

/* The biases of an op under each other; NULL when it has none. */
static const float *copy_biases(struct builder *b, const struct weir_op *op, bool *failed)
{
    if (!op->biases[0]) {
        return NULL;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        n += op->biases[i]->dims[0];
    }
    float *copy = weir_arena_array(&b->plan->floats, n, sizeof(float));
    if (!copy) {
        *failed = true;
        return NULL;
    }
    n = 0;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        memcpy(copy + n, op->biases[i]->data, op->biases[i]->dims[0] * sizeof(float));
        n += op->biases[i]->dims[0];
    }
    return copy;
}

static int init_matrix(struct builder *b, const struct weir_op *op, struct weir_cpu_matrix *m)
{
    struct weir_cpu_tensor tensors[WEIR_OP_WEIGHTS_MAX] = {{0}};
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct weir_gguf_tensor *t = op->weights[i];
        tensors[i] = (struct weir_cpu_tensor){t->type, (uint32_t)t->dims[1], t->data};
    }
    int rc = weir_cpu_matrix_init(m, b->plan->isa, (uint32_t)op->weights[0]->dims[0], tensors,
                                  op->n_weights, b->err);
    if (rc < 0) {
        weir_error_prefix(b->err, "tensor %.*s", (int)op->weights[0]->name.n,
                          op->weights[0]->name.p);
    }
    return rc;
}

/* One matrix per LINEAR, and one for EMBED when no LINEAR has the same weight. */
static int lay_out_matrices(struct builder *b)
{
    struct weir_cpu_plan *plan = b->plan;
    const struct weir_graph *graph = &b->model->graph;
    plan->matrices = calloc(graph->n_ops, sizeof(*plan->matrices));
    b->matrix_ops = calloc(graph->n_ops, sizeof(*b->matrix_ops));
    if (!plan->matrices || !b->matrix_ops) {
        return weir_error_set(b->err, WEIR_E_NOMEM, "out of memory for the plan");
    }
    bool is_tied = b->model->weights.head == b->model->weights.embed;
    size_t offset = 0;
    for (uint32_t i = 0; i < graph->n_ops; i++) {
        const struct weir_op *op = &graph->ops[i];
        if (op->kind != WEIR_OP_LINEAR && (op->kind != WEIR_OP_EMBED || is_tied)) {
            continue;
        }
        struct weir_cpu_matrix *m = &plan->matrices[plan->n_matrices];
        int rc = init_matrix(b, op, m);
        if (rc < 0) {
            return rc;
        }
        if (op->kind == WEIR_OP_LINEAR) {
            plan->step_bytes += m->size_bytes;
        }
        offset += m->size_bytes;
        b->matrix_ops[plan->n_matrices++] = op;
    }
    void *map = mmap(NULL, offset, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return weir_error_set(b->err, WEIR_E_NOMEM, "no memory for %zu MB of weights",
                              offset >> 20);
    }
    madvise(map, offset, MADV_HUGEPAGE);
    plan->storage = map;
    plan->storage_bytes = offset;
    offset = 0;
    for (uint32_t i = 0; i < plan->n_matrices; i++) {
        weir_cpu_matrix_bind(&plan->matrices[i], (char *)map + offset);
        offset += plan->matrices[i].size_bytes;
    }
    return 0;
}

/* lay_out_matrices() has made one of every op that asks. */
static const struct weir_cpu_matrix *matrix_of(const struct builder *b, const struct weir_op *op)
{
    uint32_t i = 0;
    while (b->matrix_ops[i]->weights[0] != op->weights[0]) {
        i++;
    }
    return &b->plan->matrices[i];
}

static struct weir_cpu_stage *append(struct builder *b, struct weir_cpu_stage stage)
{
    struct weir_cpu_stage *slot = &b->plan->stages[b->plan->n_stages++];
    *slot = stage;
    return slot;
}

static void append_norm(struct builder *b, const struct weir_op *op, bool *failed)
{
    enum weir_cpu_rows moved = b->x;
    if (op->post) {
        moved = b->x == WEIR_CPU_ROWS_X0 ? WEIR_CPU_ROWS_X1 : WEIR_CPU_ROWS_X0;
    }
    b->last_norm = b->plan->n_stages;
    append(b, (struct weir_cpu_stage){
                  .kind = WEIR_CPU_STAGE_NORM,
                  .layer = op->layer,
                  .in = b->x,
                  .moved = moved,
                  .out = WEIR_CPU_ROWS_N,
                  .input = WEIR_CPU_INPUT_N,
                  .norm = copy_floats(b, op->weights[0], failed),
                  .post = copy_floats(b, op->post, failed),
              });
    b->x = moved;
}

static enum weir_cpu_rows rows_of(const struct builder *b, enum weir_buffer buffer)
{
    switch (buffer) {
    case WEIR_BUFFER_QKV: return WEIR_CPU_ROWS_QKV;
    case WEIR_BUFFER_DELTA: return WEIR_CPU_ROWS_DELTA;
    case WEIR_BUFFER_LOGITS: return WEIR_CPU_ROWS_LOGITS;
    case WEIR_BUFFER_ATT: return WEIR_CPU_ROWS_ATT;
    case WEIR_BUFFER_H: return WEIR_CPU_ROWS_H;
    default: return b->x;
    }
}

static void note_reader(struct weir_cpu_plan *plan, const struct weir_cpu_matrix *matrix,
                        enum weir_cpu_input input)
{
    for (uint32_t i = 0; i < matrix->n_segments; i++) {
        uint32_t type = matrix->segments[i].type;
        if (type == WEIR_TENSOR_F32 || type == WEIR_TENSOR_F16 || type == WEIR_TENSOR_BF16) {
            plan->input_floats[input] = true;
        } else {
            plan->input_blocks[input] = true;
        }
    }
}

static void append_linear(struct builder *b, const struct weir_op *op, bool *failed)
{
    struct weir_cpu_stage stage = {
        .kind = WEIR_CPU_STAGE_LINEAR,
        .layer = op->layer,
        .out = rows_of(b, op->out),
        .matrix = matrix_of(b, op),
        .prologue = WEIR_CPU_NO_PROLOGUE,
        .bias = copy_biases(b, op, failed),
        .add = op->add,
    };
    if (op->in == WEIR_BUFFER_N) {
        stage.input = WEIR_CPU_INPUT_N;
        stage.prologue = b->last_norm;
    } else if (op->in == WEIR_BUFFER_ATT) {
        stage.input = WEIR_CPU_INPUT_ATT;
        stage.prologue = b->plan->n_stages;
        append(b, (struct weir_cpu_stage){
                      .kind = WEIR_CPU_STAGE_QUANTISE,
                      .layer = op->layer,
                      .in = WEIR_CPU_ROWS_ATT,
                      .input = WEIR_CPU_INPUT_ATT,
                  });
    } else { /* GLU has quantised its output */
        stage.input = WEIR_CPU_INPUT_H;
    }
    if (op->out == WEIR_BUFFER_GATE_UP) {
        stage.kind = WEIR_CPU_STAGE_GLU;
        stage.out = WEIR_CPU_ROWS_H;
    }
    if (stage.prologue != WEIR_CPU_NO_PROLOGUE) {
        b->plan->stages[stage.prologue].matrix = stage.matrix;
    }
    note_reader(b->plan, stage.matrix, stage.input);
    append(b, stage);
}

static void append_rope(struct builder *b, const struct weir_op *op, bool *failed)
{
    append(b, (struct weir_cpu_stage){
                  .kind = WEIR_CPU_STAGE_ROPE,
                  .layer = op->layer,
                  .q_norm = copy_floats(b, op->q_norm, failed),
                  .k_norm = copy_floats(b, op->k_norm, failed),
                  .rope = op->rope,
                  .scale = b->plan->hparams.attn_scale,
              });
}

static void append_attention(struct builder *b, const struct weir_op *op)
{
    /* The rotation of single tokens happens in here, with the ROPE stage's weights. */
    struct weir_cpu_stage stage = b->plan->stages[b->plan->n_stages - 1];
    stage.kind = WEIR_CPU_STAGE_ATTEND;
    stage.window = op->window;
    stage.scale = op->scale;
    append(b, stage);
    stage.kind = WEIR_CPU_STAGE_MERGE;
    append(b, stage);
}

static void append_op(struct builder *b, const struct weir_op *op, bool *failed)
{
    switch (op->kind) {
    case WEIR_OP_EMBED:
        append(b, (struct weir_cpu_stage){
                      .kind = WEIR_CPU_STAGE_EMBED,
                      .out = b->x,
                      .matrix = matrix_of(b, op),
                      .scale = op->scale,
                  });
        break;
    case WEIR_OP_NORM: append_norm(b, op, failed); break;
    case WEIR_OP_LINEAR: append_linear(b, op, failed); break;
    case WEIR_OP_ROPE_KV: append_rope(b, op, failed); break;
    case WEIR_OP_ATTENTION: append_attention(b, op); break;
    case WEIR_OP_GLU: break; /* inside the LINEAR before it */
    case WEIR_OP_SELECT:
        b->plan->select = b->plan->n_stages;
        append(b, (struct weir_cpu_stage){
                      .kind = WEIR_CPU_STAGE_SELECT,
                      .layer = op->layer,
                      .in = b->x,
                      .out = WEIR_CPU_ROWS_ATT,
                  });
        break;
    }
}

static int append_stages(struct builder *b)
{
    const struct weir_graph *graph = &b->model->graph;
    struct weir_cpu_plan *plan = b->plan;
    plan->stages = calloc((size_t)graph->n_ops * STAGES_PER_OP, sizeof(*plan->stages));
    if (!plan->stages) {
        return weir_error_set(b->err, WEIR_E_NOMEM, "out of memory for the plan");
    }
    bool failed = false;
    for (uint32_t i = 0; i < graph->n_ops; i++) {
        append_op(b, &graph->ops[i], &failed);
    }
    append(b, (struct weir_cpu_stage){.kind = WEIR_CPU_STAGE_SAMPLE});
    plan->rope_factors = copy_floats(b, b->model->weights.rope_factors, &failed);
    if (failed) {
        return weir_error_set(b->err, WEIR_E_NOMEM, "out of memory for the norm weights");
    }
    return 0;
}

static void set_widths(struct weir_cpu_plan *plan)
{
    const struct weir_hparams *hp = &plan->hparams;
    plan->widths[WEIR_CPU_ROWS_X0] = hp->n_embd;
    plan->widths[WEIR_CPU_ROWS_X1] = hp->has_post_norm ? hp->n_embd : 0;
    plan->widths[WEIR_CPU_ROWS_N] = hp->n_embd;
    plan->widths[WEIR_CPU_ROWS_DELTA] = hp->has_post_norm ? hp->n_embd : 0;
    plan->widths[WEIR_CPU_ROWS_QKV] = weir_graph_width(hp, WEIR_BUFFER_QKV);
    plan->widths[WEIR_CPU_ROWS_ATT] = weir_graph_width(hp, WEIR_BUFFER_ATT);
    plan->widths[WEIR_CPU_ROWS_H] = hp->n_ff;
    plan->widths[WEIR_CPU_ROWS_LOGITS] = hp->n_vocab;
    plan->input_cols[WEIR_CPU_INPUT_N] = hp->n_embd;
    plan->input_cols[WEIR_CPU_INPUT_ATT] = plan->widths[WEIR_CPU_ROWS_ATT];
    plan->input_cols[WEIR_CPU_INPUT_H] = hp->n_ff;
}

int weir_cpu_plan_build(struct weir_cpu_plan *plan, const struct weir_model *model,
                        const struct weir_cpu_isa *isa, struct weir_cpu_pool *pool,
                        int (*progress)(void *arg, float fraction), void *progress_arg,
                        struct weir_error *err)
{
    *plan = (struct weir_cpu_plan){.hparams = model->hparams, .isa = isa};
    weir_arena_init(&plan->floats, FLOATS_MAX_BYTES);
    set_widths(plan);
    struct builder b = {.plan = plan, .model = model, .err = err, .x = WEIR_CPU_ROWS_X0};
    int rc = lay_out_matrices(&b);
    if (rc >= 0) {
        rc = append_stages(&b);
    }
    if (rc >= 0) {
        rc = weir_cpu_pack(plan->matrices, plan->n_matrices, pool, progress, progress_arg);
        if (rc < 0) {
            weir_error_set(err, rc, "the load was cancelled");
        }
    }
    free(b.matrix_ops);
    if (rc < 0) {
        weir_cpu_plan_finish(plan);
    }
    return rc;
}

void weir_cpu_plan_finish(struct weir_cpu_plan *plan)
{
    if (plan->storage) {
        munmap(plan->storage, plan->storage_bytes);
    }
    free(plan->matrices);
    free(plan->stages);
    weir_arena_finish(&plan->floats);
    *plan = (struct weir_cpu_plan){0};
}
