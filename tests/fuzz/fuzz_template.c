/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary template text, parsed and rendered. Input: the template, then, behind a NUL byte, an
 * array of messages as JSON (left out or malformed: one plain message). Property: rendering twice
 * gives the same, and no bound is passed (a sanitizer or the time limit tells). */
#include <stdlib.h>

#include "engine/template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OUTPUT_BYTES = 1 << 16 };

static const char PLAIN[] = "[{\"role\":\"user\",\"content\":\"hi\"}]";

static int render(const struct weir_template *t, yyjson_val *messages, struct weir_buf *out)
{
    struct weir_template_input in = {
        .messages = messages,
        .tools = messages,
        .add_generation_prompt = true,
        .bos_token = WEIR_STR_INIT("<s>"),
        .eos_token = WEIR_STR_INIT("</s>"),
    };
    struct weir_error err;
    weir_buf_init(out, MAX_OUTPUT_BYTES);
    return weir_template_render(t, &in, out, &err);
}

static void render_twice(const struct weir_template *t, yyjson_val *messages)
{
    struct weir_buf first, second;
    int r = render(t, messages, &first);
    int again = render(t, messages, &second);
    if (r != again || !weir_str_eq(weir_buf_view(&first), weir_buf_view(&second))) {
        abort();
    }
    weir_buf_finish(&first);
    weir_buf_finish(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size ? memchr(text, '\0', size) : NULL;
    size_t n = nul ? (size_t)(nul - text) : size;
    struct weir_template *t = NULL;
    struct weir_error err;
    if (weir_template_create((weir_str){text, n}, &t, &err) < 0) {
        return 0;
    }
    yyjson_doc *doc = nul ? yyjson_read(nul + 1, size - n - 1, 0) : NULL;
    if (!doc) {
        doc = yyjson_read(PLAIN, strlen(PLAIN), 0);
    }
    render_twice(t, doc ? yyjson_doc_get_root(doc) : NULL);
    yyjson_doc_free(doc);
    weir_template_destroy(t);
    return 0;
}
