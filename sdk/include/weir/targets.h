/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.targets/1": the targets of all models, how attempts on them went, and how
 * many requests a plugin lets each of them have.
 *
 * Targets are numbered from 0, those of a model stand side by side; the numbers hold until the
 * daemon ends. There are none before the models are opened: at the start that is after
 * instance_create. A plugin's word stands beside the others' (active checks, ejection, Retry-After,
 * other plugins): the strictest holds. It is taken back when the instance ends. */
#ifndef WEIR_TARGETS_H
#define WEIR_TARGETS_H

#include "weir/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_TARGETS "weir.targets/1"

enum weir_attempt_result {
    WEIR_ATTEMPT_GOOD = 1,
    WEIR_ATTEMPT_BAD = 2, /* the target's fault: no connection, broken, late, an error of its own */
    WEIR_ATTEMPT_NEUTRAL =
        3 /* says nothing of the target: cancelled, refused as wrong or too many */
};

/* One request's try of one target has ended. */
typedef struct weir_attempt {
    uint32_t struct_size;
    uint32_t target;
    uint32_t result;   /* enum weir_attempt_result */
    int32_t rc;        /* WEIR_E_* of the generation; 0: it ended well */
    uint64_t begun_us; /* host->now_us() when the target was given it */
} weir_attempt;

enum weir_target_flags {
    WEIR_TARGET_UPSTREAM = 1u << 0 /* another server; else an engine of this process */
};

typedef struct weir_target_info {
    uint32_t struct_size;
    uint32_t flags; /* enum weir_target_flags */
    uint32_t model; /* number of its model's first target */
    uint32_t reserved;
    weir_str name;     /* "big/0"; valid until the daemon ends */
    weir_str endpoint; /* "host:port" of an upstream, else empty */
    uint64_t n_asked;  /* how often requests looked for a target of its model */
} weir_target_info;

enum { WEIR_PERMIT_ALL = -1 };

typedef struct weir_ext_targets {
    uint32_t struct_size;
    uint32_t reserved;

    /* opened(arg) runs on [main] once the targets are there, before any request: within watch(), or
     * when the models are opened. ended(arg, attempt) runs for every attempt that ended, on the
     * loop of its request, before another request can have its place: permit() there decides
     * whether one gets it. Neither may block. Only inside instance_create, once; not called any
     * more when instance_destroy is. [main] */
    int (*watch)(const weir_host *, void (*opened)(void *arg),
                 void (*ended)(void *arg, const weir_attempt *), void *arg);
    /* WEIR_E_NOTFOUND behind the last. [any] */
    int (*get)(const weir_host *, uint32_t target, weir_target_info *out);
    /* How many requests at a time the target may have: 0 none, WEIR_PERMIT_ALL as many as it takes.
     * Requests that run go on. Needs a watch. [any] */
    int (*permit)(const weir_host *, uint32_t target, int64_t n_requests);
} weir_ext_targets;

#ifdef __cplusplus
}
#endif
#endif
