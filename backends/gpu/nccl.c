/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/nccl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

typedef void *nccl_comm;

enum {
    NCCL_SUCCESS = 0,
    NCCL_INVALID_ARGUMENT = 4,
    NCCL_FLOAT32 = 7,
    NCCL_SUM = 0,
    NCCL_VERSION_MIN = 20900 /* 2.9: sums can be captured */
};

/* The name is the symbol as the library exports it. */
#define NCCL_SYMBOLS(X)                                                                            \
    X(ncclGetVersion, (int *version))                                                              \
    X(ncclCommInitAll, (nccl_comm * comms, int n, const int *devices))                             \
    X(ncclAllReduce,                                                                               \
      (const void *from, void *to, size_t n, int type, int op, nccl_comm comm, void *stream))      \
    X(ncclCommAbort, (nccl_comm comm))                                                             \
    X(ncclCommDestroy, (nccl_comm comm))

static struct {
    void *library;
    bool is_open;
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration's name and parameters take none */
#define X(name, parameters) int(*name) parameters;
    NCCL_SYMBOLS(X)
#undef X
    const char *(*ncclGetErrorString)(int result);
} nccl;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of open() */

static _Thread_local char last_error[160];

struct group {
    uint32_t n_ranks;
    nccl_comm comms[WEIR_GPU_RANKS_MAX]; /* NULL: aborted; each used by its rank's thread alone */
};

static int check(int result, const char *call)
{
    if (result == NCCL_SUCCESS) {
        return 0;
    }
    const char *text = nccl.ncclGetErrorString(result);
    (void)snprintf(last_error, sizeof(last_error), "%s: %s (%d); NCCL_DEBUG=WARN says more", call,
                   text ? text : "unknown error", result);
    return result == NCCL_INVALID_ARGUMENT ? WEIR_E_ARG : WEIR_E_DEVICE;
}

#define CALL(function, ...) check(nccl.function(__VA_ARGS__), #function)

static int create(const uint32_t *devices, uint32_t n, void **ret_group)
{
    int list[WEIR_GPU_RANKS_MAX];
    struct group *g = n <= WEIR_GPU_RANKS_MAX ? calloc(1, sizeof(*g)) : NULL;
    if (!g) {
        (void)snprintf(last_error, sizeof(last_error), "no group of %u devices", n);
        return WEIR_E_NOMEM;
    }
    g->n_ranks = n;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = (int)devices[i];
    }
    int rc = CALL(ncclCommInitAll, g->comms, (int)n, list);
    if (rc < 0) {
        free(g);
        return rc;
    }
    *ret_group = g;
    return 0;
}

static void destroy(void *group)
{
    struct group *g = group;
    for (uint32_t i = 0; g && i < g->n_ranks; i++) {
        if (g->comms[i]) {
            nccl.ncclCommDestroy(g->comms[i]);
        }
    }
    free(g);
}

static int all_reduce(void *group, uint32_t rank, void *stream, float *data, size_t n)
{
    struct group *g = group;
    if (!g->comms[rank]) {
        (void)snprintf(last_error, sizeof(last_error), "the devices are not joined any more");
        return WEIR_E_DEVICE;
    }
    return CALL(ncclAllReduce, data, data, n, NCCL_FLOAT32, NCCL_SUM, g->comms[rank], stream);
}

/* Its kernels see it and end; the communicator's memory goes with it. */
static void give_up(void *group, uint32_t rank)
{
    struct group *g = group;
    nccl_comm comm = g->comms[rank];
    g->comms[rank] = NULL;
    if (comm) {
        nccl.ncclCommAbort(comm);
    }
}

static const char *error_text(void)
{
    return last_error;
}

static int find_symbols(const char *library, struct weir_error *err)
{
#define X(name, parameters)                                                                        \
    *(void **)(void *)&nccl.name = dlsym(nccl.library, #name);                                     \
    if (!nccl.name) {                                                                              \
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "%s is too old: it has no " #name,          \
                              library);                                                            \
    }
    NCCL_SYMBOLS(X)
    X(ncclGetErrorString, )
#undef X
    return 0;
}

static int start(const char *library, struct weir_error *err)
{
    if (!nccl.library) {
        nccl.library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    }
    if (!nccl.library) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "a model on several devices needs a library that cannot be opened: "
                              "%s",
                              dlerror());
    }
    int rc = find_symbols(library, err);
    int version = 0;
    if (rc >= 0 && (nccl.ncclGetVersion(&version) != NCCL_SUCCESS || version < NCCL_VERSION_MIN)) {
        rc = weir_error_set(err, WEIR_E_UNSUPPORTED, "%s is version %d, weir needs %d", library,
                            version, NCCL_VERSION_MIN);
    }
    return rc;
}

const struct weir_gpu_collective *weir_nccl_open(const char *library, struct weir_error *err)
{
    static const struct weir_gpu_collective collective = {
        .name = "nccl",
        .create = create,
        .destroy = destroy,
        .all_reduce = all_reduce,
        .abort = give_up,
        .error_text = error_text,
    };
    (void)pthread_mutex_lock(&lock);
    if (!nccl.is_open) {
        nccl.is_open = start(library, err) == 0;
    }
    bool ok = nccl.is_open;
    (void)pthread_mutex_unlock(&lock);
    return ok ? &collective : NULL;
}
