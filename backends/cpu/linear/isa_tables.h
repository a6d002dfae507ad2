/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tables that isa.c chooses among; each is built with the flags of its instruction set. */
#include "backends/cpu/linear/isa.h"

extern const struct weir_cpu_isa weir_cpu_isa_scalar;
#if defined(__x86_64__)
extern const struct weir_cpu_isa weir_cpu_isa_avx2;
extern const struct weir_cpu_isa weir_cpu_isa_avx512;
extern const struct weir_cpu_isa weir_cpu_isa_avx512_vnni;
#elif defined(__aarch64__)
extern const struct weir_cpu_isa weir_cpu_isa_neon;
extern const struct weir_cpu_isa weir_cpu_isa_neon_i8mm;
#endif
