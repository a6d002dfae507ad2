/* SPDX-License-Identifier: Apache-2.0 */
/* Needs ARMv8.2 with dot products. */
#define HAS_I8MM 0
#define NEON_TABLE weir_cpu_isa_neon
#define NEON_NAME "neon"
#include "backends/cpu/linear/neon_impl.h"
