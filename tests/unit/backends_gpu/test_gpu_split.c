/* SPDX-License-Identifier: Apache-2.0 */
/* A model over several devices of the emulator: what each holds, logits and tokens as of one
 * device, one device that fails. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backends/emu/backend.h"
#include "backends/gpu/model.h"
#include "backends/gpu/share.h"
#include "kernels/emu/emu.h"
#include "tests/support/cmocka.h"
#include "tests/support/relative_error.h"
#include "tests/support/small_decoder.h"

enum { CTX = 320, PAGES = CTX / WEIR_PAGE_TOKENS, N_TOKENS = 70, N_NEXT = 6 };

static const struct small_decoder_shape plain = {
    .n_layer = 2,
    .n_embd = 128,
    .n_ff = 160,
    .n_head = 4,
    .n_head_kv = 2,
    .head_dim = 64,
    .n_vocab = 331,
    .type = WEIR_TENSOR_F16,
    .o_type = WEIR_TENSOR_F16,
    .down_type = WEIR_TENSOR_F16,
};

static int try_load(const struct weir_gpu_backend *backend, const struct small_decoder *d,
                    const uint32_t *devices, uint32_t n, struct weir_gpu_model **ret,
                    struct weir_error *err)
{
    weir_load_params params = {
        .struct_size = sizeof(params),
        .device = devices[0],
        .devices = devices,
        .n_devices = n,
        .max_sequences = 4,
        .max_step_tokens = 128,
        .n_ctx = CTX,
    };
    struct weir_gpu_options options;
    weir_gpu_options_init(&options);
    return weir_gpu_model_create(backend, small_decoder_model(d), &params, &options, ret, err);
}

static struct weir_gpu_model *load_on(const struct small_decoder *d, const uint32_t *devices,
                                      uint32_t n)
{
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    if (try_load(&weir_emu_backend, d, devices, n, &m, &err) < 0) {
        print_message("%s\n", err.message);
    }
    assert_non_null(m);
    return m;
}

static int run(struct weir_gpu_model *m, const int32_t *tokens, uint32_t pos, uint32_t n,
               int32_t *ret_next)
{
    uint32_t pages[PAGES];
    for (uint32_t i = 0; i < PAGES; i++) {
        pages[i] = (i * 7 % PAGES);
    }
    weir_step_part part = {.flags = WEIR_STEP_SAMPLE,
                           .pos = pos,
                           .n_tokens = n,
                           .tokens = tokens,
                           .pages = pages,
                           .n_pages = PAGES};
    weir_step_batch batch = {
        .struct_size = sizeof(batch), .part_size = sizeof(part), .parts = &part, .n_parts = 1};
    weir_step_result result = {0};
    int rc = weir_gpu_model_step(m, &batch, &result);
    if (rc == 0) {
        assert_int_equal(result.rc, 0);
        *ret_next = result.tokens[0];
    }
    return rc;
}

/* A prompt and what follows: the tokens, and the last one's logits. */
static void write_text(struct weir_gpu_model *m, int32_t *next, float *logits)
{
    int32_t tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) {
        tokens[i] = (i * 37 + 5) % 300;
    }
    assert_int_equal(run(m, tokens, 0, N_TOKENS, &next[0]), 0);
    for (uint32_t i = 1; i < N_NEXT; i++) { /* eager, captured, replayed */
        assert_int_equal(run(m, &next[i - 1], N_TOKENS + i - 1, 1, &next[i]), 0);
    }
    assert_int_equal(weir_gpu_model_logits(m, 0, logits), 0);
}

/* The model on n devices is the model on the first of them. */
static void compare(const struct small_decoder_shape *shape, const uint32_t *devices, uint32_t n)
{
    struct small_decoder *d = small_decoder_create(shape);
    struct weir_gpu_model *one = load_on(d, devices, 1);
    struct weir_gpu_model *all = load_on(d, devices, n);
    const weir_model_info *a = weir_gpu_model_info(one);
    const weir_model_info *b = weir_gpu_model_info(all);
    int32_t want[N_NEXT];
    int32_t got[N_NEXT];
    float *want_logits = malloc(a->n_vocab * sizeof(float));
    float *got_logits = malloc(a->n_vocab * sizeof(float));
    assert_non_null(want_logits);
    assert_non_null(got_logits);
    write_text(one, want, want_logits);
    write_text(all, got, got_logits);

    assert_memory_equal(got, want, sizeof(want));
    double error = relative_error(got_logits, want_logits, a->n_vocab);
    print_message("%u devices from %u on: relative error %.5f\n", n, devices[0], error);
    assert_true(error < 0.003);
    assert_int_equal(b->kv_bytes_per_token, a->kv_bytes_per_token);
    assert_int_equal(b->n_vocab, a->n_vocab);
    assert_int_equal(b->n_pages, a->n_pages);
    free(want_logits);
    free(got_logits);
    weir_gpu_model_unload(one);
    weir_gpu_model_unload(all);
    small_decoder_destroy(d);
}

static void several_devices_write_what_one_writes(void **state)
{
    (void)state;
    static const uint32_t waves_32[] = {0, 1};
    static const uint32_t waves_64[] = {2, 3};
    static const uint32_t three[] = {0, 1, 0}; /* the emulator does not mind */
    struct small_decoder_shape shape = plain;
    compare(&shape, waves_32, 2);
    compare(&shape, waves_64, 2);
    shape.has_qkv_bias = true; /* as Qwen2 */
    shape.type = WEIR_TENSOR_Q4_0;
    shape.o_type = WEIR_TENSOR_Q8_0;
    shape.down_type = WEIR_TENSOR_Q8_0;
    compare(&shape, waves_32, 2);
    shape.has_qkv_bias = false; /* as Gemma 3 */
    shape.has_post_norm = shape.has_qk_norm = true;
    compare(&shape, waves_64, 2);
    shape = plain; /* uneven shares: 4 and 8 KV heads in fours, 3 and 3 and 4 of the columns */
    shape.n_head = 12;
    shape.n_head_kv = 12;
    shape.n_embd = 256;
    shape.n_ff = 10 * 32;
    shape.o_type = WEIR_TENSOR_Q4_K;
    shape.down_type = WEIR_TENSOR_Q4_0;
    compare(&shape, three, 3);
}

static struct weir_gpu_share share_of(const struct small_decoder_shape *shape, uint32_t rank,
                                      uint32_t n_ranks, struct weir_error *err)
{
    struct small_decoder *d = small_decoder_create(shape);
    struct weir_gpu_share share = {0};
    *err = (struct weir_error){0};
    int rc = weir_gpu_share_find(small_decoder_model(d), rank, n_ranks, &share, err);
    assert_int_equal(rc, err->code);
    small_decoder_destroy(d);
    return share;
}

static void check_range(struct weir_gpu_range range, uint32_t begin, uint32_t end)
{
    assert_int_equal(range.begin, begin);
    assert_int_equal(range.end, end);
}

static void shares_are_whole_heads_and_whole_blocks(void **state)
{
    (void)state;
    struct weir_error err;
    struct small_decoder_shape shape = plain;
    shape.down_type = WEIR_TENSOR_Q8_0; /* five blocks of 32 */
    struct weir_gpu_share a = share_of(&shape, 0, 2, &err);
    struct weir_gpu_share b = share_of(&shape, 1, 2, &err);
    check_range(a.kv_heads, 0, 1);
    check_range(b.kv_heads, 1, 2);
    check_range(a.ff, 0, 64);
    check_range(b.ff, 64, 160);
    check_range(a.vocab, 0, 160); /* 20 tiles of 16 rows, and 11 rows behind them */
    check_range(b.vocab, 160, 331);
    shape.n_head = shape.n_head_kv = 12; /* four heads end with a block of 256 */
    shape.o_type = WEIR_TENSOR_Q4_K;
    check_range(share_of(&shape, 0, 2, &err).kv_heads, 0, 4);
    check_range(share_of(&shape, 1, 2, &err).kv_heads, 4, 12);
    check_range(share_of(&plain, 0, 1, &err).ff, 0, 160);
}

static void what_cannot_be_split_is_named(void **state)
{
    (void)state;
    struct weir_error err;
    (void)share_of(&plain, 2, 3, &err);
    assert_int_equal(err.code, WEIR_E_UNSUPPORTED);
    assert_string_equal(err.message, "the model cannot be split over 3 devices: its "
                                     "attention.head_count_kv of 2 goes in parts of 1");
    struct small_decoder_shape shape = plain;
    shape.n_head = shape.n_head_kv = 4;
    shape.o_type = WEIR_TENSOR_Q4_K;
    (void)share_of(&shape, 1, 2, &err);
    assert_non_null(strstr(err.message, "attention.head_count_kv of 4 goes in parts of 4"));
    shape = plain;
    shape.n_ff = 256;
    shape.down_type = WEIR_TENSOR_Q4_K;
    (void)share_of(&shape, 1, 2, &err);
    assert_non_null(strstr(err.message, "feed_forward_length of 256 goes in parts of 256"));

    struct small_decoder *d = small_decoder_create(&shape);
    struct weir_gpu_model *m = NULL;
    err = (struct weir_error){0};
    assert_int_equal(try_load(&weir_emu_backend, d, (const uint32_t[]){0, 1}, 2, &m, &err),
                     WEIR_E_UNSUPPORTED);
    assert_null(m);
    small_decoder_destroy(d);
}

static void heads_without_kernels_are_refused(void **state)
{
    (void)state;
    struct small_decoder_shape shape = plain;
    shape.head_dim = 32;
    struct small_decoder *d = small_decoder_create(&shape);
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    assert_int_equal(try_load(&weir_emu_backend, d, (const uint32_t[]){0}, 1, &m, &err),
                     WEIR_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "heads of 32 dimensions"));
    small_decoder_destroy(d);
}

/* The emulator with a second device that fails when it is told to. */
static atomic_bool breaks;
static void *second_stream;
static uint32_t n_streams;

static int fragile_stream(void *context, void **ret_stream)
{
    int rc = weir_emu_api()->stream_create(context, ret_stream);
    if (++n_streams == 2) {
        second_stream = *ret_stream;
    }
    return rc;
}

static int fragile_launch(void *stream, void *function, const struct weir_gpu_launch *launch)
{
    return stream == second_stream && atomic_load(&breaks)
               ? WEIR_E_DEVICE
               : weir_emu_api()->launch(stream, function, launch);
}

static const char *fragile_text(void)
{
    return atomic_load(&breaks) ? "it fell off the bus" : weir_emu_api()->error_text();
}

static const struct weir_gpu_api *fragile_open(struct weir_error *err)
{
    static struct weir_gpu_api api;
    (void)err;
    api = *weir_emu_api();
    api.stream_create = fragile_stream;
    api.launch = fragile_launch;
    api.error_text = fragile_text;
    return &api;
}

static void a_device_that_fails_takes_the_model_down(void **state)
{
    (void)state;
    struct weir_gpu_backend fragile = weir_emu_backend;
    fragile.open = fragile_open;
    struct small_decoder *d = small_decoder_create(&plain);
    struct weir_gpu_model *m = NULL;
    struct weir_error err = {0};
    n_streams = 0;
    atomic_store(&breaks, false);
    assert_int_equal(try_load(&fragile, d, (const uint32_t[]){0, 1}, 2, &m, &err), 0);
    const int32_t token = 7;
    int32_t next = 0;
    assert_int_equal(run(m, &token, 0, 1, &next), 0);
    atomic_store(&breaks, true);

    int32_t prompt[] = {7, 8};
    assert_int_equal(run(m, prompt, 1, 2, &next), WEIR_E_DEVICE);
    assert_string_equal(weir_gpu_model_failure(m), "it fell off the bus");
    assert_int_equal(run(m, prompt, 1, 2, &next), WEIR_E_DEVICE);
    weir_gpu_model_unload(m);
    small_decoder_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_devices_write_what_one_writes),
        cmocka_unit_test(shares_are_whole_heads_and_whole_blocks),
        cmocka_unit_test(what_cannot_be_split_is_named),
        cmocka_unit_test(heads_without_kernels_are_refused),
        cmocka_unit_test(a_device_that_fails_takes_the_model_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
