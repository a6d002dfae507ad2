/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a model family writes tool calls in its output.
 *
 * Why: a chat template tells the model how to write calls but not us how to read them; the markers
 * that it mentions give the family away.
 * Ownership: const tables. Threads: any.
 * Note: some markers are special tokens (`<|python_tag|>`, `[TOOL_CALLS]`): their text must reach
 * the parser, so the detokenizer has to print them for requests with tools. */
#include <stdbool.h>

#include "engine/template/template.h"
#include "weir/types.h"

struct weir_tool_format {
    const char *name;
    const char *begin;    /* marker in front of a call; "" where calls stand bare */
    const char *end;      /* marker behind it; "" for none */
    const char *args_key; /* name of the arguments' field; the parser reads both that are in use */
    bool array;           /* calls stand in one JSON array behind `begin` */
    bool bare;            /* a call may also open the output without `begin` */
    bool named;           /* `begin` name [ARGS] {arguments} is read as well */
    bool separated;       /* several objects follow one another, `;` or a newline between */
    const char *before;   /* white space that the model writes behind `begin` and ... */
    const char *after;    /* ... in front of `end`; for enforced calls */
    unsigned id_chars;    /* length of call ids; 0: "call_" and 24 characters */
};

/* NULL: the template does not read `tools`, so requests with tools are to be refused. Templates of
 * an unknown family get the format "json". */
const struct weir_tool_format *weir_tool_format_detect(const struct weir_template *t);
/* By name ("hermes", "llama", "mistral", "granite", "nemotron", "json"); NULL when there is none.
 */
const struct weir_tool_format *weir_tool_format_find(weir_str name);
