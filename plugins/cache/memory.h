/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The level in this process: answers by digest, the least used go first.
 *
 * In shards, each with a lock, a hash table that never grows and a list in the order of use.
 * Bounds: bytes in all, split evenly over the shards. Ownership: the level holds a reference to
 * each answer. Threads: any. */
#include "answer.h"

struct memory;

struct memory_counts {
    uint64_t bytes, entries, evicted;
};

int memory_create(size_t max_bytes, struct memory **ret_memory);
void memory_destroy(struct memory *m); /* NULL ok */

/* A reference, or NULL. An answer older than `oldest_us` (wall clock) is forgotten. */
struct answer *memory_find(struct memory *m, const uint8_t digest[WEIR_ANSWER_DIGEST_BYTES],
                           uint64_t oldest_us);
/* Replaces the one with the same digest. Nothing happens when it is larger than a shard. Its tenant
 * has at most tenant_bytes afterwards (0: no bound of its own): its own least used ones go. */
void memory_add(struct memory *m, struct answer *a, weir_str tenant, weir_str model,
                size_t tenant_bytes);
/* Of a tenant, and of one of its models when `model` is not empty. May drop others' too. */
uint64_t memory_drop(struct memory *m, weir_str tenant, weir_str model);
void memory_clear(struct memory *m);
struct memory_counts memory_count(struct memory *m);
