/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

static struct weir_tpl_value count(size_t n)
{
    return weir_tpl_int((int64_t)n);
}

struct weir_tpl_value weir_tpl_loop_attr(struct weir_tpl_run *run, struct weir_tpl_value v,
                                         weir_str name)
{
    const struct weir_tpl_loop *loop = v.loop;
    const struct {
        const char *name;
        struct weir_tpl_value value;
    } attrs[] = {
        {"index", count(loop->index + 1)},
        {"index0", count(loop->index)},
        {"revindex", count(loop->n - loop->index)},
        {"revindex0", count(loop->n - loop->index - 1)},
        {"first", weir_tpl_bool(loop->index == 0)},
        {"last", weir_tpl_bool(loop->index + 1 == loop->n)},
        {"length", count(loop->n)},
        {"depth", count(1)},
        {"depth0", count(0)},
        {"previtem", loop->index > 0 ? loop->items[loop->index - 1]
                                     : weir_tpl_undefined((weir_str)WEIR_STR_INIT("previtem"))},
        {"nextitem", loop->index + 1 < loop->n
                         ? loop->items[loop->index + 1]
                         : weir_tpl_undefined((weir_str)WEIR_STR_INIT("nextitem"))},
    };
    for (size_t i = 0; i < sizeof(attrs) / sizeof(*attrs); i++) {
        if (weir_str_is(name, attrs[i].name)) {
            return attrs[i].value;
        }
    }
    const struct weir_tpl_method *method = weir_tpl_method_find(WEIR_TPL_LOOP, name);
    struct weir_tpl_bound *bound = weir_arena_alloc(&run->arena, sizeof(*bound));
    if (!bound) {
        return weir_tpl_run_no_memory(run);
    }
    if (!method) {
        struct weir_tpl_value undefined = weir_tpl_undefined(name);
        undefined.owner = WEIR_TPL_LOOP;
        return undefined;
    }
    *bound = (struct weir_tpl_bound){.self = v, .method = method};
    return (struct weir_tpl_value){.kind = WEIR_TPL_METHOD, .bound = bound};
}
