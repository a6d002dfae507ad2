/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Chat and text completions: from the body to a prepared prompt; then admission.h and run.h go on.
 * Threads: [loop-thread]. */
#include "core/request/request.h"

/* Longer bodies are rendered and tokenised on the thread pool, so that a loop never works for
 * milliseconds on one request. */
enum { WEIR_INLINE_PREPARE_BYTES = 16 * 1024 };

/* The entry points of routes that generate. */
void weir_generate_chat(struct weir_request *r);
void weir_generate_completion(struct weir_request *r);
void weir_generate_embeddings(struct weir_request *r); /* only upstreams make them */

/* Renders and tokenises for `target`, then calls `next`; answers when that fails. What was prepared
 * before is given up. */
void weir_generate_prepare(struct weir_request *r, struct weir_target *target,
                           void (*next)(struct weir_request *r));
/* Gives up what was prepared; no-op when nothing is. */
void weir_generate_discard(struct weir_request *r);
/* 503: the model is loading, or cannot run. */
void weir_generate_answer_not_ready(struct weir_request *r);
/* The client left or the daemon ends: gives up the wait or cancels the run. */
void weir_generate_abandon(struct weir_request *r);
/* Frees what a generation holds; nothing of it runs any more. */
void weir_generate_finish(struct weir_request *r);
