/* SPDX-License-Identifier: Apache-2.0 */
#include "tool_format.h"

static const struct weir_tool_format formats[] = {
    {.name = "hermes",
     .begin = "<tool_call>",
     .end = "</tool_call>",
     .args_key = "arguments",
     .before = "\n",
     .after = "\n"},
    {.name = "mistral",
     .begin = "[TOOL_CALLS]",
     .end = "",
     .args_key = "arguments",
     .array = true,
     .named = true,
     .before = " ",
     .after = "",
     .id_chars = 9}, /* Mistral's templates refuse ids of another length */
    {.name = "granite",
     .begin = "<|tool_call|>",
     .end = "",
     .args_key = "arguments",
     .array = true,
     .before = "",
     .after = ""},
    {.name = "nemotron",
     .begin = "<TOOLCALL>",
     .end = "</TOOLCALL>",
     .args_key = "arguments",
     .array = true,
     .before = "",
     .after = ""},
    {.name = "llama",
     .begin = "<|python_tag|>",
     .end = "",
     .args_key = "parameters",
     .bare = true,
     .separated = true,
     .before = "",
     .after = ""},
    {.name = "json",
     .begin = "",
     .end = "",
     .args_key = "arguments",
     .bare = true,
     .separated = true,
     .before = "",
     .after = ""},
};
enum { N_FORMATS = sizeof(formats) / sizeof(*formats) };

static bool contains(weir_str text, const char *part)
{
    return text.p && memmem(text.p, text.n, part, strlen(part)) != NULL;
}

const struct weir_tool_format *weir_tool_format_find(weir_str name)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (weir_str_is(name, formats[i].name)) {
            return &formats[i];
        }
    }
    return NULL;
}

const struct weir_tool_format *weir_tool_format_detect(const struct weir_template *t)
{
    if (!weir_template_uses_tools(t)) {
        return NULL;
    }
    weir_str text = weir_template_text(t);
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (formats[i].begin[0] && contains(text, formats[i].begin)) {
            return &formats[i];
        }
    }
    /* Llama 3.2 names the fields but no marker. */
    bool llama = contains(text, "<|start_header_id|>") && contains(text, "\"parameters\"");
    return weir_tool_format_find(weir_str_from(llama ? "llama" : "json"));
}
