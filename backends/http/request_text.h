/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The request for an OpenAI-compatible server, written anew from a weir_generation's fields.
 *
 * Why: nothing that a client sent is passed on as it stands: what reaches the upstream is what was
 * parsed, checked and perhaps changed here. Values that are the API's defaults are left out, so
 * that the upstream's own apply. Threads: none. Errors: sticky `failed` of the buffer. */
#include "settings.h"

/* The JSON body. max_tokens 0: not limited. */
void weir_upstream_write_body(struct weir_buf *b, const struct weir_upstream_settings *s,
                              const weir_generation *g, uint32_t max_tokens);
/* HTTP/1.1: head and body, into an empty buffer. The head names the body's length and is written
 * last, right before it: the request begins behind the first *ret_n_before bytes. */
void weir_upstream_write_request(struct weir_buf *b, const struct weir_upstream_settings *s,
                                 const weir_generation *g, uint32_t max_tokens,
                                 size_t *ret_n_before);
