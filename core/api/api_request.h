/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An OpenAI request, checked and turned into a weir_generation.
 *
 * Why: a parameter that can't be honoured is refused by name, never silently ignored; so every
 * known parameter stands in one table and everything else is an error. Source: OpenAI API
 * reference, "Create chat completion", "Create completion" and "Create embeddings"; additions that
 * other servers share: top_k, min_p, typical_p, repetition_penalty, ignore_eos,
 * chat_template_kwargs.
 * Ownership: all strings live in `arena` or in `doc`; both must outlive the struct.
 * Threads: any. Errors: WEIR_E_ARG with a filled weir_refusal. */
#include <stdbool.h>
#include <yyjson.h>

#include "base/arena.h"
#include "weir/backend_stream.h"

struct weir_api_request {
    weir_generation generation;
    weir_str model; /* "" when left out */
    weir_str user;
    bool stream;
    bool include_usage; /* stream_options.include_usage */
    bool seed_given;    /* else the caller draws one */
};

/* `kind`: enum weir_generation_kind. *ret_request is empty, all zeros. */
int weir_api_request_parse(yyjson_val *body, uint32_t kind, struct weir_arena *arena,
                           struct weir_api_request *ret_request, weir_refusal *refusal);

/* The request's sampling, what it left out as the model has it. */
weir_sampling weir_api_request_sampling(const struct weir_api_request *request,
                                        const weir_sampling *models);

/* Fills *refusal and returns WEIR_E_ARG. `param` and `code` may be "". */
int weir_refuse(weir_refusal *refusal, uint32_t status, const char *param, const char *code,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
