/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The conformance checks behind `weir plugin test`.
 *
 * Why: a plugin should meet the hard cases (late answers, clients that leave, newer and older
 * hosts, odd configurations) on its author's machine, not in the daemon. Each check runs in a child
 * process with a time limit, so that a crash or a hang is a finding like any other. Ownership:
 * strings of the target are the caller's. Threads: one; the process has no other threads when a
 * check starts. Errors: findings; run() fails only when no child can be made. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEIR_KIT_MAX_FINDINGS = 8, WEIR_KIT_FINDING_BYTES = 400, WEIR_KIT_TIME_LIMIT_S = 30 };

struct weir_kit_target {
    const char *path;         /* of the plugin */
    const char *config;       /* its configuration as YAML or JSON; "{}" */
    const char *tenants_json; /* "{}" */
    const char *model;        /* file for a backend that needs one, or "" */
    uint64_t seed;            /* of everything random; printed, so that a finding can be repeated */
};

enum weir_kit_verdict { WEIR_KIT_PASSED, WEIR_KIT_FAILED, WEIR_KIT_SKIPPED };

struct weir_kit_result {
    enum weir_kit_verdict verdict;
    size_t n;                                                 /* findings */
    char text[WEIR_KIT_MAX_FINDINGS][WEIR_KIT_FINDING_BYTES]; /* or why it was skipped */
};

/* Where a check reports; it runs in the child. */
struct weir_kit_probe {
    const struct weir_kit_target *target;
    int fd; /* to the parent */
    uint64_t random;
};
void weir_kit_find(struct weir_kit_probe *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void weir_kit_skip(struct weir_kit_probe *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* xorshift64* (Vigna 2016): 0..n-1. */
uint32_t weir_kit_random(struct weir_kit_probe *p, uint32_t n);

struct weir_kit_check {
    const char *name;
    const char *what; /* a sentence */
    void (*run)(struct weir_kit_probe *p);
};

/* The checks for an interface ("weir.policy/1", "weir.backend.step/1"), ended by a NULL name; NULL
 * when there are none for it. */
const struct weir_kit_check *weir_kit_checks(const char *interface);
int weir_kit_run(const struct weir_kit_check *check, const struct weir_kit_target *target,
                 struct weir_kit_result *ret_result);

/* The checks, by file. */
void weir_kit_check_life(struct weir_kit_probe *p); /* check_life.c */
void weir_kit_check_requests(struct weir_kit_probe *p);
void weir_kit_check_threads(struct weir_kit_probe *p);
void weir_kit_check_timeout(struct weir_kit_probe *p); /* check_suspend.c */
void weir_kit_check_stranger(struct weir_kit_probe *p);
void weir_kit_check_leaving(struct weir_kit_probe *p);
void weir_kit_check_newer_host(struct weir_kit_probe *p); /* check_peers.c */
void weir_kit_check_bare_host(struct weir_kit_probe *p);
void weir_kit_check_policy_sizes(struct weir_kit_probe *p);
void weir_kit_check_config(struct weir_kit_probe *p);  /* check_config.c */
void weir_kit_check_chunks(struct weir_kit_probe *p);  /* check_chunks.c */
void weir_kit_check_output(struct weir_kit_probe *p);  /* check_output.c */
void weir_kit_check_devices(struct weir_kit_probe *p); /* check_backend.c */
void weir_kit_check_load(struct weir_kit_probe *p);
void weir_kit_check_steps(struct weir_kit_probe *p);
