/* SPDX-License-Identifier: Apache-2.0 */
/* `test_isa OPS LINEAR...`: on this processor OPS is the fastest table of float kernels, and the
 * tables of matrix products are these, fastest first. For emulators, which can be told what to be.
 */
#include <stdio.h>
#include <string.h>

#include "backends/cpu/linear/isa.h"
#include "backends/cpu/ops/ops.h"

static int differs(const char *what, const char *got, const char *want)
{
    if (strcmp(got, want) == 0) {
        return 0;
    }
    fprintf(stderr, "%s: got %s, want %s\n", what, got, want);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: test_isa OPS LINEAR...\n");
        return 2;
    }
    int n_wrong = differs("ops", weir_cpu_ops_find(NULL)->name, argv[1]);
    for (int i = 2; i <= argc; i++) {
        const struct weir_cpu_isa *isa = weir_cpu_isa_at((size_t)i - 2);
        n_wrong += differs("linear", isa ? isa->name : "none", i < argc ? argv[i] : "none");
        if (isa && !weir_cpu_ops_find(isa->name)) {
            n_wrong += differs("ops for", isa->name, "a table with ops of its name");
        }
    }
    return n_wrong > 0;
}
