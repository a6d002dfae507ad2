/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the program. Filled before main() (or while a plugin is loaded), read-only then.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/emu.h"
#include "kernels/emu/emu_thread.h"

enum { MAX_KERNELS = 2048 };

static struct weir_emu_kernel kernels[MAX_KERNELS];
static uint32_t n_kernels;

int weir_emu_register(const char *name, uint32_t lanes, void (*entry)(const void *args),
                      size_t args_bytes)
{
    if (n_kernels == MAX_KERNELS) {
        abort(); /* a bound of the source, not of the input */
    }
    kernels[n_kernels++] = (struct weir_emu_kernel){
        .name = name, .lanes = lanes, .entry = entry, .args_bytes = args_bytes};
    return 1;
}

const struct weir_emu_kernel *weir_emu_kernel_find(const char *name, uint32_t lanes)
{
    for (uint32_t i = 0; i < n_kernels; i++) {
        if (kernels[i].lanes == lanes && strcmp(kernels[i].name, name) == 0) {
            return &kernels[i];
        }
    }
    return NULL;
}
