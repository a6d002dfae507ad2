/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From settled text to chunks in the host's sink, with back-pressure.
 *
 * Why: a reader may be full at any chunk. What the sink did not take stays where it was and is sent
 * first when the reader has room again.
 * Ownership: chunks borrow from the output and from the scratch while push() runs.
 * Threads: one owner. No allocation.
 * Errors: WEIR_E_BUSY and WEIR_E_GONE as the sink gave them. */
#include "engine/scheduler/output.h"
#include "engine/scheduler/tool_stream.h"
#include "weir/backend_stream.h"

enum { WEIR_CHUNK_MAX_LOGPROBS = 8 }; /* tokens whose log-probabilities one chunk carries */

/* Room to lay out the log-probabilities of one chunk; one per engine. */
struct weir_logprob_scratch {
    weir_token_logprobs entries[WEIR_CHUNK_MAX_LOGPROBS];
    weir_logprob top[WEIR_CHUNK_MAX_LOGPROBS * 20];
};

struct weir_delivery {
    weir_ticket ticket;
    uint32_t choice;
    uint32_t n_uncounted; /* tokens that no chunk has accounted for yet */
    uint64_t seq;         /* of the next chunk */
    weir_str echo;        /* what is left of the echoed prompt */
};

void weir_delivery_init(struct weir_delivery *d, weir_ticket ticket, uint32_t choice,
                        weir_str echo);
/* Sends what is ready in *o (with tools: in *tools, else NULL) and, when finish is not NONE, the
 * last chunk. 0: all sent. */
int weir_delivery_send(struct weir_delivery *d, struct weir_output *o,
                       struct weir_tool_stream *tools, enum weir_finish finish,
                       const weir_sink *sink, struct weir_logprob_scratch *scratch);
