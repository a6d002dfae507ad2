/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static struct weir_cuda_driver driver;
static void *library;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_open;

static int find_symbols(struct weir_error *err)
{
    static const struct {
        const char *name;
        void *to; /* the member that points to the function */
    } symbols[] = {
#define X(name, parameters) {#name, &driver.name},
        WEIR_CUDA_SYMBOLS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            return weir_error_set(err, WEIR_E_UNSUPPORTED,
                                  "the NVIDIA driver is too old: it has no %s", symbols[i].name);
        }
        memcpy(symbols[i].to, &symbol, sizeof(symbol));
    }
    return 0;
}

static int start(struct weir_error *err)
{
    if (!library) {
        library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    }
    if (!library) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "no NVIDIA driver: libcuda.so.1 is not there");
    }
    int rc = find_symbols(err);
    if (rc < 0) {
        return rc;
    }
    int result = driver.cuInit(0);
    if (result == CU_ERROR_NO_DEVICE) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "the NVIDIA driver sees no device");
    }
    if (result == CU_ERROR_SYSTEM_DRIVER_MISMATCH) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "libcuda.so.1 and the NVIDIA kernel module differ: reboot or "
                              "reinstall the driver");
    }
    if (result != CU_SUCCESS) {
        const char *text = NULL;
        driver.cuGetErrorString(result, &text);
        return weir_error_set(err, WEIR_E_DEVICE, "the NVIDIA driver does not start: %s",
                              text ? text : "unknown error");
    }
    if (driver.cuDriverGetVersion(&driver.version) != CU_SUCCESS ||
        driver.version < WEIR_CUDA_VERSION_MIN) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "the NVIDIA driver is for CUDA %d.%d, weir needs %d.%d",
                              driver.version / 1000, driver.version % 1000 / 10,
                              WEIR_CUDA_VERSION_MIN / 1000, WEIR_CUDA_VERSION_MIN % 1000 / 10);
    }
    return 0;
}

const struct weir_cuda_driver *weir_cuda_driver_open(struct weir_error *err)
{
    (void)pthread_mutex_lock(&lock);
    if (!is_open) {
        is_open = start(err) == 0;
    }
    bool ok = is_open;
    (void)pthread_mutex_unlock(&lock);
    return ok ? &driver : NULL;
}
