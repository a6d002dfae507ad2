/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An upstream's list of embeddings, turned into chunks: one for each input, in the upstream's
 * order, whose texts side by side are the items of a JSON array. As strict as answer.h. Source:
 * OpenAI API reference, "The embedding object". */
#include "answer.h"

/* `data` of the answer. 0, what emit() answered, WEIR_E_NOMEM, or WEIR_E_FORMAT with *ret_what as
 * what the server sent. `emit` is the answer's own, which counts and skips. */
int weir_upstream_read_embeddings(struct weir_upstream_answer *a, yyjson_val *data,
                                  int (*emit)(struct weir_upstream_answer *a, weir_chunk *chunk),
                                  const char **ret_what);
