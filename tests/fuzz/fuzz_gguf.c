/* SPDX-License-Identifier: Apache-2.0 */
/* The GGUF reader over arbitrary bytes. Property: what passes the checks can be read whole, and a
 * tokenizer made from it encodes and decodes (a sanitizer tells). */
#include <stdlib.h>

#include "engine/gguf/describe.h"
#include "engine/quant/dequant.h"
#include "engine/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that touches the bytes adds to this, so that no read is optimised away. */
static volatile unsigned sink;

static void touch(const void *p, size_t n_bytes)
{
    const unsigned char *bytes = p;
    unsigned sum = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        sum += bytes[i];
    }
    sink += sum;
}

static void read_key(const struct weir_gguf_key *key)
{
    touch(key->name.p, key->name.n);
    if (key->type == WEIR_GGUF_STR) {
        touch(key->value.str.p, key->value.str.n);
    }
    const struct weir_gguf_array *a = &key->value.array;
    if (key->type == WEIR_GGUF_ARRAY && a->type == WEIR_GGUF_STR) {
        const unsigned char *cursor = a->data;
        for (uint64_t i = 0; i < a->n; i++) {
            weir_str s = weir_gguf_array_next_str(&cursor);
            touch(s.p, s.n);
        }
    }
}

static void read_tensor(const struct weir_gguf_tensor *t)
{
    float row[256];
    touch(t->data, t->n_bytes);
    const struct weir_tensor_type_info *info = weir_tensor_type_info(t->type);
    if (weir_dequant_row(t->type, t->data, row, info->block_elems) == 0) {
        touch(row, info->block_elems * sizeof(row[0]));
    }
}

static void use_tokenizer(const struct weir_gguf *g)
{
    struct weir_tokenizer *t = NULL;
    struct weir_error err;
    if (weir_tokenizer_create(g, &t, &err) < 0) {
        return;
    }
    uint32_t ids[256];
    size_t n = 0;
    weir_str text = weir_str_from("ab <|x|> 12\xFF\xE2\x96 \xC3\xA9\n\n'll");
    int r = weir_tokenizer_encode(t, text, WEIR_ENCODE_ADD_SPECIAL | WEIR_ENCODE_PARSE_SPECIAL, ids,
                                  256, &n);
    if (r < 0 && r != WEIR_E_TOOBIG) {
        abort();
    }
    struct weir_buf out;
    weir_buf_init(&out, (size_t)1 << 20);
    weir_tokenizer_decode(t, ids, n < 256 ? n : 256, WEIR_DECODE_SPECIAL, &out);
    weir_buf_finish(&out);
    weir_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_gguf *g = NULL;
    struct weir_error err = {0};
    if (weir_gguf_open_memory(data, size, &g, &err) < 0) {
        if (err.code >= 0 || err.message[0] == '\0') {
            abort(); /* every refusal has its sentence */
        }
        return 0;
    }
    for (size_t i = 0; i < weir_gguf_n_keys(g); i++) {
        read_key(weir_gguf_key_at(g, i));
    }
    for (size_t i = 0; i < weir_gguf_n_tensors(g); i++) {
        read_tensor(weir_gguf_tensor_at(g, i));
    }
    struct weir_gguf_summary summary;
    weir_gguf_describe(g, &summary);
    use_tokenizer(g);
    weir_gguf_destroy(g);
    return 0;
}
