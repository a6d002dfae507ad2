/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An answer that a plugin had kept, in place of a run.
 *
 * Ownership: all of it is in the request's arena. Threads: [loop-thread]. Errors: WEIR_E_NOMEM when
 * the arena is full. */
#include <stdbool.h>

#include "base/arena.h"
#include "base/keyed_hash.h"
#include "weir/answer.h"

struct weir_request;

struct weir_replay {
    const char *source; /* the plugin's name: stands for the target */
    weir_chunk *chunks; /* [n] */
    size_t n, at;       /* at: the next to go out */
    weir_outcome outcome;
    bool is_read;   /* chunks are being read, further up the stack */
    bool cancelled; /* nobody wants the rest */
};

int weir_replay_make(struct weir_arena *arena, weir_str source, const weir_chunk *chunks, size_t n,
                     const weir_outcome *outcome, struct weir_replay **ret_replay);

/* A worker keeps the long key of the secret that it was asked for last: there is one cache. */
struct weir_replay_secret {
    bool is_made;
    uint8_t secret[WEIR_ANSWER_SECRET_BYTES];
    struct weir_keyed_hash_key key;
};

/* weir_ext_answer.key, or with a secret own_key, of a request whose body was read. */
int weir_replay_key(const struct weir_request *r, const uint8_t *secret, weir_answer_key *out);
