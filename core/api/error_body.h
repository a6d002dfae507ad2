/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The OpenAI error object: {"error":{"message","type","param","code"}}.
 * Threads: any; pure. */
#include "base/buf.h"

/* `type` follows from the status; empty `param` and `code` become null. */
void weir_error_body_write(struct weir_buf *out, unsigned status, weir_str message, weir_str param,
                           weir_str code);
/* With the type given, for refusals that plugins word themselves. */
void weir_error_body_write_typed(struct weir_buf *out, weir_str type, weir_str message,
                                 weir_str param, weir_str code);
/* "invalid_request_error", "rate_limit_error", …: what OpenAI says for this status. */
const char *weir_error_type(unsigned status);
