/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Chat messages to prompt text by a model's template.
 *
 * Threads: any; immutable.
 * Errors: WEIR_E_ARG with *refusal filled where the request is at fault; WEIR_E_NOMEM. */
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "engine/tool/tool_format.h"
#include "weir/backend_stream.h"

struct weir_chat;

struct weir_chat_config {
    weir_str template;
    weir_str bos, eos; /* texts of the tokens; empty where there is none */
    bool add_bos;      /* every text of the model begins with bos */
};

/* Copies what it needs. Errors of weir_template_create(). */
WEIR_NODISCARD int weir_chat_create(const struct weir_chat_config *config,
                                    struct weir_chat **ret_chat, struct weir_error *err);
void weir_chat_destroy(struct weir_chat *chat); /* NULL ok */

/* How the model writes tool calls; NULL when its template does not show it any tools. */
const struct weir_tool_format *weir_chat_tool_format(const struct weir_chat *chat);
/* Appends the prompt; *ret_flags tells how to encode it (WEIR_TEXT_*). A NULL chat joins the
 * messages' texts, one below the other. */
int weir_chat_render(const struct weir_chat *chat, const weir_generation *g, struct weir_buf *out,
                     uint32_t *ret_flags, weir_refusal *refusal);
