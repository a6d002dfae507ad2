/* SPDX-License-Identifier: Apache-2.0 */
#include "method.h"

/* Every method has this shape; the macro only spares the repetition. */
#define METHOD(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value self,        \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

METHOD(dict_get)
{
    const struct weir_tpl_value *key = weir_tpl_arg(args, 0, NULL);
    const struct weir_tpl_value *otherwise = weir_tpl_arg(args, 1, NULL);
    if (!key) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "get() needs a key");
    }
    const struct weir_tpl_value *found = weir_tpl_dict_find(self.dict, key, &run->steps);
    return found ? *found : otherwise ? *otherwise : weir_tpl_none();
}

METHOD(dict_keys)
{
    (void)args;
    return weir_tpl_dict_view(run, self.dict, WEIR_TPL_FORM_KEYS);
}

METHOD(dict_values)
{
    (void)args;
    return weir_tpl_dict_view(run, self.dict, WEIR_TPL_FORM_VALUES);
}

METHOD(dict_items)
{
    (void)args;
    return weir_tpl_dict_view(run, self.dict, WEIR_TPL_FORM_ITEMS);
}

METHOD(dict_copy)
{
    (void)run;
    (void)args;
    return self; /* dicts never change */
}

METHOD(list_index)
{
    const struct weir_tpl_value *item = weir_tpl_arg(args, 0, NULL);
    for (size_t i = 0; item && i < self.list->n; i++) {
        if (weir_tpl_equal(&self.list->items[i], item, &run->steps)) {
            return weir_tpl_int((int64_t)i);
        }
    }
    return weir_tpl_run_fail(run, WEIR_E_ARG, "the value is not in the list");
}

METHOD(list_count)
{
    const struct weir_tpl_value *item = weir_tpl_arg(args, 0, NULL);
    int64_t n = 0;
    for (size_t i = 0; item && i < self.list->n; i++) {
        n += weir_tpl_equal(&self.list->items[i], item, &run->steps);
    }
    return weir_tpl_int(n);
}

METHOD(loop_cycle)
{
    return args->n_plain ? args->values[self.loop->index % args->n_plain]
                         : weir_tpl_run_fail(run, WEIR_E_ARG, "cycle() needs values");
}

METHOD(loop_changed)
{
    struct weir_tpl_list *seen = weir_tpl_new_list(run, args->n_plain, WEIR_TPL_FORM_TUPLE);
    if (!seen) {
        return nothing();
    }
    for (size_t i = 0; i < args->n_plain; i++) {
        seen->items[i] = args->values[i];
    }
    struct weir_tpl_value now = weir_tpl_list_value(seen);
    bool changed = !weir_tpl_equal(&self.loop->changed, &now, &run->steps);
    self.loop->changed = now;
    return weir_tpl_bool(changed);
}

#undef METHOD

/* A method without function exists in Python but would change its object. */
static const struct weir_tpl_method methods[] = {
    {WEIR_TPL_DICT, "get", dict_get},
    {WEIR_TPL_DICT, "keys", dict_keys},
    {WEIR_TPL_DICT, "values", dict_values},
    {WEIR_TPL_DICT, "items", dict_items},
    {WEIR_TPL_DICT, "copy", dict_copy},
    {WEIR_TPL_DICT, "clear", NULL},
    {WEIR_TPL_DICT, "fromkeys", NULL},
    {WEIR_TPL_DICT, "pop", NULL},
    {WEIR_TPL_DICT, "popitem", NULL},
    {WEIR_TPL_DICT, "setdefault", NULL},
    {WEIR_TPL_DICT, "update", NULL},
    {WEIR_TPL_LIST, "index", list_index},
    {WEIR_TPL_LIST, "count", list_count},
    {WEIR_TPL_LIST, "append", NULL},
    {WEIR_TPL_LIST, "clear", NULL},
    {WEIR_TPL_LIST, "extend", NULL},
    {WEIR_TPL_LIST, "insert", NULL},
    {WEIR_TPL_LIST, "pop", NULL},
    {WEIR_TPL_LIST, "remove", NULL},
    {WEIR_TPL_LIST, "reverse", NULL},
    {WEIR_TPL_LIST, "sort", NULL},
    {WEIR_TPL_LOOP, "cycle", loop_cycle},
    {WEIR_TPL_LOOP, "changed", loop_changed},
    {0, NULL, NULL},
};

const struct weir_tpl_method *weir_tpl_method_find(uint8_t kind, weir_str name)
{
    const struct weir_tpl_method *m = kind == WEIR_TPL_STR ? weir_tpl_text_methods : methods;
    for (; m->name; m++) {
        if (m->kind == kind && weir_str_is(name, m->name)) {
            return m;
        }
    }
    return NULL;
}
