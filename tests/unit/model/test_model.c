/* SPDX-License-Identifier: Apache-2.0 */
/* Reading decoders: what good files give, and that damaged ones are refused by name. The files are
 * the golden decoders, changed in memory. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gguf/gguf.h"
#include "engine/model/model.h"

struct file {
    char *bytes;
    size_t n_bytes;
};

static struct file read_decoder(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/golden/decoders/%s.gguf", WEIR_SOURCE_DIR, name);
    struct file file = {malloc(1 << 20), 0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_non_null(file.bytes);
    file.n_bytes = fread(file.bytes, 1, 1 << 20, f);
    fclose(f);
    return file;
}

/* The first place of `text`. */
static char *find(const struct file *file, const char *text)
{
    char *p = memmem(file->bytes, file->n_bytes, text, strlen(text));
    assert_non_null(p);
    return p;
}

static int init(const struct file *file, struct weir_model *model, struct weir_gguf **gguf,
                struct weir_error *err)
{
    assert_int_equal(weir_gguf_open_memory(file->bytes, file->n_bytes, gguf, err), 0);
    return weir_model_init(model, *gguf, err);
}

static void check_refused(struct file *file, int code, const char *part)
{
    struct weir_model model;
    struct weir_gguf *gguf = NULL;
    struct weir_error err = {0};
    assert_int_equal(init(file, &model, &gguf, &err), code);
    if (!strstr(err.message, part)) {
        print_message("%s\n", err.message);
    }
    assert_non_null(strstr(err.message, part));
    assert_null(model.graph.ops);
    weir_gguf_destroy(gguf);
    free(file->bytes);
}

/* Overwrites the u32 value behind a metadata key. */
static void set_u32(struct file *file, const char *key, uint32_t value)
{
    memcpy(find(file, key) + strlen(key) + 4, &value, sizeof(value)); /* 4: the value's type */
}

static void an_unknown_architecture_is_named(void **state)
{
    (void)state;
    struct file file = read_decoder("llama");
    char *p = find(&file, "general.architecture");
    memcpy(p + strlen("general.architecture") + 4 + 8, "mamba", 5);
    check_refused(&file, WEIR_E_UNSUPPORTED, "\"mamba\"");
}

static void a_missing_tensor_is_named(void **state)
{
    (void)state;
    struct file file = read_decoder("qwen3");
    memcpy(find(&file, "blk.1.ffn_up.weight"), "blk.1.ffn_xx.weight", 19);
    check_refused(&file, WEIR_E_FORMAT, "tensor blk.1.ffn_up.weight is missing");
}

static void a_tensor_of_another_shape_is_named(void **state)
{
    (void)state;
    struct file file = read_decoder("gemma3");
    set_u32(&file, "gemma3.feed_forward_length", 95);
    check_refused(&file, WEIR_E_FORMAT, "blk.0.ffn_gate.weight has shape 64x96");
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *part;
    } cases[] = {
        {"llama.block_count", 0, "llama.block_count is 0"},
        {"llama.block_count", 100000, "llama.block_count is 100000"},
        {"llama.block_count", 4, "tensor blk.3.attn_norm.weight is missing"},
        {"llama.context_length", 0, "llama.context_length is 0"},
        {"llama.attention.head_count", 0, "llama.attention.head_count is 0"},
        {"llama.attention.head_count", 5, "is not a multiple"},
        {"llama.attention.key_length", 100000, "llama.attention.key_length"},
        {"llama.attention.value_length", 16, "llama.attention.value_length"},
        {"llama.rope.dimension_count", 31, "is odd"},
        {"llama.rope.dimension_count", 64, "llama.rope.dimension_count is 64"},
        {"llama.attention.layer_norm_rms_epsilon", 0, "must be above 0"},
        {"llama.attention.layer_norm_rms_epsilon", 0x7fc00000, "must be above 0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct file file = read_decoder("llama");
        set_u32(&file, cases[i].key, cases[i].value);
        check_refused(&file, WEIR_E_FORMAT, cases[i].part);
    }
}

static void tensors_that_no_op_uses_are_refused(void **state)
{
    (void)state;
    struct file file = read_decoder("qwen2");
    memcpy(find(&file, "general.architecture") + strlen("general.architecture") + 4 + 8, "qwen3",
           5);
    for (size_t i = 0; i + 6 < file.n_bytes; i++) { /* the keys carry the architecture's name */
        if (memcmp(file.bytes + i, "qwen2.", 6) == 0) {
            file.bytes[i + 4] = '3';
        }
    }
    check_refused(&file, WEIR_E_UNSUPPORTED, "attn_q.bias is not part of architecture qwen3");
}

static void gemma3_mixes_windows_and_full_layers(void **state)
{
    (void)state;
    struct file file = read_decoder("gemma3");
    struct weir_model model;
    struct weir_gguf *gguf = NULL;
    struct weir_error err = {0};

    assert_int_equal(init(&file, &model, &gguf, &err), 0);

    assert_int_equal(model.hparams.window, 20);
    uint32_t n_attention = 0;
    uint32_t n_select = 0;
    for (uint32_t i = 0; i < model.graph.n_ops; i++) {
        const struct weir_op *op = &model.graph.ops[i];
        if (op->kind == WEIR_OP_ATTENTION) {
            assert_int_equal(op->window, op->layer == 5 ? 0 : 20);
            n_attention++;
        } else if (op->kind == WEIR_OP_ROPE_KV) {
            assert_int_equal(op->rope, op->layer == 5 ? 0 : 1);
        } else if (op->kind == WEIR_OP_SELECT) {
            assert_int_equal(op->layer, 6);
            n_select++;
        }
    }
    assert_int_equal(n_attention, 7);
    assert_int_equal(n_select, 1);
    weir_model_finish(&model);
    weir_gguf_destroy(gguf);
    free(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_architecture_is_named),
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(a_tensor_of_another_shape_is_named),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(tensors_that_no_op_uses_are_refused),
        cmocka_unit_test(gemma3_mixes_windows_and_full_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
