/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A sink that remembers what it was given, can be full, can be gone, and checks the order.
 *
 * Tickets are 1..FAKE_SINK_TICKETS. Threads: any; one lock. Broken promises (a chunk behind a
 * finish, a gap in seq, half a character, two finishes) are counted in n_violations. */
#include <pthread.h>
#include <stdbool.h>

#include "weir/backend_stream.h"

enum { FAKE_SINK_TICKETS = 1024, FAKE_SINK_CHOICES = 8 };

struct fake_choice {
    char *text; /* NUL-ended, grows; NULL: nothing came */
    size_t len;
    uint32_t n_chunks, n_tokens, n_logprobs;
    char *logprob_bytes; /* the chosen tokens' bytes, one behind the other */
    size_t logprob_len;
    char *arguments; /* of tool calls, all of them */
    size_t arguments_len;
    char tool_name[64];
    uint32_t n_calls;
    enum weir_finish finish;
};

struct fake_stream {
    struct fake_choice choices[FAKE_SINK_CHOICES];
    int n_finished; /* must become 1 */
    weir_outcome outcome;
    uint32_t busy_left;    /* the next so many pushes are refused */
    uint32_t refuse_every; /* each so many-th push is refused with BUSY; 0: none */
    uint32_t n_pushes;
    bool refused; /* the last push was: a wake() is owed */
    bool gone;
};

struct fake_sink {
    weir_sink sink; /* give &fake.sink to engine or scheduler */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fake_stream streams[FAKE_SINK_TICKETS + 1];
    uint32_t n_violations, n_flushes, n_notifies;
    const char *violation;
};

struct fake_sink *fake_sink_create(void);
void fake_sink_destroy(struct fake_sink *f);
/* Blocks until the ticket is finished (or, with n_chunks > 0, choice 0 has so many chunks). Gives
 * up after ten seconds with false. */
bool fake_sink_wait(struct fake_sink *f, weir_ticket ticket, uint32_t n_chunks);
bool fake_sink_wait_refused(struct fake_sink *f, weir_ticket ticket);
/* Setters that take the lock. */
void fake_sink_set_busy(struct fake_sink *f, weir_ticket ticket, uint32_t n_refusals);
void fake_sink_set_gone(struct fake_sink *f, weir_ticket ticket);
