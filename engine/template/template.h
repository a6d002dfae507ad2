/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model's own chat template, rendered as jinja2 renders it for transformers.
 *
 * What: messages, tools and options go in, the prompt text comes out. The rules are those of
 * transformers' chat_template_utils: ImmutableSandboxedEnvironment with trim_blocks and
 * lstrip_blocks, break and continue, {% generation %}, raise_exception(), strftime_now(), and
 * tojson without HTML escapes.
 * Why our own: the template decides which tokens a model sees; an approximation is another prompt.
 * Left out: recursive loops, include/import/extends/block, *args and **kwargs in calls, lipsum,
 * cycler, joiner and the filters that no chat template uses (wordwrap, xmlattr, random, ...).
 * Whole numbers have 64 bits; one that grows beyond is an error.
 * Ownership: a template owns its tree. A render owns its values; strings in the input are borrowed
 * for the call.
 * Threads: a created template never changes; any number of threads may render it.
 * Errors: see each function. Hostile templates and inputs are bounded in steps, memory, output and
 * nesting (run.h, ast.h); parsing and evaluation recurse, with limits that are checked. */
#include <stdbool.h>

#include <yyjson.h>

#include "base/buf.h"
#include "base/error.h"
#include "weir/types.h"

struct weir_template;

enum { WEIR_TEMPLATE_MAX_BYTES = 1 << 20 };

/* Parses text (copied). WEIR_E_FORMAT with line and reason, WEIR_E_UNSUPPORTED, WEIR_E_TOOBIG,
 * WEIR_E_NOMEM. */
int weir_template_create(weir_str text, struct weir_template **ret_template,
                         struct weir_error *err);
void weir_template_destroy(struct weir_template *t); /* NULL ok */

struct weir_template_input {
    yyjson_val *messages;       /* array */
    yyjson_val *tools;          /* array; NULL: None */
    yyjson_val *kwargs;         /* object of further variables (chat_template_kwargs), or NULL */
    bool add_generation_prompt; /* end with the start of the assistant's turn */
    weir_str bos_token;
    weir_str eos_token;
    int64_t now_s; /* Unix time that strftime_now() shows, in local time */
};

/* Appends the prompt to *out. WEIR_E_ARG when the template refuses (raise_exception(); the message
 * is the template's own) or the input does not fit it: the request's fault, a 400.
 * WEIR_E_UNSUPPORTED for an unknown filter or test, WEIR_E_TOOBIG beyond a bound (out->max_bytes
 * among them). After an error *out is as long as before. */
int weir_template_render(const struct weir_template *t, const struct weir_template_input *in,
                         struct weir_buf *out, struct weir_error *err);

/* The text that was parsed; lives as long as the template. */
weir_str weir_template_text(const struct weir_template *t);

/* Does it read the variable `tools`? */
bool weir_template_uses_tools(const struct weir_template *t);

/* What a template can do with a request. */
struct weir_template_features {
    bool tools;  /* reads the variable `tools` */
    bool system; /* shows a system message */
    bool parts;  /* shows content that is an array of {"type":"text"} parts */
};
/* Finds out by rendering small chats. Costs well below a millisecond; meant
 * for once per model. WEIR_E_NOMEM only. */
int weir_template_features(const struct weir_template *t, struct weir_template_features *ret);

/* A plain template for a model file without one: gemma turns for the gemma architectures, ChatML
 * for all others. Never NULL. */
weir_str weir_template_builtin(weir_str architecture);
