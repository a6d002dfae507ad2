/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parameters that a request's body may have: for which kinds of request, how each one is read,
 * and which are refused, as this runtime cannot do what they ask for.
 *
 * What shows only when all of them are known is the caller's to check. Threads: any; pure. */
#include "api_request.h"

/* What the readers work on. out->generation.kind says which parameters there are. */
struct weir_request_reading {
    struct weir_api_request *out;
    struct weir_arena *arena;
    weir_refusal *refusal;
    uint32_t max_tokens, max_completion_tokens; /* both names of one limit */
    bool input_given;                           /* messages, prompt or input */
    bool stream_options_given;
    bool top_logprobs_given;
    bool tool_choice_given; /* also as null */
};

/* A member of the body. WEIR_E_ARG with *refusal filled: no parameter, or not with this value. */
int weir_request_params_read(struct weir_request_reading *rd, yyjson_val *key, yyjson_val *value);
