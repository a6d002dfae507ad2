/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The level in this process: an answer in each place, the least used go first.
 *
 * A place is one of a tenant's, as in the store: a number that the answer's key chooses. Another
 * answer with the same place replaces it. In shards, each with a lock and a table of buckets, each
 * a line of the cache: a miss reads one, and nothing of the megabytes of answers. Who has to go is
 * found by a hand that goes round all places and passes each that was used since it came by last.
 * Answers that were replaced are handed out again to be written over: with every place taken, a
 * miss costs no malloc and no cold line of a free list.
 * Bounds: bytes in all, split evenly over the shards; MEMORY_SPARES blocks a shard besides, and a
 * line of the table for each 4 KiB.
 * Ownership: the level holds a reference to each answer. Threads: any. */
#include "answer.h"

struct memory;

enum {
    MEMORY_SPARES = 4,
    MEMORY_SPARE_BYTES = 8192, /* larger ones are freed */
    MEMORY_PLACE_BYTES = 64    /* that an answer takes besides its own */
};

struct memory_counts {
    uint64_t bytes, entries, evicted;
};

/* WEIR_E_NOMEM, WEIR_E_IO: no random number. */
int memory_create(size_t max_bytes, struct memory **ret_memory);
/* The one of this process, with what is in it, if there is one of this size; else a new one. So an
 * instance that takes over, after a reload, has the answers of the one before. */
int memory_share(size_t max_bytes, struct memory **ret_memory);
void memory_destroy(struct memory *m); /* NULL ok; a shared one goes with the last who has it */

/* A tenant's place. Two that have some forty bits in common take it from each other; one's answer
 * is never found in the other's. */
uint64_t memory_place(weir_str tenant, uint64_t number);
/* A reference to the answer in a place, if it is the one asked for and not older than `oldest_us`
 * (wall clock); or NULL, with a spare answer (or none) in *ret_spare, which the caller frees. */
struct answer *memory_find(struct memory *m, uint64_t place,
                           const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES], uint64_t oldest_us,
                           struct answer_room *ret_spare);
/* What was dropped on demand, as a number: another one after each time. */
uint64_t memory_epoch(const struct memory *m);
/* Puts an answer that is in no place yet into one, and takes the caller's reference in any case.
 * False: it is larger than a shard, there is no memory, or something was dropped since `epoch`, in
 * which it was asked for. Its tenant has at most tenant_bytes afterwards (0: no bound of its own):
 * its own least used ones go. */
bool memory_add(struct memory *m, struct answer *a, uint64_t epoch, uint64_t place, weir_str tenant,
                weir_str model, size_t tenant_bytes);
/* Of a tenant, and of one of its models when `model` is not empty. May drop others' too. */
uint64_t memory_drop(struct memory *m, weir_str tenant, weir_str model);
void memory_clear(struct memory *m);
/* Random, as long as it lives: under which its users hash what they look for. [16] */
const uint8_t *memory_secret(const struct memory *m);
struct memory_counts memory_count(struct memory *m);
