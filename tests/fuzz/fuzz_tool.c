/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary model output through the tool call parser. Input: one byte that picks the format, then
 * the output. Property: what comes out does not depend on how the output is cut into pieces. */
#include <stdlib.h>

#include "engine/tool/tool_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char TOOLS[] = "[{\"function\":{\"name\":\"get\"}}]";

struct digest {
    struct weir_buf text;
    enum weir_tool_event_kind last;
};

static int add(void *ctx, const struct weir_tool_event *e)
{
    struct digest *d = ctx;
    if (e->kind != d->last || e->kind == WEIR_TOOL_EVENT_START) {
        weir_buf_printf(&d->text, "\n%d %u ", (int)e->kind, e->index);
    }
    d->last = e->kind;
    weir_buf_add_str(&d->text, e->id);
    weir_buf_add_str(&d->text, e->name);
    weir_buf_add_str(&d->text, e->text);
    return 0;
}

static void parse(const struct weir_tool_format *format, yyjson_val *tools, weir_str output,
                  size_t piece, struct digest *d)
{
    *d = (struct digest){.last = WEIR_TOOL_EVENT_END};
    weir_buf_init(&d->text, 1 << 22);
    struct weir_tool_parser p;
    weir_tool_parser_init(&p, format, tools, 1, (struct weir_tool_sink){.emit = add, .ctx = d});
    for (size_t at = 0; at < output.n; at += piece) {
        size_t n = output.n - at < piece ? output.n - at : piece;
        (void)weir_tool_parser_feed(&p, (weir_str){output.p + at, n});
    }
    (void)weir_tool_parser_end(&p);
    weir_tool_parser_finish(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"hermes",  "mistral",  "llama",
                                        "granite", "nemotron", "json"};
    if (size == 0) {
        return 0;
    }
    const struct weir_tool_format *format =
        weir_tool_format_find(weir_str_from(names[data[0] % (sizeof(names) / sizeof(*names))]));
    weir_str output = {(const char *)data + 1, size - 1};
    yyjson_doc *tools = yyjson_read(TOOLS, strlen(TOOLS), 0);
    if (!tools) {
        return 0;
    }
    struct digest whole;
    parse(format, yyjson_doc_get_root(tools), output, SIZE_MAX / 2, &whole);
    for (size_t piece = 1; piece <= 7; piece += 2) {
        struct digest cut;
        parse(format, yyjson_doc_get_root(tools), output, piece, &cut);
        if (!weir_str_eq(weir_buf_view(&whole.text), weir_buf_view(&cut.text))) {
            abort();
        }
        weir_buf_finish(&cut.text);
    }
    weir_buf_finish(&whole.text);
    yyjson_doc_free(tools);
    return 0;
}
