/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whole answers: JSON bodies and OpenAI errors, with the headers that every response carries.
 * Each is a no-op when the client has gone or an answer was begun. Threads: [loop-thread]. */
#include "core/request/request.h"

/* For the begin of a stream and for its end: what is known of the times only then goes into a
 * trailer, for clients that take those. */
void weir_answer_stream_headers(struct weir_request *r);
void weir_answer_stream_trailers(struct weir_request *r);
/* Without a body. */
void weir_answer_empty(struct weir_request *r, uint32_t status);
void weir_answer_json(struct weir_request *r, uint32_t status, weir_str json);
void weir_answer_text(struct weir_request *r, uint32_t status, const char *content_type,
                      weir_str text);
void weir_answer_error(struct weir_request *r, uint32_t status, const char *param, const char *code,
                       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void weir_answer_refusal(struct weir_request *r, const weir_refusal *refusal);
/* 404, in the same words for a model that is not there and one that this client may not use; 400
 * when no name was given. */
void weir_answer_unknown_model(struct weir_request *r, weir_str name);
/* 429 or 503 with Retry-After and retry-after-ms. */
void weir_answer_busy(struct weir_request *r, uint32_t status, const char *code,
                      uint64_t retry_after_us, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* What a plugin asked for. */
void weir_answer_plugin(struct weir_request *r);
