/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks of ops against their references on any device: tests/kernels/test_*.c run them on the
 * emulator in both wave widths, gpu_check on a GPU.
 *
 * Each returns the number of shapes that failed, after a line about each on stderr. */
#include "tests/kernels/device.h"

int weir_check_rows(struct weir_test_device *device); /* embed, glu, norms, pool, copies */
int weir_check_rope_kv(struct weir_test_device *device);
int weir_check_attn_decode(struct weir_test_device *device);
int weir_check_attn_prefill(struct weir_test_device *device);
int weir_check_sampling(struct weir_test_device *device); /* sample, logits_adjust, logprobs */

/* Speed: prints "NAME: VALUE UNIT" lines. Needs a GPU. */
void weir_time_attention(struct weir_test_device *device, double copy_bytes_per_s);
