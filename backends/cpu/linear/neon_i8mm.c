/* SPDX-License-Identifier: Apache-2.0 */
/* Needs ARMv8.2 with dot products and products of 8-bit matrices. */
#define HAS_I8MM 1
#define NEON_TABLE weir_cpu_isa_neon_i8mm
#define NEON_NAME "neon+i8mm"
#include "backends/cpu/linear/neon_impl.h"
