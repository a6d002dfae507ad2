/* SPDX-License-Identifier: Apache-2.0 */
/* Every weight type on every instruction set of this machine, against kernels/linear/linear_ref.h.
 * `test_linear --bench [ISA]` measures instead. */
#include "backends/cpu/linear/linear.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/quant/dequant.h"
#include "kernels/linear/linear_ref.h"
#include "tests/support/cmocka.h"

static const struct {
    const char *name;
    uint32_t id;
    uint32_t block_cols;
    uint8_t half_at[2]; /* offsets of the binary16 scales in a block */
    uint8_t n_halves;
} types[] = {
    {"f32", WEIR_TENSOR_F32, 1, {0}, 0},        {"f16", WEIR_TENSOR_F16, 1, {0}, 0},
    {"bf16", WEIR_TENSOR_BF16, 1, {0}, 0},      {"q4_0", WEIR_TENSOR_Q4_0, 32, {0}, 1},
    {"q4_1", WEIR_TENSOR_Q4_1, 32, {0, 2}, 2},  {"q5_0", WEIR_TENSOR_Q5_0, 32, {0}, 1},
    {"q5_1", WEIR_TENSOR_Q5_1, 32, {0, 2}, 2},  {"q8_0", WEIR_TENSOR_Q8_0, 32, {0}, 1},
    {"q4_K", WEIR_TENSOR_Q4_K, 256, {0, 2}, 2}, {"q5_K", WEIR_TENSOR_Q5_K, 256, {0, 2}, 2},
    {"q6_K", WEIR_TENSOR_Q6_K, 256, {208}, 1},
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]), Q8_0_INDEX = 7 };

struct rng {
    uint64_t state;
};

/* SplitMix64 (Steele, Lea, Flood, 2014). */
static uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float rng_float(struct rng *r)
{
    return (float)(int32_t)rng_next(r) * 0x1p-31f;
}

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static void *aligned_bytes(size_t n)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, n ? n : 64), 0);
    return p;
}

/* Finite binary16 between about 2^-9 and 2^-5, any sign; rarely zero or subnormal. */
static uint16_t random_half(struct rng *r)
{
    uint64_t v = rng_next(r);
    if (v % 64 == 0) {
        return (uint16_t)(v >> 16 & 0x83ff);
    }
    return (uint16_t)((v >> 16 & 0x83ff) | (6 + (v >> 40) % 4) << 10);
}

static void random_floats(struct rng *r, uint32_t type, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float f = rng_float(r);
        uint32_t bits;
        memcpy(&bits, &f, sizeof(bits));
        uint16_t h = type == WEIR_TENSOR_F16 ? random_half(r) : (uint16_t)(bits >> 16);
        if (type == WEIR_TENSOR_F32) {
            memcpy(p + 4 * i, &f, 4);
        } else {
            memcpy(p + 2 * i, &h, 2);
        }
    }
}

/* Valid blocks with random quants and sane scales. */
static uint8_t *random_tensor(struct rng *r, size_t t, uint32_t n_rows, uint32_t n_cols)
{
    size_t row_bytes = weir_tensor_row_bytes(types[t].id, n_cols);
    uint8_t *data = must(malloc(row_bytes * n_rows));
    if (types[t].block_cols == 1) {
        random_floats(r, types[t].id, data, (size_t)n_rows * n_cols);
        return data;
    }
    for (size_t i = 0; i < row_bytes * n_rows; i++) {
        data[i] = (uint8_t)rng_next(r);
    }
    size_t n_blocks = (size_t)n_rows * n_cols / types[t].block_cols;
    size_t block_bytes = row_bytes * n_rows / n_blocks;
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t h = 0; h < types[t].n_halves; h++) {
            uint16_t half = random_half(r);
            memcpy(data + b * block_bytes + types[t].half_at[h], &half, 2);
        }
    }
    return data;
}

static void pack(struct weir_cpu_matrix *m, const struct weir_cpu_isa *isa, uint32_t n_cols,
                 const struct weir_cpu_tensor *tensors, uint32_t n_tensors, void **ret_storage)
{
    assert_int_equal(weir_cpu_matrix_init(m, isa, n_cols, tensors, n_tensors, NULL), 0);
    *ret_storage = aligned_bytes(m->size_bytes);
    memset(*ret_storage, 0xa5, m->size_bytes);
    weir_cpu_matrix_bind(m, *ret_storage);
    uint32_t cut = m->n_tiles / 3;
    weir_cpu_matrix_pack(m, cut, m->n_tiles);
    weir_cpu_matrix_pack(m, 0, cut);
}

/* One matrix of one tensor, and activations for it. */
struct fixture {
    const struct weir_cpu_isa *isa;
    size_t type;
    uint32_t n_rows, n_cols, n_tokens;
    uint8_t *tensor;
    float *x;
    void *storage, *act_storage;
    struct weir_cpu_matrix m;
    struct weir_cpu_act act;
};

static void fixture_pack(struct fixture *f)
{
    struct weir_cpu_tensor t = {.type = types[f->type].id, .n_rows = f->n_rows, .data = f->tensor};
    pack(&f->m, f->isa, f->n_cols, &t, 1, &f->storage);
    f->act_storage = aligned_bytes(weir_cpu_act_bytes(f->n_cols, f->n_tokens));
    memset(f->act_storage, 0xff, weir_cpu_act_bytes(f->n_cols, f->n_tokens));
    weir_cpu_act_init(&f->act, f->act_storage, f->n_cols, f->n_tokens);
    weir_cpu_act_set_rows(&f->act, f->x, f->n_cols);
    weir_cpu_act_quantise(&f->act, f->isa, &f->m.outliers, 0, f->n_tokens);
}

static void fixture_init(struct fixture *f, const struct weir_cpu_isa *isa, size_t type,
                         uint32_t n_rows, uint32_t n_cols, uint32_t n_tokens)
{
    struct rng r = {.state = type * 7919 + n_rows * 31 + n_cols + n_tokens * 1009};
    *f = (struct fixture){
        .isa = isa, .type = type, .n_rows = n_rows, .n_cols = n_cols, .n_tokens = n_tokens};
    f->tensor = random_tensor(&r, type, n_rows, n_cols);
    f->x = must(malloc((size_t)n_tokens * n_cols * sizeof(float)));
    for (size_t i = 0; i < (size_t)n_tokens * n_cols; i++) {
        float v = rng_float(&r);
        f->x[i] = v * v * v * (i / 32 % 7 == 3 ? 100.0f : 1.0f);
    }
    fixture_pack(f);
}

static void fixture_finish(struct fixture *f)
{
    free(f->tensor);
    free(f->x);
    free(f->storage);
    free(f->act_storage);
}

static uint32_t poison_bits(size_t i)
{
    return 0x7fc00000u | (uint32_t)(i & 0xfffff);
}

static void poison(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = poison_bits(i);
        memcpy(&y[i], &bits, 4);
    }
}

static void assert_poisoned(const float *y, size_t i)
{
    uint32_t bits;
    memcpy(&bits, &y[i], 4);
    assert_int_equal(bits, poison_bits(i));
}

/* Runs all tokens into a fresh [n_tokens][n_rows] array and checks the guard zones around it. */
static float *run(const struct fixture *f, uint32_t n_tokens)
{
    size_t n_rows = f->m.n_rows, ldy = n_rows + 37, pad = 64, n = pad + n_tokens * ldy + pad;
    float *y = must(malloc(n * sizeof(float)));
    float *out = must(calloc(n_tokens * n_rows, sizeof(float)));
    poison(y, n);
    weir_cpu_linear(&f->m, 0, f->m.n_tiles, &f->act, n_tokens, y + pad, ldy);
    for (size_t i = 0; i < n; i++) {
        size_t at = i - pad;
        if (i < pad || at / ldy >= n_tokens || at % ldy >= n_rows) {
            assert_poisoned(y, i);
        } else {
            out[at / ldy * n_rows + at % ldy] = y[i];
        }
    }
    free(y);
    return out;
}

static void expect_reference(const struct fixture *f, const char *what)
{
    float *y = run(f, f->n_tokens);
    float *w = must(malloc(f->n_cols * sizeof(float)));
    for (uint32_t row = 0; row < f->n_rows; row++) {
        uint32_t id = types[f->type].id;
        const uint8_t *source = f->tensor + row * weir_tensor_row_bytes(id, f->n_cols);
        assert_int_equal(weir_dequant_row(id, source, w, f->n_cols), 0);
        for (uint32_t t = 0; t < f->n_tokens; t++) {
            const float *x = f->x + (size_t)t * f->n_cols;
            double want = types[f->type].block_cols == 1
                              ? weir_linear_ref_dot_exact(w, x, f->n_cols)
                              : weir_linear_ref_dot_quantised(w, x, f->n_cols);
            /* Offset types add s * u and m of opposite signs: allow for what cancels. */
            double scale = weir_linear_ref_dot_magnitude(w, x, f->n_cols) + 1e-30;
            double got = y[(size_t)t * f->n_rows + row];
            if (!(fabs(got - want) <= 2e-6 * 8 * scale)) {
                fail_msg("%s %s %s %ux%u token %u/%u row %u: got %.9g, want %.9g", what,
                         f->isa->name, types[f->type].name, f->n_rows, f->n_cols, t, f->n_tokens,
                         row, got, want);
            }
        }
    }
    free(w);
    free(y);
}

static void rows_read_back_bit_for_bit(void **state)
{
    (void)state;
    static const uint32_t row_counts[] = {1, 7, 8, 9, 15, 16, 17, 37};
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            for (size_t c = 0; c < sizeof(row_counts) / sizeof(row_counts[0]); c++) {
                struct fixture f;
                fixture_init(&f, weir_cpu_isa_at(i), t, row_counts[c], 768, 1);
                float want[768], got[768];
                for (uint32_t row = 0; row < f.n_rows; row++) {
                    size_t row_bytes = weir_tensor_row_bytes(types[t].id, 768);
                    assert_int_equal(
                        weir_dequant_row(types[t].id, f.tensor + row * row_bytes, want, 768), 0);
                    weir_cpu_matrix_row(&f.m, row, got);
                    assert_memory_equal(got, want, sizeof(want));
                }
                fixture_finish(&f);
            }
        }
    }
}

static void products_match_the_reference(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {/* rows, blocks, tokens */
                                         {1, 1, 1},   {3, 2, 5},    {8, 3, 4},   {16, 18, 13},
                                         {17, 9, 12}, {31, 20, 33}, {53, 65, 9}, {33, 130, 25}};
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
                uint32_t unit = types[t].block_cols == 256 ? 256 : 32;
                uint32_t n_blocks = unit == 256 ? (shapes[s][1] + 7) / 8 : shapes[s][1];
                struct fixture f;
                fixture_init(&f, weir_cpu_isa_at(i), t, shapes[s][0], n_blocks * unit,
                             shapes[s][2]);
                expect_reference(&f, "random");
                fixture_finish(&f);
            }
        }
    }
}

/* Float types take any width. */
static void float_weights_take_odd_widths(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; types[t].block_cols == 1; t++) {
            for (uint32_t n_cols = 1; n_cols < 10; n_cols++) {
                struct fixture f;
                fixture_init(&f, weir_cpu_isa_at(i), t, 19, n_cols, 6);
                expect_reference(&f, "odd width");
                fixture_finish(&f);
            }
        }
    }
}

/* Largest quants against the largest activations of either sign: no partial sum may saturate. */
static void extreme_values_do_not_saturate(void **state)
{
    (void)state;
    static const uint8_t fills[] = {0x00, 0xff, 0x80, 0x7f, 0x88, 0x77};
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 3; t < N_TYPES; t++) {
            for (size_t c = 0; c < sizeof(fills); c++) {
                struct fixture f;
                fixture_init(&f, weir_cpu_isa_at(i), t, 16, 512, 5);
                free(f.storage);
                free(f.act_storage);
                size_t row_bytes = weir_tensor_row_bytes(types[t].id, 512);
                size_t block_bytes = row_bytes / (512 / types[t].block_cols);
                for (size_t b = 0; b < row_bytes * 16; b++) {
                    size_t at = b % block_bytes;
                    int is_half = 0;
                    for (size_t h = 0; h < types[t].n_halves; h++) {
                        is_half |= at == types[t].half_at[h] || at == types[t].half_at[h] + 1u;
                    }
                    f.tensor[b] = is_half ? f.tensor[b] : fills[c];
                }
                for (size_t k = 0; k < (size_t)5 * 512; k++) {
                    float sign = k / 512 == 0 ? 1.0f : k / 512 == 1 ? -1.0f : k % 2 ? 1.0f : -1.0f;
                    f.x[k] = k / 512 == 4 ? 0.0f : sign * 3.0f;
                }
                fixture_pack(&f);
                expect_reference(&f, "extreme");
                fixture_finish(&f);
            }
        }
    }
}

static void expect_alone_equals_batched(const struct fixture *f, const float *want, uint32_t count)
{
    float *y = run(f, count);
    if (memcmp(y, want, (size_t)count * f->n_rows * sizeof(float)) != 0) {
        fail_msg("%s %s: %u tokens differ from %u", f->isa->name, types[f->type].name, count,
                 f->n_tokens);
    }
    free(y);
}

/* The token at place p of a batch equals the same token alone at place 0. */
static void expect_place_does_not_matter(struct fixture *f, const float *want)
{
    struct weir_cpu_act alone;
    void *storage = aligned_bytes(weir_cpu_act_bytes(f->n_cols, 1));
    float *y = must(malloc(f->n_rows * sizeof(float)));
    for (uint32_t t = 0; t < f->n_tokens; t++) {
        weir_cpu_act_init(&alone, storage, f->n_cols, 1);
        weir_cpu_act_set_rows(&alone, f->x + (size_t)t * f->n_cols, f->n_cols);
        weir_cpu_act_quantise(&alone, f->isa, &f->m.outliers, 0, 1);
        weir_cpu_linear(&f->m, 0, f->m.n_tiles, &alone, 1, y, f->n_rows);
        assert_memory_equal(y, want + (size_t)t * f->n_rows, f->n_rows * sizeof(float));
    }
    free(y);
    free(storage);
}

static void outputs_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            struct fixture f;
            fixture_init(&f, weir_cpu_isa_at(i), t, 41, 2304, 37);
            float *all = run(&f, f.n_tokens);
            for (uint32_t count = 1; count < f.n_tokens; count++) {
                expect_alone_equals_batched(&f, all, count);
            }
            expect_place_does_not_matter(&f, all);
            free(all);
            fixture_finish(&f);
        }
    }
}

static void a_long_prompt_equals_its_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            struct fixture f;
            fixture_init(&f, weir_cpu_isa_at(i), t, 18, 256, 515);
            float *all = run(&f, f.n_tokens);
            expect_place_does_not_matter(&f, all);
            free(all);
            fixture_finish(&f);
        }
    }
}

static void outputs_do_not_depend_on_the_tile_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            struct fixture f;
            fixture_init(&f, weir_cpu_isa_at(i), t, 77, 512, 14);
            float *all = run(&f, f.n_tokens);
            float *y = must(calloc((size_t)f.n_tokens * f.n_rows, sizeof(float)));
            for (uint32_t begin = 0; begin < f.m.n_tiles; begin += 2) {
                uint32_t end = begin + 2 < f.m.n_tiles ? begin + 2 : f.m.n_tiles;
                weir_cpu_linear(&f.m, begin, end, &f.act, f.n_tokens, y, f.n_rows);
            }
            assert_memory_equal(y, all, (size_t)f.n_tokens * f.n_rows * sizeof(float));
            free(y);
            free(all);
            fixture_finish(&f);
        }
    }
}

static void segments_of_different_types_lie_under_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        const struct weir_cpu_isa *isa = weir_cpu_isa_at(i);
        static const size_t kinds[] = {9, 0, Q8_0_INDEX};
        static const uint32_t rows[] = {19, 3, 40};
        struct fixture f[3];
        struct weir_cpu_tensor tensors[3];
        for (size_t s = 0; s < 3; s++) {
            fixture_init(&f[s], isa, kinds[s], rows[s], 512, 6);
            tensors[s] = (struct weir_cpu_tensor){types[kinds[s]].id, rows[s], f[s].tensor};
        }
        struct weir_cpu_matrix m;
        void *storage;
        pack(&m, isa, 512, tensors, 3, &storage);
        assert_int_equal(m.n_rows, 62);
        float y[6][62];
        weir_cpu_linear(&m, 0, m.n_tiles, &f[0].act, 6, y[0], 62);
        for (size_t s = 0; s < 3; s++) {
            float part[6][40];
            float row[512], want[512];
            weir_cpu_linear(&f[s].m, 0, f[s].m.n_tiles, &f[0].act, 6, part[0], 40);
            for (size_t t = 0; t < 6; t++) {
                assert_memory_equal(&y[t][m.segments[s].row_begin], part[t], rows[s] * 4);
            }
            weir_cpu_matrix_row(&m, m.segments[s].row_begin + rows[s] - 1, row);
            weir_cpu_matrix_row(&f[s].m, rows[s] - 1, want);
            assert_memory_equal(row, want, sizeof(row));
        }
        for (size_t s = 0; s < 3; s++) {
            fixture_finish(&f[s]);
        }
        free(storage);
    }
}

static void quantised_activations_are_the_same_everywhere(void **state)
{
    (void)state;
    enum { COLS = 32 * 9, TOKENS = 7 };
    struct rng r = {.state = 5};
    float x[TOKENS * COLS];
    for (size_t k = 0; k < TOKENS * COLS; k++) {
        x[k] = rng_float(&r) * (k % 3 ? 1.0f : 30.0f);
    }
    memset(x, 0, 32 * sizeof(float));
    x[33] = 1e-40f; /* a block whose scale is below the normal range, but for its neighbours */
    for (size_t k = 64; k < 96; k++) {
        x[k] = (float)k * 1e-41f;
    }
    for (size_t k = 0; k < 32; k++) {
        x[96 + k] = (float)((int)k - 16) * 0.5f; /* ties */
    }
    x[96] = 127.0f;
    const struct weir_cpu_outliers outliers = {.n = 2, .columns = {100, 127}};
    const struct weir_cpu_isa *scalar = weir_cpu_isa_find("scalar");
    struct weir_cpu_act want, got;
    size_t n_bytes = weir_cpu_act_bytes(COLS, TOKENS);
    void *a = aligned_bytes(n_bytes), *b = aligned_bytes(n_bytes);
    memset(a, 0, n_bytes);
    weir_cpu_act_init(&want, a, COLS, TOKENS);
    weir_cpu_act_set_rows(&want, x, COLS);
    weir_cpu_act_quantise(&want, scalar, &outliers, 0, TOKENS);
    for (size_t i = 0; weir_cpu_isa_at(i) != scalar; i++) {
        memset(b, 0, n_bytes);
        weir_cpu_act_init(&got, b, COLS, TOKENS);
        weir_cpu_act_set_rows(&got, x, COLS);
        weir_cpu_act_quantise(&got, weir_cpu_isa_at(i), &outliers, 0, 3);
        weir_cpu_act_quantise(&got, weir_cpu_isa_at(i), &outliers, 3, TOKENS);
        assert_memory_equal(a, b, n_bytes);
    }
    free(a);
    free(b);
}

/* Columns 5 and 70 of a fixture, made large, as outliers; weights [2][n_rows]. */
static void set_outliers(struct fixture *f, float *weights)
{
    for (uint32_t t = 0; t < f->n_tokens; t++) {
        f->x[(size_t)t * f->n_cols + 5] = 300.0f + (float)t;
        f->x[(size_t)t * f->n_cols + 70] = -200.0f;
    }
    f->m.outliers = (struct weir_cpu_outliers){
        .n = 2, .columns = {5, 70}, .weights = {weights, weights + f->n_rows}};
    for (uint32_t i = 0; i < 2; i++) {
        weir_cpu_matrix_column(&f->m, f->m.outliers.columns[i], 0, f->n_rows,
                               weights + (size_t)i * f->n_rows);
    }
}

static double squared_error(struct fixture *f)
{
    weir_cpu_act_quantise(&f->act, f->isa, &f->m.outliers, 0, f->n_tokens);
    float *y = run(f, f->n_tokens);
    float *w = must(malloc(f->n_cols * sizeof(float)));
    double sum = 0;
    for (uint32_t row = 0; row < f->n_rows; row++) {
        weir_cpu_matrix_row(&f->m, row, w);
        for (uint32_t t = 0; t < f->n_tokens; t++) {
            double error = y[(size_t)t * f->n_rows + row] -
                           weir_linear_ref_dot_exact(w, f->x + (size_t)t * f->n_cols, f->n_cols);
            sum += error * error;
        }
    }
    free(w);
    free(y);
    return sum;
}

static void outlier_columns_leave_their_neighbours_bits(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            if (types[t].block_cols == 1) {
                continue;
            }
            struct fixture f;
            float weights[2 * 41];
            float row[512];
            fixture_init(&f, weir_cpu_isa_at(i), t, 41, 512, 11);
            set_outliers(&f, weights);
            for (uint32_t r = 0; r < 41; r++) {
                weir_cpu_matrix_row(&f.m, r, row);
                assert_memory_equal(&row[5], &weights[r], sizeof(float));
                assert_memory_equal(&row[70], &weights[41 + r], sizeof(float));
            }
            double with = squared_error(&f);
            float *all = run(&f, f.n_tokens);
            expect_alone_equals_batched(&f, all, 7);
            expect_place_does_not_matter(&f, all);
            free(all);
            f.m.outliers.n = 1;
            double with_one = squared_error(&f);
            f.m.outliers.n = 0;
            double without = squared_error(&f);
            assert_true(with < with_one && with_one < without);
            fixture_finish(&f);
        }
    }
}

static void a_nan_or_infinity_shows_in_the_output(void **state)
{
    (void)state;
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        for (size_t t = 0; t < N_TYPES; t++) {
            struct fixture f;
            fixture_init(&f, weir_cpu_isa_at(i), t, 5, 256, 3);
            f.x[256 + 40] = NAN;
            f.x[512 + 70] = INFINITY;
            weir_cpu_act_quantise(&f.act, f.isa, &f.m.outliers, 0, 3);
            float *y = run(&f, 3);
            for (size_t row = 0; row < 5; row++) {
                assert_true(isfinite(y[row]));
                assert_true(isnan(y[5 + row]));
                assert_false(isfinite(y[10 + row]));
            }
            free(y);
            fixture_finish(&f);
        }
    }
}

static void split_covers_all_tiles_by_bytes(void **state)
{
    (void)state;
    struct weir_cpu_tensor tensors[] = {{WEIR_TENSOR_Q4_1, 1000, NULL},
                                        {WEIR_TENSOR_Q8_0, 1000, NULL}};
    struct weir_cpu_matrix m;
    assert_int_equal(weir_cpu_matrix_init(&m, weir_cpu_isa_find("scalar"), 576, tensors, 2, NULL),
                     0);
    for (uint32_t n_parts = 1; n_parts < 300; n_parts++) {
        uint32_t last = 0;
        for (uint32_t part = 0; part <= n_parts; part++) {
            uint32_t at = weir_cpu_matrix_split(&m, part, n_parts);
            assert_true(at >= last && at <= m.n_tiles);
            last = at;
        }
        assert_int_equal(weir_cpu_matrix_split(&m, 0, n_parts), 0);
        assert_int_equal(last, m.n_tiles);
    }
    assert_in_range(weir_cpu_matrix_split(&m, 1, 2), 140, 170);
}

static void init_refuses_what_no_kernel_takes(void **state)
{
    (void)state;
    const struct weir_cpu_isa *isa = weir_cpu_isa_find(NULL);
    struct weir_cpu_matrix m;
    struct weir_error err;
    struct weir_cpu_tensor t = {WEIR_TENSOR_Q4_K, 8, NULL};
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 576, &t, 1, &err), WEIR_E_UNSUPPORTED);
    t.type = 4; /* a type that GGUF has retired */
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 512, &t, 1, &err), WEIR_E_UNSUPPORTED);
    t.type = 4000;
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 512, &t, 1, &err), WEIR_E_UNSUPPORTED);
    t.type = WEIR_TENSOR_Q8_0;
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 0, &t, 1, &err), WEIR_E_UNSUPPORTED);
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 48, &t, 1, &err), WEIR_E_UNSUPPORTED);
    t.n_rows = 0;
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 32, &t, 1, &err), WEIR_E_ARG);
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 32, &t, 0, &err), WEIR_E_ARG);
    assert_int_equal(weir_cpu_matrix_init(&m, isa, 32, &t, 5, &err), WEIR_E_ARG);
    assert_null(weir_cpu_isa_find("mmx"));
    assert_string_equal(weir_cpu_isa_find("scalar")->name, "scalar");
}

/* Time of this thread on a processor: other load on the machine does not count. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Best of several runs. Only the first matrix that bench() measures is larger than the caches. */
static void bench_type(const struct weir_cpu_isa *isa, size_t type, uint32_t n_rows,
                       uint32_t n_cols)
{
    static const uint32_t counts[] = {1, 2, 4, 8, 16, 32, 512};
    struct fixture f;
    fixture_init(&f, isa, type, n_rows, n_cols, 512);
    float *y = must(malloc((size_t)512 * n_rows * sizeof(float)));
    printf("%-7s %-5s %6ux%-5u %6.1f MB |", isa->name, types[type].name, n_rows, n_cols,
           (double)f.m.size_bytes * 1e-6);
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        double best = 1e9, spent = 0.0;
        for (int i = 0; i < 4 || (spent < 0.05 && i < 400); i++) {
            double begin = now_s();
            weir_cpu_linear(&f.m, 0, f.m.n_tiles, &f.act, counts[c], y, n_rows);
            double took = now_s() - begin;
            spent += took;
            best = took < best ? took : best;
        }
        double macs = (double)n_rows * n_cols * counts[c];
        if (c == 0) {
            printf(" 1: %5.1f GB/s", (double)f.m.size_bytes / best * 1e-9);
        }
        printf(" %u: %5.1f", counts[c], macs / best * 1e-9);
    }
    printf(" GMAC/s\n");
    free(y);
    fixture_finish(&f);
}

static int bench(const char *name)
{
    for (size_t i = 0; weir_cpu_isa_at(i); i++) {
        const struct weir_cpu_isa *isa = weir_cpu_isa_at(i);
        if (name ? strcmp(name, isa->name) != 0 : strcmp("scalar", isa->name) == 0) {
            continue;
        }
        bench_type(isa, Q8_0_INDEX, 49152, 576);
        for (size_t t = 0; t < N_TYPES; t++) {
            bench_type(isa, t, 1536, types[t].block_cols == 256 ? 512 : 576);
        }
        for (size_t t = 0; t < N_TYPES; t++) {
            bench_type(isa, t, 576, 1536);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        return bench(argc > 2 ? argv[2] : NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_read_back_bit_for_bit),
        cmocka_unit_test(products_match_the_reference),
        cmocka_unit_test(float_weights_take_odd_widths),
        cmocka_unit_test(extreme_values_do_not_saturate),
        cmocka_unit_test(outputs_do_not_depend_on_the_batch),
        cmocka_unit_test(a_long_prompt_equals_its_tokens),
        cmocka_unit_test(outputs_do_not_depend_on_the_tile_ranges),
        cmocka_unit_test(segments_of_different_types_lie_under_each_other),
        cmocka_unit_test(quantised_activations_are_the_same_everywhere),
        cmocka_unit_test(outlier_columns_leave_their_neighbours_bits),
        cmocka_unit_test(a_nan_or_infinity_shows_in_the_output),
        cmocka_unit_test(split_covers_all_tiles_by_bytes),
        cmocka_unit_test(init_refuses_what_no_kernel_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
