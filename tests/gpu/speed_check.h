/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Speed of the GPU backend through the step interface: an 8B-shaped synthetic model, whole or over
 * two devices. And how checks on a GPU tell what they found: lines for tests/gpu/report.py. */
#include <stdbool.h>
#include <stdint.h>

#include "tests/gpu/backends.h"

void gpu_check_figure(const char *name, double value, const char *unit);
int gpu_check_fail(const char *what, const struct weir_error *err); /* gives 1 */
void gpu_check_make_text(int32_t *tokens, uint32_t n, uint32_t n_vocab);

/* Decode, prefill and long attention, host gap, how much host work hides behind the device. type:
 * F16, Q8_0, Q4_K or Q4_0. n_devices: that the model is split over, the first ones; 1 or 2. An exit
 * status. */
int gpu_check_speed(const struct weir_gpu_backend *backend, const char *type, bool is_tiny,
                    uint32_t n_devices);
/* Where the time of a step goes, kernel by kernel (profile.h). An exit status. */
int gpu_check_profile(const struct weir_gpu_backend *backend, const char *type, bool is_tiny);
/* Decoding of a full batch with the model of a GGUF file, to set beside another program's. An exit
 * status. */
int gpu_check_batch(const struct weir_gpu_backend *backend, const char *path, bool is_tiny);
