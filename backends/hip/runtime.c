/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hip/runtime.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static struct weir_hip_runtime runtime;
static void *library;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_open;

static const char *const names[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};

static int find_symbols(struct weir_error *err)
{
    static const struct {
        const char *name;
        void *to; /* the member that points to the function */
    } symbols[] = {
#define X(name, parameters) {#name, &runtime.name},
        WEIR_HIP_SYMBOLS(X)
#undef X
            {"hipGetErrorString", &runtime.hipGetErrorString},
    };
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            return weir_error_set(err, WEIR_E_UNSUPPORTED, "ROCm is too old: it has no %s",
                                  symbols[i].name);
        }
        memcpy(symbols[i].to, &symbol, sizeof(symbol));
    }
    return 0;
}

static int start(struct weir_error *err)
{
    for (size_t i = 0; !library && i < sizeof(names) / sizeof(names[0]); i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!library) {
        return weir_error_set(err, WEIR_E_NOTFOUND,
                              "no ROCm: libamdhip64.so.7, .6 and .5 are not there");
    }
    int rc = find_symbols(err);
    if (rc < 0) {
        return rc;
    }
    int result = runtime.hipInit(0);
    int n = 0;
    if (result == HIP_SUCCESS) {
        result = runtime.hipGetDeviceCount(&n);
    }
    if (result == HIP_ERROR_NO_DEVICE || (result == HIP_SUCCESS && n == 0)) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "ROCm sees no device");
    }
    if (result != HIP_SUCCESS) {
        return weir_error_set(err, WEIR_E_DEVICE, "ROCm does not start: %s",
                              runtime.hipGetErrorString(result));
    }
    if (runtime.hipRuntimeGetVersion(&runtime.version) != HIP_SUCCESS ||
        runtime.version < WEIR_HIP_VERSION_MIN) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED, "ROCm is version %d.%d, weir needs %d.%d",
                              runtime.version / 10000000, runtime.version / 100000 % 100,
                              WEIR_HIP_VERSION_MIN / 10000000, WEIR_HIP_VERSION_MIN / 100000 % 100);
    }
    return 0;
}

const struct weir_hip_runtime *weir_hip_runtime_open(struct weir_error *err)
{
    (void)pthread_mutex_lock(&lock);
    if (!is_open) {
        is_open = start(err) == 0;
    }
    bool ok = is_open;
    (void)pthread_mutex_unlock(&lock);
    return ok ? &runtime : NULL;
}
