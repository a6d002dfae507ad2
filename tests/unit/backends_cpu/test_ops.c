/* SPDX-License-Identifier: Apache-2.0 */
/* Every table of float kernels that the machine can run, against the scalar references, at sizes
 * around each lane count; with guard values behind the outputs. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/ops/ops.h"
#include "engine/quant/half.h"
#include "kernels/attention/attention_ref.h"
#include "kernels/glu/glu_ref.h"
#include "kernels/norm/rms_norm_ref.h"
#include "kernels/rope/rope_ref.h"

enum { N_MAX = 640, KEYS_MAX = 700, PAGE = 16, GUARD = 8 };

static const uint32_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 48, 63, 64, 65, 100, 576, 640};

struct fixture {
    float a[N_MAX + GUARD], b[N_MAX + GUARD], got[N_MAX + GUARD], want[N_MAX + GUARD];
};

/* Numbers in (-scale, scale), the same in every run. */
static float next_number(uint32_t *state, float scale)
{
    *state = *state * 1664525u + 1013904223u;
    return ((float)(*state >> 8) / 8388608.0f - 1.0f) * scale;
}

static void fill(float *x, uint32_t n, uint32_t seed, float scale)
{
    for (uint32_t i = 0; i < n; i++) {
        x[i] = next_number(&seed, scale);
    }
}

static void check_near(const float *got, const float *want, uint32_t n, double tolerance)
{
    double distance = 0;
    double length = 0;
    for (uint32_t i = 0; i < n; i++) {
        distance += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        length += (double)want[i] * want[i];
    }
    if (!(distance <= tolerance * tolerance * length)) {
        print_message("relative error %g of %u numbers\n", sqrt(distance / length), n);
    }
    assert_true(distance <= tolerance * tolerance * length);
}

static void check_guard(const float *x, uint32_t n)
{
    for (uint32_t i = n; i < n + GUARD; i++) {
        assert_true(x[i] == 12345.0f);
    }
}

static void prepare(struct fixture *f, uint32_t n, uint32_t seed)
{
    fill(f->a, n, seed, 6.0f);
    fill(f->b, n, seed + 1, 2.0f);
    for (uint32_t i = n; i < n + GUARD; i++) {
        f->got[i] = 12345.0f;
    }
}

static void rows_match_the_references(void **state)
{
    (void)state;
    static struct fixture f;
    const struct weir_cpu_ops *ops = NULL;
    for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            uint32_t n = sizes[i];
            prepare(&f, n, n);
            ops->rms_norm(f.a, f.b, 1e-5f, n, f.got);
            weir_rms_norm_ref(f.a, f.b, 1e-5f, n, f.want);
            check_near(f.got, f.want, n, 1e-6);
            ops->glu_silu(f.a, f.b, n, f.got);
            weir_glu_silu_ref(f.a, f.b, n, f.want);
            check_near(f.got, f.want, n, 1e-6);
            ops->glu_gelu(f.a, f.b, n, f.got);
            weir_glu_gelu_ref(f.a, f.b, n, f.want);
            check_near(f.got, f.want, n, 1e-6);
            ops->scale(f.a, 3.0f, n, f.got);
            ops->add(f.got, f.b, n);
            for (uint32_t k = 0; k < n; k++) {
                assert_true(f.got[k] == f.a[k] * 3.0f + f.b[k] || n == 0);
            }
            check_guard(f.got, n);
        }
    }
}

static void activations_are_calm_at_the_ends(void **state)
{
    (void)state;
    const float gate[] = {-1e30f, -100.0f, -88.0f, 0.0f, 88.0f, 100.0f, 1e4f, NAN};
    const float up[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const struct weir_cpu_ops *ops = NULL;
    for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
        float y[8];
        ops->glu_silu(gate, up, 8, y);
        assert_true(fabsf(y[0]) < 1e-5f && fabsf(y[1]) < 1e-30f && y[3] == 0.0f);
        assert_true(y[4] == 88.0f && y[5] == 100.0f && y[6] == 1e4f && isnan(y[7]));
        ops->glu_gelu(gate + 1, up, 7, y);
        assert_true(fabsf(y[0]) < 1e-30f && y[3] == 88.0f && y[5] == 1e4f && isnan(y[6]));
    }
}

static void rotation_matches_the_reference(void **state)
{
    (void)state;
    const struct weir_cpu_ops *ops = NULL;
    for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
        for (uint32_t n_rot = 2; n_rot <= 128; n_rot += 14) {
            float x[128];
            float want[128];
            float cos_sin[128];
            for (uint32_t i = 0; i < n_rot / 2; i++) {
                double angle = 777 * pow(10000, -2.0 * i / n_rot);
                cos_sin[2 * i] = (float)cos(angle);
                cos_sin[2 * i + 1] = (float)sin(angle);
            }
            fill(x, n_rot, n_rot, 1.0f);
            memcpy(want, x, sizeof(x));
            ops->rope_pairs(x, cos_sin, n_rot);
            weir_rope_ref(want, n_rot, false, 777, 10000);
            check_near(x, want, n_rot, 1e-6);
            ops->rope_neox(x, cos_sin, n_rot);
            weir_rope_ref(want, n_rot, true, 777, 10000);
            check_near(x, want, n_rot, 1e-6);
        }
    }
}

static void all_tables_round_halves_alike(void **state)
{
    (void)state;
    static const float edges[] = {0.0f,       -0.0f,   1.0f,     65504.0f, 65519.9f, 65520.0f,
                                  1e9f,       -1e9f,   6e-8f,    2.9e-8f,  3.1e-8f,  -4e-6f,
                                  6.1035e-5f, 6.1e-5f, 1.00049f, 1.00146f, 0.3333f,  -2049.0f};
    enum { N = sizeof(edges) / sizeof(edges[0]) };
    uint16_t want[N];
    weir_cpu_ops_find("scalar")->to_half(edges, N, want, 1);
    assert_int_equal(want[2], 0x3c00);
    assert_int_equal(want[3], 0x7bff);
    assert_int_equal(want[5], 0x7c00);
    assert_int_equal(want[8], 0x0001);
    const struct weir_cpu_ops *ops = NULL;
    for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
        uint16_t got[N];
        uint16_t apart[N * 3];
        ops->to_half(edges, N, got, 1);
        ops->to_half(edges, N, apart, 3);
        assert_memory_equal(got, want, sizeof(got));
        for (int i = 0; i < N; i++) {
            assert_int_equal(apart[3 * i], want[i]);
        }
    }
}

static void all_tables_quantise_alike(void **state)
{
    (void)state;
    enum { N = 80 };
    static const float scales[] = {1.0f, 3e4f, 1e-3f, 4e-6f, 1e-9f, 0.0f};
    const struct weir_cpu_ops *ops = NULL;
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
        float x[N];
        int8_t want[N];
        uint16_t want_scale = 0;
        fill(x, N, 5, scales[i]);
        weir_cpu_ops_find("scalar")->to_i8(x, N, want, 1, &want_scale);
        float scale = weir_f16_to_f32(want_scale);
        float amax = 0;
        for (int n = 0; n < N; n++) {
            amax = fabsf(x[n]) > amax ? fabsf(x[n]) : amax;
            float exact = scale > 0 ? x[n] / scale : 0;
            bool is_clipped = fabsf(exact) > 127;
            assert_true(is_clipped ? abs(want[n]) == 127 : fabsf((float)want[n] - exact) < 0.501f);
        }
        assert_int_equal(want_scale, weir_f32_to_f16(amax / 127));
        for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
            int8_t got[N * 3];
            uint16_t got_scale = 0;
            ops->to_i8(x, N, got, 3, &got_scale);
            assert_int_equal(got_scale, want_scale);
            for (int n = 0; n < N; n++) {
                assert_int_equal(got[3 * n], want[n]);
            }
        }
    }
}

/* A sequence's keys and values in pages and as floats of the same values. */
struct keys {
    enum weir_cpu_kv_type type;
    uint32_t head_dim;
    float *k, *v;   /* [KEYS_MAX][head_dim] */
    uint8_t *bytes; /* pages, in a shuffled order */
    uint32_t pages[KEYS_MAX / PAGE + 1];
};

/* Writes x[head_dim] as element `slot` of one plane of a page and reads back what it says. */
static void put(const struct keys *s, uint8_t *page, bool is_key, uint32_t slot, float *x)
{
    const struct weir_cpu_ops *scalar = weir_cpu_ops_find("scalar");
    uint8_t *plane = page + (is_key ? weir_cpu_kv_keys_at(s->type)
                                    : weir_cpu_kv_values_at(s->type, s->head_dim));
    size_t first = is_key ? slot : (size_t)slot * s->head_dim;
    size_t stride = is_key ? PAGE : 1;
    if (s->type == WEIR_CPU_KV_F16) {
        scalar->to_half(x, s->head_dim, (uint16_t *)(void *)plane + first, stride);
        return;
    }
    uint16_t *scale = (uint16_t *)(void *)page + (is_key ? 0 : PAGE) + slot;
    int8_t *elements = (int8_t *)plane + first;
    scalar->to_i8(x, s->head_dim, elements, stride, scale);
    for (uint32_t d = 0; d < s->head_dim; d++) {
        x[d] = (float)elements[d * stride] * weir_f16_to_f32(*scale);
    }
}

static void make_keys(struct keys *s, enum weir_cpu_kv_type type, uint32_t head_dim)
{
    enum { N_PAGES = KEYS_MAX / PAGE + 1 };
    size_t page_bytes = weir_cpu_kv_head_bytes(type, head_dim);
    s->type = type;
    s->head_dim = head_dim;
    s->k = malloc((size_t)KEYS_MAX * head_dim * sizeof(float));
    s->v = malloc((size_t)KEYS_MAX * head_dim * sizeof(float));
    s->bytes = malloc(N_PAGES * page_bytes);
    assert_true(s->k && s->v && s->bytes);
    memset(s->bytes, 0xff, N_PAGES * page_bytes); /* NaN where nothing is */
    uint32_t seed = head_dim;
    for (uint32_t i = 0; i < N_PAGES; i++) {
        s->pages[i] = (i * 7) % N_PAGES;
    }
    for (uint32_t key = 0; key < KEYS_MAX; key++) {
        float *k = s->k + (size_t)key * head_dim;
        float *v = s->v + (size_t)key * head_dim;
        for (uint32_t d = 0; d < head_dim; d++) { /* multiples of 1/64: exact as halves */
            k[d] = roundf(next_number(&seed, 1.0f) * 64) / 64;
            v[d] = roundf(next_number(&seed, 1.0f) * 64) / 64;
        }
        uint8_t *page = s->bytes + s->pages[key / PAGE] * page_bytes;
        put(s, page, true, key % PAGE, k);
        put(s, page, false, key % PAGE, v);
    }
}

static void free_keys(struct keys *s)
{
    free(s->k);
    free(s->v);
    free(s->bytes);
}

/* All chunks of n_queries positions from pos on, with n_heads heads each. */
static void run_attention(const struct weir_cpu_ops *ops, const struct keys *s, const float *q,
                          uint32_t n_queries, uint32_t n_heads, uint32_t pos, uint32_t window,
                          float *out)
{
    float scores[WEIR_CPU_ATTEND_ROWS_MAX * WEIR_CPU_ATTEND_BLOCK];
    float max[WEIR_CPU_ATTEND_ROWS_MAX];
    float sum[WEIR_CPU_ATTEND_ROWS_MAX];
    float run_max[WEIR_CPU_ATTEND_ROWS_MAX];
    float run_sum[WEIR_CPU_ATTEND_ROWS_MAX] = {0};
    uint32_t n_rows = n_queries * n_heads;
    float *part = malloc((size_t)n_rows * s->head_dim * sizeof(float));
    assert_non_null(part);
    memset(out, 0, (size_t)n_rows * s->head_dim * sizeof(float));
    for (uint32_t r = 0; r < n_rows; r++) {
        run_max[r] = -INFINITY;
    }
    for (uint32_t chunk = 0; chunk * WEIR_CPU_ATTEND_CHUNK < pos + n_queries; chunk++) {
        ops->attend(&(struct weir_cpu_attend){
            .n_rows = n_rows,
            .n_heads = n_heads,
            .head_dim = s->head_dim,
            .pos = pos,
            .window = window,
            .chunk = chunk,
            .q = q,
            .kv_type = s->type,
            .kv = s->bytes,
            .page_stride = weir_cpu_kv_head_bytes(s->type, s->head_dim),
            .pages = s->pages,
            .scores = scores,
            .max = max,
            .sum = sum,
            .out = part,
        });
        for (uint32_t r = 0; r < n_rows; r++) {
            size_t at = (size_t)r * s->head_dim;
            ops->attend_merge(&run_max[r], &run_sum[r], out + at, max[r], sum[r], part + at,
                              s->head_dim);
        }
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        ops->scale(out + (size_t)r * s->head_dim, 1.0f / run_sum[r], s->head_dim,
                   out + (size_t)r * s->head_dim);
    }
    free(part);
}

static void check_attention(const struct weir_cpu_ops *ops, const struct keys *s,
                            uint32_t n_queries, uint32_t n_heads, uint32_t pos, uint32_t window)
{
    const uint32_t n_rows = n_queries * n_heads;
    const size_t n = (size_t)n_rows * s->head_dim;
    float *q = malloc(n * sizeof(float));
    float *got = malloc(n * sizeof(float));
    float *alone = malloc(n * sizeof(float));
    float want[512];
    assert_true(q && got && alone);
    fill(q, (uint32_t)n, pos, 1.0f);
    run_attention(ops, s, q, n_queries, n_heads, pos, window, got);
    for (uint32_t i = 0; i < n_queries; i++) { /* one query at a time: the same bits */
        size_t at = (size_t)i * n_heads * s->head_dim;
        run_attention(ops, s, q + at, 1, n_heads, pos + i, window, alone + at);
    }
    assert_memory_equal(alone, got, n * sizeof(float));
    for (uint32_t r = 0; r < n_rows; r++) {
        size_t at = (size_t)r * s->head_dim;
        weir_attention_ref(q + at, s->k, s->v, s->head_dim, pos + r / n_heads, window, want);
        check_near(got + at, want, s->head_dim, 2e-5);
    }
    free(q);
    free(got);
    free(alone);
}

static void check_attention_cases(enum weir_cpu_kv_type type)
{
    static const struct {
        uint32_t head_dim, n_queries, n_heads, pos, window;
    } cases[] = {
        {64, 1, 1, 0, 0},    {64, 1, 3, 15, 0},   {64, 1, 3, 16, 0},    {64, 1, 3, 63, 0},
        {64, 1, 3, 64, 0},   {64, 1, 4, 300, 0},  {64, 16, 3, 0, 0},    {64, 5, 3, 60, 0},
        {64, 16, 3, 250, 0}, {48, 7, 2, 250, 20}, {16, 3, 5, 100, 0},   {80, 9, 1, 511, 0},
        {256, 12, 4, 40, 0}, {128, 1, 8, 513, 0}, {64, 20, 3, 500, 70}, {64, 1, 3, 600, 256},
        {64, 4, 3, 600, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct keys s;
        make_keys(&s, type, cases[i].head_dim);
        const struct weir_cpu_ops *ops = NULL;
        for (size_t t = 0; (ops = weir_cpu_ops_at(t)) != NULL; t++) {
            check_attention(ops, &s, cases[i].n_queries, cases[i].n_heads, cases[i].pos,
                            cases[i].window);
        }
        free_keys(&s);
    }
}

static void attention_matches_the_reference_in_any_cut(void **state)
{
    (void)state;
    check_attention_cases(WEIR_CPU_KV_F16);
    check_attention_cases(WEIR_CPU_KV_I8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_match_the_references),
        cmocka_unit_test(activations_are_calm_at_the_ends),
        cmocka_unit_test(rotation_matches_the_reference),
        cmocka_unit_test(all_tables_round_halves_alike),
        cmocka_unit_test(all_tables_quantise_alike),
        cmocka_unit_test(attention_matches_the_reference_in_any_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
