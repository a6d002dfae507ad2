/* SPDX-License-Identifier: Apache-2.0 */
/* The attention kernel of ops.h, a part of ops_impl.h: no include guard by purpose.
 *
 * Per block of 64 keys: scores of all rows (tiles of rows x key vectors in registers), the online
 * softmax of each row, then the values (tiles of rows x value vectors). A tile's shape only says
 * which results are computed side by side: each is one chain of multiply-adds over ascending
 * dimensions or keys, so that a row's bits do not depend on its neighbours. */

/* What one block of keys means for all rows of a call. */
struct block {
    const struct weir_cpu_attend *a;
    uint32_t key_begin; /* first key of the block, a multiple of 64 */
    uint32_t begin;     /* keys [begin, end) of the block that any row may see */
    uint32_t end;
    uint32_t next; /* keys from here to the same key of the block behind; 0: there is none */
};

INLINE const uint8_t *page_of(const struct weir_cpu_attend *a, uint32_t key)
{
    return a->kv + a->pages[key / KEYS_PER_PAGE] * a->page_stride;
}

/* LANES elements of a key or value. */
INLINE vf load_elements(const uint8_t *p, enum weir_cpu_kv_type type)
{
    return type == WEIR_CPU_KV_I8 ? vf_load_i8((const int8_t *)p)
                                  : vf_load_half((const uint16_t *)(const void *)p);
}

/* The scales of LANES keys from `key` on. */
INLINE vf load_scales(const uint8_t *scales, uint32_t key)
{
    return vf_load_half((const uint16_t *)(const void *)scales + key % KEYS_PER_PAGE);
}

/* scores[r][key] = sum over d, ascending, of q[r][d] * k[d][key], times the key's scale, for R rows
 * and K key vectors from key vector `first` of the block on. */
INLINE void score_tile(const struct block *b, uint32_t row, uint32_t first, int R, int K,
                       enum weir_cpu_kv_type type)
{
    const size_t step = KEYS_PER_PAGE * weir_cpu_kv_element_bytes(type); /* from d to d + 1 */
    const struct weir_cpu_attend *a = b->a;
    const uint32_t head_dim = a->head_dim;
    const float *q = a->q + (size_t)row * head_dim;
    const uint8_t *k[ATTEND_KEYS * 2], *coming[ATTEND_KEYS * 2];
    for (int j = 0; j < K; j++) {
        uint32_t key = b->key_begin + (first + (uint32_t)j) * LANES;
        size_t at =
            weir_cpu_kv_keys_at(type) + (key % KEYS_PER_PAGE) * weir_cpu_kv_element_bytes(type);
        k[j] = page_of(a, key) + at;
        coming[j] = page_of(a, key + b->next) + at;
    }
    vf acc[ATTEND_ROWS][ATTEND_KEYS * 2];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < K; j++) {
            acc[r][j] = vf_set(0.0f);
        }
    }
    for (uint32_t d = 0; d < head_dim; d++) {
        vf key[ATTEND_KEYS * 2];
#pragma GCC unroll 4
        for (int j = 0; j < K; j++) {
            key[j] = load_elements(k[j] + d * step, type);
            if (row == 0) { /* pages lie far apart: no hardware foresees the next one */
                __builtin_prefetch(coming[j] + d * step);
            }
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            vf x = vf_set(q[(size_t)r * head_dim + d]);
#pragma GCC unroll 4
            for (int j = 0; j < K; j++) {
                acc[r][j] = vf_fma(x, key[j], acc[r][j]);
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < K; j++) {
            float *s = a->scores + (size_t)(row + (uint32_t)r) * WEIR_CPU_ATTEND_BLOCK;
            uint32_t column = (first + (uint32_t)j) * LANES;
            if (type == WEIR_CPU_KV_I8) {
                uint32_t key = b->key_begin + column;
                acc[r][j] = vf_mul(acc[r][j], load_scales(page_of(a, key), key));
            }
            vf_store(s + column, acc[r][j]);
        }
    }
}

/* One instance per row count and type, so that all accumulators are registers. */
#define SCORE_ROWS(R, K)                                                                           \
    static void score_##R##x##K(const struct block *b, uint32_t row, uint32_t first)               \
    {                                                                                              \
        if (b->a->kv_type == WEIR_CPU_KV_I8) {                                                     \
            score_tile(b, row, first, R, K, WEIR_CPU_KV_I8);                                       \
        } else {                                                                                   \
            score_tile(b, row, first, R, K, WEIR_CPU_KV_F16);                                      \
        }                                                                                          \
    }
SCORE_ROWS(1, 1)
#if LANES > 1
SCORE_ROWS(1, 4)
SCORE_ROWS(2, 1)
SCORE_ROWS(2, 4)
SCORE_ROWS(3, 1)
SCORE_ROWS(3, 4)
SCORE_ROWS(6, 1)
SCORE_ROWS(6, 2)
#endif
#if LANES > 8
SCORE_ROWS(12, 1)
SCORE_ROWS(12, 2)
#endif
#undef SCORE_ROWS

struct score_tile_shape {
    uint32_t n_rows, n_keys;
    void (*full)(const struct block *b, uint32_t row, uint32_t first); /* n_keys key vectors */
    void (*one)(const struct block *b, uint32_t row, uint32_t first);  /* one key vector */
};

static const struct score_tile_shape score_shapes[] = {
#if LANES > 8
    {12, 2, score_12x2, score_12x1},
#endif
#if LANES > 1
    {6, 2, score_6x2, score_6x1},    {3, 4, score_3x4, score_3x1},
    {2, 4, score_2x4, score_2x1},    {1, 4, score_1x4, score_1x1},
#else
    {1, 1, score_1x1, score_1x1},
#endif
};

static void block_scores(const struct block *b)
{
    const uint32_t begin = (b->begin - b->key_begin) / LANES;
    const uint32_t end = (b->end - b->key_begin + LANES - 1) / LANES;
    const struct score_tile_shape *shape = score_shapes;
    for (uint32_t row = 0; row < b->a->n_rows; row += shape->n_rows) {
        while (shape->n_rows > b->a->n_rows - row) {
            shape++;
        }
        uint32_t j = begin;
        for (; j + shape->n_keys <= end; j += shape->n_keys) {
            shape->full(b, row, j);
        }
        for (; j < end; j++) {
            shape->one(b, row, j);
        }
    }
}

/* The online softmax (Milakov and Gimelshein, arXiv 1805.02867) of one row over one block: turns
 * scores into exp(score - max), times the value's scale, and returns the factor for what was summed
 * before. */
static float block_softmax(const struct block *b, uint32_t row, float *lane_sums)
{
    const struct weir_cpu_attend *a = b->a;
    float *s = a->scores + (size_t)row * WEIR_CPU_ATTEND_BLOCK;
    const vf none = vf_set(-INFINITY);
    const uint32_t pos = a->pos + row / a->n_heads;
    const uint32_t low = a->window && pos + 1 > a->window ? pos + 1 - a->window : 0;
    const uint32_t begin = (b->begin - b->key_begin) / LANES;
    const uint32_t end = (b->end - b->key_begin + LANES - 1) / LANES;
    vf largest = none;
    for (uint32_t j = begin; j < end; j++) {
        int64_t key = (int64_t)b->key_begin + j * LANES;
        vf v = vf_load(s + j * LANES);
        if (key < low || key + LANES > (int64_t)pos + 1) {
            int64_t from = (int64_t)low - key;
            int64_t to = (int64_t)pos + 1 - key;
            v = vf_keep_lanes(v,
                              from < 0       ? 0
                              : from > LANES ? LANES
                                             : (int)from,
                              to < 0       ? 0
                              : to > LANES ? LANES
                                           : (int)to,
                              none);
            vf_store(s + j * LANES, v);
        }
        largest = vf_max(largest, v);
    }
    float old = a->max[row];
    float now = vf_largest(largest);
    now = now > old ? now : old;
    if (now == -INFINITY) { /* nothing visible yet: weights 0, as exp(-inf) gives */
        now = 0.0f;
    } else {
        a->max[row] = now;
    }
    const vf shift = vf_set(now);
    const float factor = old == now ? 1.0f : exp_one(old - now);
    vf sum = vf_mul(vf_load(lane_sums), vf_set(factor));
    for (uint32_t j = begin; j < end; j++) {
        vf p = vf_exp(vf_sub(vf_load(s + j * LANES), shift));
        sum = vf_add(sum, p);
        if (a->kv_type == WEIR_CPU_KV_I8) {
            uint32_t key = b->key_begin + j * LANES;
            p = vf_mul(p, load_scales(page_of(a, key) + weir_cpu_kv_scale_bytes(a->kv_type), key));
        }
        vf_store(s + j * LANES, p);
    }
    vf_store(lane_sums, sum);
    return factor;
}

/* out[r][column...] = out * factor[r] + sum over keys, ascending, of p[r][key] * v[key][column...]
 * for R rows and C vectors of columns. */
INLINE void value_tile(const struct block *b, const float *factor, uint32_t row, uint32_t column,
                       int R, int C, enum weir_cpu_kv_type type)
{
    const size_t element = weir_cpu_kv_element_bytes(type);
    const struct weir_cpu_attend *a = b->a;
    const uint32_t head_dim = a->head_dim;
    const float *p = a->scores + (size_t)row * WEIR_CPU_ATTEND_BLOCK;
    float *out = a->out + (size_t)row * head_dim + column;
    vf acc[VALUE_ROWS][VALUE_VECS];
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
        vf f = vf_set(factor[row + (uint32_t)r]);
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            acc[r][c] = vf_mul(vf_load(out + (size_t)r * head_dim + (uint32_t)c * LANES), f);
        }
    }
    for (uint32_t key = b->begin; key < b->end; key++) {
        const uint8_t *v = page_of(a, key) + weir_cpu_kv_values_at(type, head_dim) +
                           ((size_t)(key % KEYS_PER_PAGE) * head_dim + column) * element;
        const float *weight = p + (key - b->key_begin);
        if (row == 0 && column == 0) {
            const uint8_t *coming = page_of(a, key + b->next) + (v - page_of(a, key));
            for (size_t at = 0; at < head_dim * element; at += 64) { /* a line */
                __builtin_prefetch(coming + at);
            }
        }
        vf value[VALUE_VECS];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            value[c] = load_elements(v + (uint32_t)c * LANES * element, type);
        }
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            vf w = vf_set(weight[(size_t)r * WEIR_CPU_ATTEND_BLOCK]);
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) {
                acc[r][c] = vf_fma(w, value[c], acc[r][c]);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            vf_store(out + (size_t)r * head_dim + (uint32_t)c * LANES, acc[r][c]);
        }
    }
}

INLINE void value_rows(const struct block *b, const float *factor, uint32_t row, int R,
                       enum weir_cpu_kv_type type)
{
    uint32_t column = 0;
    for (; column + VALUE_VECS * LANES <= b->a->head_dim; column += VALUE_VECS * LANES) {
        value_tile(b, factor, row, column, R, VALUE_VECS, type);
    }
    for (; column < b->a->head_dim; column += LANES) {
        value_tile(b, factor, row, column, R, 1, type);
    }
}

#define VALUE_ROW_COUNT(R)                                                                         \
    static void value_##R(const struct block *b, const float *factor, uint32_t row)                \
    {                                                                                              \
        if (b->a->kv_type == WEIR_CPU_KV_I8) {                                                     \
            value_rows(b, factor, row, R, WEIR_CPU_KV_I8);                                         \
        } else {                                                                                   \
            value_rows(b, factor, row, R, WEIR_CPU_KV_F16);                                        \
        }                                                                                          \
    }
VALUE_ROW_COUNT(1)
#if LANES > 1
VALUE_ROW_COUNT(2)
VALUE_ROW_COUNT(3)
#endif
#if LANES > 8
VALUE_ROW_COUNT(6)
#endif
#undef VALUE_ROW_COUNT

static void block_values(const struct block *b, const float *factor)
{
    uint32_t row = 0;
    uint32_t n_rows = b->a->n_rows;
#if LANES > 8
    for (; row + 6 <= n_rows; row += 6) {
        value_6(b, factor, row);
    }
#endif
#if LANES > 1
    for (; row + 3 <= n_rows; row += 3) {
        value_3(b, factor, row);
    }
    for (; row + 2 <= n_rows; row += 2) {
        value_2(b, factor, row);
    }
#endif
    for (; row < n_rows; row++) {
        value_1(b, factor, row);
    }
}

static void attend(const struct weir_cpu_attend *a)
{
    float lane_sums[ROWS_MAX][LANES];
    float factor[ROWS_MAX];
    const uint32_t last_pos = a->pos + (a->n_rows - 1) / a->n_heads;
    const uint32_t low = a->window && a->pos + 1 > a->window ? a->pos + 1 - a->window : 0;
    uint32_t begin = a->chunk * WEIR_CPU_ATTEND_CHUNK;
    uint32_t end = begin + WEIR_CPU_ATTEND_CHUNK;
    begin = begin < low ? low : begin;
    end = end > last_pos + 1 ? last_pos + 1 : end;
    for (uint32_t r = 0; r < a->n_rows; r++) {
        a->max[r] = -INFINITY;
        memset(lane_sums[r], 0, sizeof(lane_sums[r]));
    }
    memset(a->out, 0, (size_t)a->n_rows * a->head_dim * sizeof(float));
    while (begin < end) {
        uint32_t key_begin = begin / WEIR_CPU_ATTEND_BLOCK * WEIR_CPU_ATTEND_BLOCK;
        uint32_t key_end = key_begin + WEIR_CPU_ATTEND_BLOCK;
        uint32_t next = key_end + WEIR_CPU_ATTEND_BLOCK <= end ? WEIR_CPU_ATTEND_BLOCK : 0;
        struct block b = {a, key_begin, begin, key_end < end ? key_end : end, next};
        block_scores(&b);
        for (uint32_t r = 0; r < a->n_rows; r++) {
            factor[r] = block_softmax(&b, r, lane_sums[r]);
        }
        block_values(&b, factor);
        begin = key_end;
    }
    for (uint32_t r = 0; r < a->n_rows; r++) {
        a->sum[r] = vf_sum(vf_load(lane_sums[r]));
    }
}

static void attend_merge(float *max, float *sum, float *out, float chunk_max, float chunk_sum,
                         const float *chunk_out, uint32_t head_dim)
{
    if (chunk_max == -INFINITY) {
        return;
    }
    float now = *max > chunk_max ? *max : chunk_max;
    float keep = exp_one(*max - now);
    float take = exp_one(chunk_max - now);
    *max = now;
    *sum = *sum * keep + chunk_sum * take;
    for (uint32_t i = 0; i < head_dim; i += LANES) {
        vf rest = vf_mul(vf_load(out + i), vf_set(keep));
        vf_store(out + i, vf_fma(vf_load(chunk_out + i), vf_set(take), rest));
    }
}
