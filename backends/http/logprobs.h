/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Log probabilities in an upstream's JSON: chat's list of objects, completion's four columns.
 *
 * Ownership: what is given lives in the arena and in the JSON. Errors: WEIR_E_FORMAT, WEIR_E_NOMEM.
 * Threads: none. Bounds: the arena's; 20 alternatives a token, the rest is left out. */
#include <yyjson.h>

#include "base/arena.h"
#include "weir/policy.h"

int weir_upstream_read_logprobs(yyjson_val *logprobs, struct weir_arena *arena,
                                const weir_token_logprobs **ret_list, uint32_t *ret_n);
