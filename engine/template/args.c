/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

const struct weir_tpl_value *weir_tpl_arg(const struct weir_tpl_args *args, size_t index,
                                          const char *name)
{
    if (index < args->n_plain) {
        return &args->values[index];
    }
    for (size_t i = args->n_plain; name && i < args->n; i++) {
        if (weir_str_is(args->names[i], name)) {
            return &args->values[i];
        }
    }
    return NULL;
}

int64_t weir_tpl_arg_int(struct weir_tpl_run *run, const struct weir_tpl_args *args, size_t index,
                         const char *name, int64_t otherwise)
{
    const struct weir_tpl_value *v = weir_tpl_arg(args, index, name);
    int64_t i = otherwise;
    if (v && !weir_tpl_as_int(v, &i)) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "argument '%s' must be a whole number", name);
    }
    return i;
}

bool weir_tpl_arg_true(const struct weir_tpl_args *args, size_t index, const char *name,
                       bool otherwise)
{
    const struct weir_tpl_value *v = weir_tpl_arg(args, index, name);
    return v ? weir_tpl_is_true(v) : otherwise;
}

weir_str weir_tpl_arg_str(struct weir_tpl_run *run, const struct weir_tpl_args *args, size_t index,
                          const char *name, weir_str otherwise)
{
    const struct weir_tpl_value *v = weir_tpl_arg(args, index, name);
    return v ? weir_tpl_to_str(run, *v) : otherwise;
}

struct weir_tpl_args weir_tpl_args_skip(const struct weir_tpl_args *args, size_t n)
{
    if (n > args->n_plain) {
        n = args->n_plain;
    }
    return (struct weir_tpl_args){.values = args->values ? args->values + n : NULL,
                                  .names = args->names ? args->names + n : NULL,
                                  .n = args->n - n,
                                  .n_plain = args->n_plain - n};
}
