/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* "input" of POST /v1/embeddings: a text, an array of token ids, or an array of up to
 * WEIR_EMBEDDING_MAX_INPUTS of either; none of them empty.
 * Source: OpenAI API reference, "Create embeddings". Threads: any; pure. */
#include <yyjson.h>

#include "weir/backend_stream.h"

enum { WEIR_EMBEDDING_MAX_INPUTS = 2048 };

/* WEIR_E_ARG with *refusal filled. */
int weir_embedding_input_check(yyjson_val *v, uint32_t *ret_n_inputs, weir_refusal *refusal);
