/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/linear/isa.h"

#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "backends/cpu/linear/isa_tables.h"

static int machine_runs(const struct weir_cpu_isa *isa)
{
#if defined(__x86_64__)
    const int has_avx512 = __builtin_cpu_supports("avx512f") &&
                           __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (isa == &weir_cpu_isa_avx512_vnni) {
        return has_avx512 && __builtin_cpu_supports("avx512vnni");
    }
    if (isa == &weir_cpu_isa_avx512) {
        return has_avx512;
    }
    if (isa == &weir_cpu_isa_avx2) {
        /* Every processor with AVX2 has F16C, which older compilers can not ask for. */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#elif defined(__aarch64__)
    const int has_dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    if (isa == &weir_cpu_isa_neon_i8mm) {
        return has_dot && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
    }
    if (isa == &weir_cpu_isa_neon) {
        return has_dot;
    }
#endif
    return isa == &weir_cpu_isa_scalar;
}

static const struct weir_cpu_isa *const tables[] = {
#if defined(__x86_64__)
    &weir_cpu_isa_avx512_vnni,
    &weir_cpu_isa_avx512,
    &weir_cpu_isa_avx2,
#elif defined(__aarch64__)
    &weir_cpu_isa_neon_i8mm,
    &weir_cpu_isa_neon,
#endif
    &weir_cpu_isa_scalar,
};

const struct weir_cpu_isa *weir_cpu_isa_at(size_t i)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        if (machine_runs(tables[t]) && i-- == 0) {
            return tables[t];
        }
    }
    return NULL;
}

const struct weir_cpu_isa *weir_cpu_isa_find(const char *name)
{
    const struct weir_cpu_isa *isa = weir_cpu_isa_at(0);
    for (size_t i = 1; name && isa && strcmp(isa->name, name) != 0; i++) {
        isa = weir_cpu_isa_at(i);
    }
    return isa;
}
