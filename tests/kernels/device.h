/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A device for tests of kernels: loads modules, moves arrays, launches ops. Any driver table will
 * do; tests/kernels/test_*.c take the emulator's, gpu_check a GPU's.
 *
 * Failures end the test: nothing returns an error. Memory lives until weir_test_device_close().
 * Every array has guard bytes behind it that weir_test_fetch() looks at. */
#include <stddef.h>
#include <stdint.h>

#include "kernels/gpu_api.h"

struct weir_test_array {
    void *device;
    size_t n_bytes;
};

struct weir_test_device {
    const struct weir_gpu_api *api;
    struct weir_gpu_device_info info;
    void *context, *stream;
    void *modules[256];
    uint32_t n_modules;
    struct weir_test_array arrays[512];
    uint32_t n_arrays;
};

struct weir_gpu_image;

/* images NULL: the emulator, whose kernels need no loading. */
void weir_test_device_open(struct weir_test_device *device, const struct weir_gpu_api *api,
                           uint32_t index, const struct weir_gpu_image *images, size_t n_images);
void weir_test_device_close(struct weir_test_device *device);
/* Releases all arrays. */
void weir_test_device_reset(struct weir_test_device *device);

/* A device array of n_bytes, with a copy of `from` or, where that is NULL, all bytes 0xFF. */
void *weir_test_array(struct weir_test_device *device, const void *from, size_t n_bytes);
void weir_test_fetch(struct weir_test_device *device, const void *array, void *to, size_t n_bytes);
/* Runs out[0..n) in order and waits. */
void weir_test_run(struct weir_test_device *device, const struct weir_gpu_launch *launches, int n);
/* The mean milliseconds of one run, launched `rounds` times as a graph of all of them. */
float weir_test_time(struct weir_test_device *device, const struct weir_gpu_launch *launches, int n,
                     int rounds);

/* Milliseconds of one copy on the device, the mean of ten. */
float weir_test_time_copy(struct weir_test_device *device, void *to, const void *from,
                          size_t n_bytes);

void weir_test_to_f16(const float *from, uint16_t *to, size_t n);
/* Numbers in -1..1 with a bell shape; the same for the same seed. */
void weir_test_random(float *to, size_t n, uint64_t seed);
/* sum (a - b)^2 / sum b^2; infinite when a has a NaN. */
double weir_test_nmse(const float *a, const float *b, size_t n);
