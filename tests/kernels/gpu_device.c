/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/gpu_device.h"

#include <stdio.h>

#include "backends/cuda/api.h"
#include "kernels/images/images.h"
#ifdef WEIR_HAS_EMULATOR
#include "kernels/emu/emu.h"
#endif

int weir_test_gpu_open(struct weir_test_device *device, int emulator)
{
#ifdef WEIR_HAS_EMULATOR
    if (emulator) {
        weir_test_device_open(device, weir_emu_api(), 0, NULL, 0);
        return 0;
    }
#endif
    (void)emulator;
    struct weir_error err = {0};
    const struct weir_gpu_api *api = weir_cuda_api(&err);
    if (!api) {
        fprintf(stderr, "gpu_check: %s\n", err.message);
        return WEIR_E_DEVICE;
    }
    weir_test_device_open(device, api, 0, weir_cuda_images, weir_cuda_images_count);
    return 0;
}
