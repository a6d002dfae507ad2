/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of check.h on the emulator, in both wave widths; the argument names one of them. */
#include <stdio.h>
#include <string.h>

#include "kernels/emu/emu.h"
#include "tests/kernels/check.h"

static const struct {
    const char *name;
    int (*check)(struct weir_test_device *device);
} checks[] = {
    {"rows", weir_check_rows},
    {"rope_kv", weir_check_rope_kv},
    {"attn_decode", weir_check_attn_decode},
    {"attn_prefill", weir_check_attn_prefill},
    {"sampling", weir_check_sampling},
};

int main(int argc, char **argv)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (argc > 1 && strcmp(argv[1], checks[i].name) != 0) {
            continue;
        }
        for (uint32_t index = 0; index < 4; index += 2) {
            struct weir_test_device device;
            weir_test_device_open(&device, weir_emu_api(), index, NULL, 0);
            weir_emu_pool_seed(weir_emu_context_pool(device.context), 7 + index);
            const int n = checks[i].check(&device);
            weir_test_device_close(&device);
            printf("%s, waves of %u: %s\n", checks[i].name, index < 2 ? 32u : 64u,
                   n ? "FAILED" : "ok");
            failed += n;
        }
    }
    return failed != 0;
}
