/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tables that ops_impl.h defines, one per file with its own compiler flags. */
#include "backends/cpu/ops/ops.h"

extern const struct weir_cpu_ops weir__cpu_ops_scalar;
#if defined(__x86_64__)
extern const struct weir_cpu_ops weir__cpu_ops_avx2;
extern const struct weir_cpu_ops weir__cpu_ops_avx512;
#elif defined(__aarch64__)
extern const struct weir_cpu_ops weir__cpu_ops_neon;
#endif
