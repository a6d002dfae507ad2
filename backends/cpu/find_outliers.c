/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/find_outliers.h"

#include <math.h>
#include <stdlib.h>

enum {
    SEQUENCES =
        4,      /* of the trial; together they are a narrow step, in which thread 0 sees it all */
    LENGTH = 8, /* tokens of a sequence, within its first page */
    UNIT = 16,  /* sums are integers, so that their order does not matter */
    RATIO_MAX = 4096,
    OUTLIER_RATIO = 6, /* a column's mean magnitude over that of all columns */
};

void weir__cpu_outliers_see(uint32_t *sums, const float *rows, uint32_t n_rows, uint32_t n_cols)
{
    for (uint32_t i = 0; sums && i < n_rows; i++, rows += n_cols) {
        float mean = 0.0f;
        for (uint32_t k = 0; k < n_cols; k++) {
            mean += fabsf(rows[k]);
        }
        mean /= (float)n_cols;
        if (!(mean > 0.0f) || !isfinite(mean)) {
            continue;
        }
        for (uint32_t k = 0; k < n_cols; k++) {
            float ratio = fabsf(rows[k]) / mean;
            ratio = ratio < RATIO_MAX ? ratio : RATIO_MAX;
            sums[k] += (uint32_t)lrintf(ratio * UNIT);
        }
    }
}

static bool is_product(const struct weir_cpu_stage *s)
{
    return (s->kind == WEIR_CPU_STAGE_LINEAR || s->kind == WEIR_CPU_STAGE_GLU) &&
           s->prologue != WEIR_CPU_NO_PROLOGUE;
}

/* One token of sequences [first, first + n): any tokens do, these are spread over the vocabulary.
 */
static int step(struct weir_cpu_exec *e, uint32_t first, uint32_t n, uint32_t pos)
{
    weir_step_part parts[SEQUENCES];
    weir_step_result results[SEQUENCES] = {{0}};
    int32_t tokens[SEQUENCES];
    uint32_t pages[SEQUENCES];
    for (uint32_t i = 0; i < n; i++) {
        uint64_t number = (uint64_t)(first + i) * LENGTH + pos + 1;
        tokens[i] = (int32_t)(number * 2654435761u % e->plan->hparams.n_vocab);
        pages[i] = i;
        parts[i] = (weir_step_part){
            .flags = WEIR_STEP_SAMPLE,
            .pos = pos,
            .n_tokens = 1,
            .tokens = &tokens[i],
            .pages = &pages[i],
            .n_pages = 1,
        };
    }
    weir_step_batch batch = {
        .struct_size = sizeof(batch),
        .part_size = sizeof(parts[0]),
        .parts = parts,
        .n_parts = n,
        .n_tokens = n,
    };
    int rc = weir_cpu_batch_set(&e->batch, &batch, results);
    return rc < 0 ? rc : weir_cpu_exec_run_whole(e);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int run_trial(struct weir_cpu_exec *e)
{
    const struct weir_cpu_limits *l = &e->batch.limits;
    const uint32_t at_once =
        least(least(SEQUENCES, l->max_parts), least(l->max_tokens, l->n_pages));
    int rc = 0;
    for (uint32_t first = 0; first < SEQUENCES && rc >= 0; first += at_once) {
        uint32_t n = least(at_once, SEQUENCES - first);
        for (uint32_t pos = 0; pos < least(LENGTH, l->n_ctx) && rc >= 0; pos++) {
            rc = step(e, first, n, pos);
        }
    }
    return rc;
}

/* The columns that stand out, the largest first. */
static void choose(const uint32_t *sums, uint32_t n_cols, struct weir_cpu_outliers *o)
{
    uint64_t total = 0;
    for (uint32_t k = 0; k < n_cols; k++) {
        total += sums[k];
    }
    while (o->n < WEIR_CPU_OUTLIERS_MAX) {
        uint32_t best = n_cols;
        for (uint32_t k = 0; k < n_cols; k++) {
            bool is_taken = o->n > 0 && o->columns[0] == k;
            if (!is_taken && (best == n_cols || sums[k] > sums[best])) {
                best = k;
            }
        }
        if (best == n_cols || (uint64_t)sums[best] * n_cols < OUTLIER_RATIO * total || !total) {
            return;
        }
        o->columns[o->n++] = best;
    }
}

struct reading {
    const struct weir_cpu_matrix *matrix;
    uint32_t column, n_threads;
    float *out;
};

static void read_share(void *arg, uint32_t thread)
{
    const struct reading *r = arg;
    const uint64_t n = r->matrix->n_rows;
    weir_cpu_matrix_column(r->matrix, r->column, (uint32_t)(n * thread / r->n_threads),
                           (uint32_t)(n * (thread + 1) / r->n_threads), r->out);
}

static int set_outliers(struct weir_cpu_plan *plan, struct weir_cpu_pool *pool,
                        struct weir_cpu_matrix *m, const uint32_t *sums)
{
    struct weir_cpu_outliers o = {0};
    choose(sums, m->n_cols, &o);
    for (uint32_t i = 0; i < o.n; i++) {
        float *weights = weir_arena_array(&plan->floats, m->n_rows, sizeof(*weights));
        if (!weights) {
            return WEIR_E_NOMEM;
        }
        struct reading r = {m, o.columns[i], weir_cpu_pool_size(pool), weights};
        weir_cpu_pool_run(pool, read_share, &r);
        o.weights[i] = weights;
    }
    m->outliers = o;
    return 0;
}

static int find(struct weir_cpu_plan *plan, struct weir_cpu_exec *e)
{
    for (uint32_t i = 0; i < plan->n_stages; i++) {
        const struct weir_cpu_stage *s = &plan->stages[i];
        if (is_product(s) && plan->input_blocks[s->input]) {
            e->seen[i] = calloc(s->matrix->n_cols, sizeof(*e->seen[i]));
            if (!e->seen[i]) {
                return WEIR_E_NOMEM;
            }
        }
    }
    int rc = run_trial(e);
    for (uint32_t i = 0; i < plan->n_stages && rc >= 0; i++) {
        if (e->seen[i]) {
            struct weir_cpu_matrix *m = &plan->matrices[plan->stages[i].matrix - plan->matrices];
            rc = set_outliers(plan, e->pool, m, e->seen[i]);
        }
    }
    return rc;
}

int weir_cpu_find_outliers(struct weir_cpu_plan *plan, struct weir_cpu_exec *e)
{
    e->seen = calloc(plan->n_stages, sizeof(*e->seen));
    if (!e->seen) {
        return WEIR_E_NOMEM;
    }
    int rc = find(plan, e);
    for (uint32_t i = 0; i < plan->n_stages; i++) {
        free(e->seen[i]);
    }
    free(e->seen);
    e->seen = NULL;
    return rc;
}
