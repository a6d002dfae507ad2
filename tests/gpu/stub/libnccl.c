/* SPDX-License-Identifier: Apache-2.0 */
/* A libnccl.so.2, and librccl.so.1, for the stub drivers: sums over the emulator's streams, which
 * the drivers' streams are. */
#include <stdlib.h>

#include "kernels/emu/emu.h"
#include "tests/gpu/stub/fault.h"

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, FLOAT32 = 7, SUM = 0, VERSION = 22000 };

struct comm {
    void *group;
    uint32_t rank;
    uint32_t *n_left; /* communicators of the group, shared by them */
};

#define FUNCTION(name, ...)                                                                        \
    EXPORT int name(__VA_ARGS__);                                                                  \
    int name(__VA_ARGS__)

EXPORT const char *ncclGetErrorString(int result);
const char *ncclGetErrorString(int result)
{
    return result == SYSTEM_ERROR ? "unhandled system error" : "some error";
}
FUNCTION(ncclGetVersion, int *version)
{
    *version = VERSION;
    return SUCCESS;
}
FUNCTION(ncclCommInitAll, void **comms, int n, const int *devices)
{
    (void)devices;
    int fault = (int)fault_value("nccl", 0);
    if (fault || n < 1) {
        return fault ? fault : INVALID_ARGUMENT;
    }
    if (n < 1) {
        return INVALID_ARGUMENT;
    }
    void *group = NULL;
    uint32_t *n_left = malloc(sizeof(*n_left));
    if (!n_left || weir_emu_collective()->create(NULL, (uint32_t)n, &group) < 0) {
        free(n_left);
        return SYSTEM_ERROR;
    }
    *n_left = (uint32_t)n;
    for (int i = 0; i < n; i++) {
        struct comm *c = malloc(sizeof(*c));
        if (!c) {
            abort();
        }
        *c = (struct comm){group, (uint32_t)i, n_left};
        comms[i] = c;
    }
    return SUCCESS;
}
FUNCTION(ncclAllReduce, const void *from, void *to, size_t n, int type, int op, void *comm,
         void *stream)
{
    struct comm *c = comm;
    if (from != to || type != FLOAT32 || op != SUM) {
        return INVALID_ARGUMENT;
    }
    return weir_emu_collective()->all_reduce(c->group, c->rank, stream, to, n) < 0 ? SYSTEM_ERROR
                                                                                   : SUCCESS;
}
FUNCTION(ncclCommDestroy, void *comm)
{
    struct comm *c = comm;
    if (__atomic_sub_fetch(c->n_left, 1, __ATOMIC_ACQ_REL) == 0) {
        weir_emu_collective()->destroy(c->group);
        free(c->n_left);
    }
    free(c);
    return SUCCESS;
}
FUNCTION(ncclCommAbort, void *comm)
{
    struct comm *c = comm;
    weir_emu_collective()->abort(c->group, c->rank);
    return ncclCommDestroy(comm);
}
