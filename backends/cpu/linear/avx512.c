/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 kernels on tiles of 16 rows, for processors that lack VNNI. A strip is 2 tiles x 4
 * tokens, or 6 tiles x 1 token: 8 float sums and 8 integer ones of 32 registers. */
#include "backends/cpu/linear/avx512.h"
#include "backends/cpu/linear/isa_tables.h"

#define ISA_TABLE weir_cpu_isa_avx512
#define ISA_NAME "avx512"
#define ISA_Q8_FLIP 0

enum {
    TILES = 2,       /* of a strip */
    TILES_ALONE = 6, /* of a strip of one token: more streams fill more of the bandwidth */
};

#include "backends/cpu/linear/maddubs_impl.h"
