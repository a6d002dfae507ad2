/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An answer as it is kept: the chunks of its output, who may see it and what it used, in one block
 * of bytes.
 *
 * Layout, little-endian: "wca1", chunk count (u32), digest (32 bytes), when it was made (u64, wall
 * clock in us), prompt tokens (u64), completion tokens (u64), then the chunks (answer.c).
 * Ownership: an answer is counted by references and never changes; a writer owns its bytes until
 * answer_finish() takes them. Threads: answers any; a writer one at a time.
 * Errors: what comes from a store is checked as foreign input: WEIR_E_FORMAT. */
#include <stdatomic.h>
#include <stdbool.h>

#include "weir/answer.h"

struct answer {
    atomic_uint refs;
    uint32_t n_chunks;
    size_t n, cap; /* bytes, and for how many there is room */
    uint64_t made_us, prompt_tokens, completion_tokens;
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
    char bytes[];
};

/* From a store's value; its digest must be the one asked for (WEIR_E_NOTFOUND: it is another's). */
int answer_read(weir_str value, const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES],
                struct answer **ret_answer);
struct answer *answer_ref(struct answer *a); /* by who has a reference, or the lock of memory.c */
void answer_unref(struct answer *a);         /* NULL ok */

/* The chunks in one allocation, which points into the answer; free(). WEIR_E_NOMEM, WEIR_E_FORMAT.
 */
int answer_chunks(const struct answer *a, weir_chunk **ret_chunks);

/* Memory for an answer, with its bytes' bound here: what nobody wrote to for long is in no cache,
 * and who writes over it need not wait for it. */
struct answer_room {
    struct answer *a; /* NULL: none */
    size_t cap;
};

/* Gathers an answer; its head is written at the end. */
struct answer_writer {
    struct answer_room room;  /* none: nothing yet */
    struct answer_room spare; /* one that nobody needs any more, to write over; none */
    size_t n, max_bytes;
    uint32_t n_chunks;
};

/* WEIR_E_TOOBIG above max_bytes, WEIR_E_NOMEM. */
int answer_add(struct answer_writer *w, const weir_chunk *c);
/* Writes the head and gives the answer away; NULL: nothing was added. */
struct answer *answer_finish(struct answer_writer *w,
                             const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t made_us,
                             uint64_t prompt_tokens, uint64_t completion_tokens);
void answer_drop(struct answer_writer *w);
