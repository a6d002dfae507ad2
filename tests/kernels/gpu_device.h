/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Opens the first GPU for gpu_check, or the emulator. Negative, with a sentence on stderr, where
 * there is none. */
#include "tests/kernels/device.h"

int weir_test_gpu_open(struct weir_test_device *device, int emulator);
