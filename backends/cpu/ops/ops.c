/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/ops/ops.h"

#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "backends/cpu/ops/tables.h"

#if defined(__x86_64__)
/* clang's __builtin_cpu_supports() learned the name f16c only in version 17. */
static bool has_f16c(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

const struct weir_cpu_ops *weir_cpu_ops_at(size_t i)
{
    const struct weir_cpu_ops *tables[3];
    size_t n = 0;
#if defined(__x86_64__)
    if (has_avx512()) {
        tables[n++] = &weir__cpu_ops_avx512;
    }
    if (has_avx2()) {
        tables[n++] = &weir__cpu_ops_avx2;
    }
#elif defined(__aarch64__)
    tables[n++] = &weir__cpu_ops_neon;
#endif
    tables[n++] = &weir__cpu_ops_scalar;
    return i < n ? tables[i] : NULL;
}

/* "neon" is the table for "neon+i8mm" too. */
static bool answers_to(const struct weir_cpu_ops *ops, const char *name)
{
    size_t length = strcspn(name, "+");
    return strlen(ops->name) == length && memcmp(ops->name, name, length) == 0;
}

const struct weir_cpu_ops *weir_cpu_ops_find(const char *name)
{
    for (size_t i = 0;; i++) {
        const struct weir_cpu_ops *ops = weir_cpu_ops_at(i);
        if (!ops || !name || answers_to(ops, name)) {
            return ops;
        }
    }
}
