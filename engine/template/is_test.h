/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tests (`x is defined`) by name. Threads: any; const tables. */
#include "engine/template/run.h"

struct weir_tpl_test {
    const char *name;
    bool (*holds)(struct weir_tpl_run *run, struct weir_tpl_value v,
                  const struct weir_tpl_args *args);
};

/* NULL when there is none of that name. */
const struct weir_tpl_test *weir_tpl_test_find(weir_str name);
