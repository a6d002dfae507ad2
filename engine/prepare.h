/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks a generation against the model and makes its prompt; says what the client must mend.
 *
 * Threads: any, also at the same time for one model.
 * Errors: WEIR_E_ARG with *refusal filled; WEIR_E_NOMEM. */
#include "engine/chat.h"
#include "engine/grammars.h"
#include "engine/prompt.h"
#include "engine/vocabulary.h"
#include "weir/backend_stream.h"

struct weir_model_view { /* what prepare needs to know of a loaded model; borrowed */
    const struct weir_vocabulary *vocabulary;
    const struct weir_chat *chat;   /* NULL: no template; messages are joined */
    struct weir_grammars *grammars; /* NULL: answers cannot be constrained */
    uint64_t serial;                /* of the load */
    uint32_t n_logits;
    const struct weir_page_secret *secret;
    uint32_t n_ctx;            /* longest sequence that fits model and page pool */
    uint32_t caps;             /* WEIR_MODEL_CAN_* */
    uint64_t page_bytes;       /* KV memory of a page; 0: not known, tenants are not bounded */
    bool is_bounded_by_tenant; /* n_ctx is what the tenant's KV memory holds; see weir_prepare() */
};

int weir_prepare(const struct weir_model_view *model, const weir_generation *g,
                 struct weir_prompt **ret_prompt, weir_refusal *refusal);
