/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attention/attention_ref.h"
#include "kernels/attn/attn_decode.h"
#include "kernels/attn/attn_prefill.h"
#include "tests/kernels/check.h"
#include "tests/kernels/paged.h"

enum { MAX_PARTS = 6, N_SEQ_PAGES_MAX = 640 };

/* Queries and weights are rounded to binary16. */
static const double NMSE_MAX = 2e-6;

struct shape {
    uint32_t head_dim, n_head, n_head_kv, type, window;
    uint32_t n_parts;
    struct {
        uint32_t pos, n_tokens;
    } parts[MAX_PARTS];
};

/* Sequences whose keys and values lie in scattered pages, and their queries. */
struct scene {
    const struct shape *shape;
    struct weir_test_pool pool;
    uint32_t n_rows, q_stride, out_stride, pages_stride;
    uint32_t *tables;
    float *q, *want, *got;
    struct weir_kv_part parts[MAX_PARTS];
    float scale;
};

static void *must(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

static uint32_t part_end(const struct shape *s, uint32_t part)
{
    return s->parts[part].pos + s->parts[part].n_tokens;
}

static void fill_sequence(struct scene *scene, uint32_t part)
{
    const struct shape *s = scene->shape;
    float *x = must(malloc(s->head_dim * sizeof(*x)));
    for (uint32_t key = 0; key < part_end(s, part); key++) {
        const uint32_t page = scene->tables[part * scene->pages_stride + key / WEIR_KV_PAGE_TOKENS];
        for (uint32_t i = 0; i < 2 * s->n_head_kv; i++) {
            weir_test_random(x, s->head_dim, 1 + ((uint64_t)part << 40 | (uint64_t)key << 8 | i));
            weir_test_pool_write(&scene->pool, (int)(i % 2), page, i / 2, key % WEIR_KV_PAGE_TOKENS,
                                 x);
        }
    }
    free(x);
}

static void scene_init(struct scene *scene, const struct shape *s)
{
    *scene = (struct scene){.shape = s, .scale = 1.0f / sqrtf((float)s->head_dim)};
    uint32_t n_pages = 1; /* page 0 belongs to nobody */
    for (uint32_t i = 0; i < s->n_parts; i++) {
        const uint32_t n = (part_end(s, i) + WEIR_KV_PAGE_TOKENS - 1) / WEIR_KV_PAGE_TOKENS;
        scene->pages_stride = n > scene->pages_stride ? n : scene->pages_stride;
        scene->parts[i] = (struct weir_kv_part){.first_row = (int32_t)scene->n_rows,
                                                .pos = (int32_t)s->parts[i].pos,
                                                .n_tokens = (int32_t)s->parts[i].n_tokens,
                                                .table = (int32_t)i};
        scene->n_rows += s->parts[i].n_tokens;
        n_pages += n;
    }
    weir_test_pool_init(&scene->pool, s->type, s->n_head_kv, s->head_dim, n_pages);
    scene->tables = must(calloc((size_t)s->n_parts * scene->pages_stride, sizeof(uint32_t)));
    uint32_t next = 1;
    for (uint32_t k = 0; k < scene->pages_stride; k++) { /* pages of the sequences alternate */
        for (uint32_t i = 0; i < s->n_parts; i++) {
            if (k * WEIR_KV_PAGE_TOKENS < part_end(s, i)) {
                scene->tables[i * scene->pages_stride + k] = next++;
            }
        }
    }
    for (uint32_t i = 0; i < s->n_parts; i++) {
        fill_sequence(scene, i);
    }
    scene->q_stride = (s->n_head + 2 * s->n_head_kv) * s->head_dim;
    scene->out_stride = s->n_head * s->head_dim;
    scene->q = must(malloc((size_t)scene->n_rows * scene->q_stride * sizeof(float)));
    scene->want = must(malloc((size_t)scene->n_rows * scene->out_stride * sizeof(float)));
    scene->got = must(malloc((size_t)scene->n_rows * scene->out_stride * sizeof(float)));
    for (uint32_t i = 0; i < s->n_parts; i++) { /* by position: the same however a prompt is cut */
        for (uint32_t t = 0; t < s->parts[i].n_tokens; t++) {
            float *q =
                scene->q + (size_t)((uint32_t)scene->parts[i].first_row + t) * scene->q_stride;
            weir_test_random(q, scene->q_stride, 77 + s->parts[i].pos + t);
            for (uint32_t d = 0; d < scene->q_stride; d++) {
                q[d] *= 6.0f; /* weights far from equal */
            }
        }
    }
}

static void scene_finish(struct scene *scene)
{
    weir_test_pool_finish(&scene->pool);
    free(scene->tables);
    free(scene->q);
    free(scene->want);
    free(scene->got);
}

static void reference_head(struct scene *scene, uint32_t part, uint32_t kv_head, int is_causal)
{
    const struct shape *s = scene->shape;
    const uint32_t n_keys = part_end(s, part);
    const size_t n = (size_t)n_keys * s->head_dim;
    float *k = must(malloc(n * sizeof(*k)));
    float *v = must(malloc(n * sizeof(*v)));
    float *q = must(malloc(s->head_dim * sizeof(*q)));
    for (uint32_t key = 0; key < n_keys; key++) {
        const uint32_t page = scene->tables[part * scene->pages_stride + key / WEIR_KV_PAGE_TOKENS];
        const uint32_t slot = key % WEIR_KV_PAGE_TOKENS;
        weir_test_pool_read(&scene->pool, 0, page, kv_head, slot, k + (size_t)key * s->head_dim);
        weir_test_pool_read(&scene->pool, 1, page, kv_head, slot, v + (size_t)key * s->head_dim);
    }
    const uint32_t group = s->n_head / s->n_head_kv;
    for (uint32_t t = 0; t < s->parts[part].n_tokens; t++) {
        const size_t row = (size_t)scene->parts[part].first_row + t;
        for (uint32_t g = 0; g < group; g++) {
            const uint32_t head = kv_head * group + g;
            for (uint32_t d = 0; d < s->head_dim; d++) {
                q[d] = scene->q[row * scene->q_stride + head * s->head_dim + d] * scene->scale;
            }
            weir_attention_ref(q, k, v, s->head_dim,
                               is_causal ? s->parts[part].pos + t : n_keys - 1, s->window,
                               scene->want + row * scene->out_stride + head * s->head_dim);
        }
    }
    free(k);
    free(v);
    free(q);
}

static int judge(const struct scene *scene, const char *op)
{
    const struct shape *s = scene->shape;
    const double nmse =
        weir_test_nmse(scene->got, scene->want, (size_t)scene->n_rows * scene->out_stride);
    if (nmse < NMSE_MAX) {
        return 0;
    }
    fprintf(stderr,
            "%s: NMSE %.2g (head_dim %u, heads %u/%u, type %u, window %u, first part %u+%u)\n", op,
            nmse, s->head_dim, s->n_head, s->n_head_kv, s->type, s->window, s->parts[0].pos,
            s->parts[0].n_tokens);
    return 1;
}

static struct weir_kv_view device_view(struct weir_test_device *device, const struct scene *scene)
{
    const struct weir_test_pool *p = &scene->pool;
    uint8_t *bytes = weir_test_array(device, p->bytes, p->n_bytes);
    return weir_kv_layer(bytes, p->type, p->n_layer, p->layer, p->n_head_kv, p->head_dim);
}

static void run_decode(struct weir_test_device *device, struct scene *scene)
{
    const struct shape *s = scene->shape;
    struct weir_attn_item items[MAX_PARTS * 64];
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        for (uint32_t c = 0; c < weir_attn_n_chunks(s->parts[i].pos); c++) {
            items[n_items++] = (struct weir_attn_item){.part = (int32_t)i, .chunk = (int32_t)c};
        }
    }
    const size_t n_out = (size_t)scene->n_rows * scene->out_stride;
    const size_t n_arrivals = (size_t)s->n_parts * s->n_head;
    uint32_t *zeros = must(calloc(n_arrivals, sizeof(*zeros)));
    struct weir_attn_decode_args args = {
        .q = weir_test_array(device, scene->q,
                             (size_t)scene->n_rows * scene->q_stride * sizeof(float)),
        .out = weir_test_array(device, NULL, n_out * sizeof(float)),
        .parts = weir_test_array(device, scene->parts, sizeof(scene->parts)),
        .items = weir_test_array(device, items, n_items * sizeof(items[0])),
        .n_items = weir_test_array(device, &n_items, sizeof(n_items)),
        .pages = weir_test_array(device, scene->tables,
                                 (size_t)s->n_parts * scene->pages_stride * sizeof(uint32_t)),
        .partials = weir_test_array(device, NULL,
                                    n_items * weir_attn_partial_floats(s->n_head, s->head_dim) *
                                        sizeof(float)),
        .arrivals = weir_test_array(device, zeros, n_arrivals * sizeof(*zeros)),
        .kv = device_view(device, scene),
        .q_stride = scene->q_stride,
        .out_stride = scene->out_stride,
        .pages_stride = scene->pages_stride,
        .n_head = s->n_head,
        .window = s->window,
        .scale = scene->scale,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch,
                  weir_attn_decode_launch(&args, n_items, &device->info.props, &launch));
    weir_test_fetch(device, args.out, scene->got, n_out * sizeof(float));
    uint32_t *arrivals = must(malloc(n_arrivals * sizeof(*arrivals)));
    weir_test_fetch(device, args.arrivals, arrivals, n_arrivals * sizeof(*arrivals));
    if (memcmp(arrivals, zeros, n_arrivals * sizeof(*arrivals)) != 0) {
        fprintf(stderr, "attn_decode: arrivals are not 0 afterwards\n");
        scene->got[0] = NAN;
    }
    free(arrivals);
    free(zeros);
    weir_test_device_reset(device);
}

static int check_decode(struct weir_test_device *device, const struct shape *s)
{
    struct scene scene;
    scene_init(&scene, s);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        for (uint32_t head = 0; head < s->n_head_kv; head++) {
            reference_head(&scene, i, head, 1);
        }
    }
    run_decode(device, &scene);
    const int failed = judge(&scene, "attn_decode");
    scene_finish(&scene);
    return failed;
}

/* The last sequence of a batch alone gives the same bits. */
static int check_decode_alone(struct weir_test_device *device, const struct shape *s)
{
    struct scene batch, alone;
    struct shape one = *s;
    one.n_parts = 1;
    scene_init(&batch, s);
    scene_init(&alone, &one);
    run_decode(device, &batch);
    run_decode(device, &alone);
    const int failed = memcmp(batch.got, alone.got, alone.out_stride * sizeof(float)) != 0;
    if (failed) {
        fprintf(stderr, "attn_decode: a sequence's result depends on its batch\n");
    }
    scene_finish(&batch);
    scene_finish(&alone);
    return failed;
}

int weir_check_attn_decode(struct weir_test_device *device)
{
    static const struct shape shapes[] = {
        {64, 9, 3, WEIR_KV_F16, 0, 3, {{0, 1}, {15, 1}, {16, 1}}},
        {64, 3, 3, WEIR_KV_F16, 0, 4, {{255, 1}, {256, 1}, {700, 1}, {1, 1}}},
        {128, 32, 8, WEIR_KV_F16, 0, 2, {{300, 1}, {40, 1}}},
        {128, 4, 2, WEIR_KV_I8, 0, 3, {{300, 1}, {17, 1}, {513, 1}}},
        {80, 4, 2, WEIR_KV_F16, 0, 2, {{270, 1}, {33, 1}}},
        {80, 2, 1, WEIR_KV_I8, 0, 1, {{100, 1}}},
        {96, 6, 2, WEIR_KV_F16, 0, 2, {{5, 1}, {290, 1}}},
        {96, 2, 1, WEIR_KV_I8, 0, 1, {{270, 1}}},
        {256, 4, 1, WEIR_KV_F16, 0, 2, {{300, 1}, {14, 1}}},
        {256, 2, 2, WEIR_KV_I8, 0, 1, {{280, 1}}},
        {64, 20, 1, WEIR_KV_F16, 0, 2, {{600, 1}, {3, 1}}},
        {64, 16, 1, WEIR_KV_I8, 0, 1, {{600, 1}}},
        {64, 4, 2, WEIR_KV_F16, 100, 4, {{50, 1}, {99, 1}, {100, 1}, {600, 1}}},
        {64, 4, 2, WEIR_KV_F16, 512, 2, {{511, 1}, {1300, 1}}},
        {64, 2, 1, WEIR_KV_F16, 0, 1, {{9000, 1}}},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        failed += check_decode(device, &shapes[i]);
    }
    return failed + check_decode_alone(device, &shapes[1]);
}

static void run_prefill(struct weir_test_device *device, struct scene *scene, int is_causal)
{
    const struct shape *s = scene->shape;
    struct weir_attn_tile tiles[64];
    uint32_t n_tiles = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        for (uint32_t first = 0; first < s->parts[i].n_tokens; first += WEIR_ATTN_PREFILL_ROWS) {
            tiles[n_tiles++] = (struct weir_attn_tile){.part = (int32_t)i, .first = (int32_t)first};
        }
    }
    const size_t n_out = (size_t)scene->n_rows * scene->out_stride;
    const struct weir_attn_prefill_args args = {
        .q = weir_test_array(device, scene->q,
                             (size_t)scene->n_rows * scene->q_stride * sizeof(float)),
        .out = weir_test_array(device, NULL, n_out * sizeof(float)),
        .parts = weir_test_array(device, scene->parts, sizeof(scene->parts)),
        .tiles = weir_test_array(device, tiles, n_tiles * sizeof(tiles[0])),
        .pages = weir_test_array(device, scene->tables,
                                 (size_t)s->n_parts * scene->pages_stride * sizeof(uint32_t)),
        .kv = device_view(device, scene),
        .q_stride = scene->q_stride,
        .out_stride = scene->out_stride,
        .pages_stride = scene->pages_stride,
        .n_tiles = n_tiles,
        .n_head = s->n_head,
        .window = s->window,
        .is_causal = (uint32_t)is_causal,
        .scale = scene->scale,
    };
    struct weir_gpu_launch launch;
    weir_test_run(device, &launch, weir_attn_prefill_launch(&args, &device->info.props, &launch));
    weir_test_fetch(device, args.out, scene->got, n_out * sizeof(float));
    weir_test_device_reset(device);
}

static int check_prefill(struct weir_test_device *device, const struct shape *s, int is_causal)
{
    struct scene scene;
    scene_init(&scene, s);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        for (uint32_t head = 0; head < s->n_head_kv; head++) {
            reference_head(&scene, i, head, is_causal);
        }
    }
    run_prefill(device, &scene, is_causal);
    const int failed = judge(&scene, is_causal ? "attn_prefill" : "attn_prefill, both ways");
    scene_finish(&scene);
    return failed;
}

/* A prompt in one part and in three gives the same bits. */
static int check_prefill_cut(struct weir_test_device *device)
{
    static const struct shape whole = {64, 2, 1, WEIR_KV_F16, 0, 1, {{0, 200}}};
    static const struct shape cuts[] = {{64, 2, 1, WEIR_KV_F16, 0, 1, {{0, 70}}},
                                        {64, 2, 1, WEIR_KV_F16, 0, 1, {{70, 5}}},
                                        {64, 2, 1, WEIR_KV_F16, 0, 1, {{75, 125}}}};
    struct scene all;
    scene_init(&all, &whole);
    run_prefill(device, &all, 1);
    int failed = 0;
    for (size_t i = 0; i < 3; i++) {
        struct scene part;
        scene_init(&part, &cuts[i]);
        run_prefill(device, &part, 1);
        const float *same = all.got + (size_t)cuts[i].parts[0].pos * all.out_stride;
        failed |=
            memcmp(part.got, same, (size_t)part.n_rows * part.out_stride * sizeof(float)) != 0;
        scene_finish(&part);
    }
    if (failed) {
        fprintf(stderr, "attn_prefill: a result depends on how the prompt was cut\n");
    }
    scene_finish(&all);
    return failed;
}

int weir_check_attn_prefill(struct weir_test_device *device)
{
    static const struct shape shapes[] = {
        {64, 9, 3, WEIR_KV_F16, 0, 3, {{0, 1}, {0, 17}, {30, 40}}},
        {64, 2, 1, WEIR_KV_I8, 0, 2, {{0, 70}, {100, 3}}},
        {128, 4, 2, WEIR_KV_F16, 0, 2, {{5, 130}, {64, 2}}},
        {128, 2, 1, WEIR_KV_I8, 0, 1, {{63, 65}}},
        {80, 2, 1, WEIR_KV_F16, 0, 1, {{10, 80}}},
        {80, 2, 2, WEIR_KV_I8, 0, 1, {{0, 33}}},
        {96, 2, 1, WEIR_KV_F16, 0, 1, {{48, 70}}},
        {96, 1, 1, WEIR_KV_I8, 0, 1, {{3, 20}}},
        {256, 2, 1, WEIR_KV_F16, 0, 2, {{0, 40}, {33, 33}}},
        {256, 1, 1, WEIR_KV_I8, 0, 1, {{20, 30}}},
        {64, 2, 1, WEIR_KV_F16, 40, 2, {{0, 100}, {150, 70}}},
        {128, 2, 2, WEIR_KV_F16, 128, 1, {{300, 20}}},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        failed += check_prefill(device, &shapes[i], 1);
    }
    failed += check_prefill(device, &shapes[1], 0);
    return failed + check_prefill_cut(device);
}
