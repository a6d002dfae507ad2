/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The circuits of a plugin's dependencies, which replicas share through the store.
 *
 * How: results are noted on whatever loop they come to, and act at once. A timer on [main] makes
 * open circuits half open, asks the store for the one trial that replicas have among them in each
 * open_us, and writes what changed: the store has "UNTIL TIMES" for each circuit that is not
 * closed, a message with its key makes the others read it. While the store is lost each replica
 * goes by what it sees itself; what it decided is written when the store is back. Metrics:
 * PREFIXstate, PREFIXtransitions, PREFIXtrials, PREFIXcapped, by dependency. Every change is
 * logged. Ownership: the instance owns the set; the host waits for the store before the instance is
 * destroyed. Threads: create, add, destroy [main], create inside instance_create; the rest [any].
 * Bounds: CIRCUIT_SET_MAX circuits. */
#include "circuit.h"
#include "weir/store.h"

enum { CIRCUIT_SET_MAX = 1024, CIRCUIT_KEY_BYTES = 420 };

struct circuit_set;

struct circuit_set_config {
    const weir_host *host;
    const weir_ext_store *store;
    struct circuit_settings settings;
    uint32_t max_open_percent; /* of a group: so many of it are not closed; one always may be */
    const char *prefix;        /* of the metrics' names; static */
    /* So many requests may be under way now (-1: all): whenever that changes, with the set's lock
     * held. NULL: the owner asks. */
    void (*permit)(void *arg, uint32_t index, int64_t n);
    /* Would somebody use it if it could be tried, asked while it is half open? NULL: always. [main]
     */
    bool (*is_wanted)(void *arg, uint32_t index);
    void *arg;
};

/* WEIR_E_NOMEM; else what the store or the timer says. On failure *ret_set is untouched. */
int circuit_set_create(const struct circuit_set_config *config, struct circuit_set **ret_set);
void circuit_set_destroy(struct circuit_set *s); /* NULL ok */

/* The next circuit. `key` is the same in all replicas; is_shared false: it is none of the others'
 * business. Names and keys are copied; WEIR_E_TOOBIG: too long, or too many. */
int circuit_set_add(struct circuit_set *s, uint32_t group, const char *name, const char *key,
                    bool is_shared);
/* Something of it that began at begun_us went well or badly; unknown numbers are ignored. */
void circuit_set_note(struct circuit_set *s, uint32_t index, bool is_good, uint64_t begun_us);
int64_t circuit_set_permits(struct circuit_set *s, uint32_t index);
