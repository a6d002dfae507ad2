/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "run.h"

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

static struct weir_tpl_value call_raise_exception(struct weir_tpl_run *run,
                                                  const struct weir_tpl_args *args)
{
    weir_str message = weir_tpl_arg_str(run, args, 0, "message", (weir_str){NULL, 0});
    if (run->code == 0) {
        /* The template's own words, without a line: they are meant for the one who asked. */
        int n = (int)(message.n < 400 ? message.n : 400);
        run->code = weir_error_set(run->err, WEIR_E_ARG, "%.*s", n, message.p ? message.p : "");
    }
    return nothing();
}

static struct weir_tpl_value call_strftime_now(struct weir_tpl_run *run,
                                               const struct weir_tpl_args *args)
{
    weir_str format = weir_tpl_arg_str(run, args, 0, "format", (weir_str){NULL, 0});
    weir_str copy = weir_arena_copy(&run->arena, format);
    time_t now = (time_t)run->now_s;
    struct tm tm;
    char text[256];
    if (!copy.p || !localtime_r(&now, &tm)) {
        return weir_tpl_run_no_memory(run);
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof(text), copy.p, &tm);
#pragma GCC diagnostic pop
    return weir_tpl_new_str(run, weir_arena_copy(&run->arena, (weir_str){text, n}), NULL);
}

static struct weir_tpl_value call_namespace(struct weir_tpl_run *run,
                                            const struct weir_tpl_args *args)
{
    struct weir_tpl_dict *d = weir_tpl_dict_create(&run->arena, args->n);
    bool ok = d != NULL;
    if (ok && args->n_plain && args->values[0].kind == WEIR_TPL_DICT) {
        const struct weir_tpl_dict *from = args->values[0].dict;
        for (size_t i = 0; ok && i < from->n; i++) {
            ok = weir_tpl_dict_set(&run->arena, d, from->pairs[i].key, from->pairs[i].value,
                                   &run->steps);
        }
    }
    for (size_t i = args->n_plain; ok && i < args->n; i++) {
        ok = weir_tpl_dict_set(&run->arena, d, weir_tpl_str(args->names[i]), args->values[i],
                               &run->steps);
    }
    return ok ? (struct weir_tpl_value){.kind = WEIR_TPL_NAMESPACE, .dict = d}
              : weir_tpl_run_no_memory(run);
}

static struct weir_tpl_value call_dict(struct weir_tpl_run *run, const struct weir_tpl_args *args)
{
    struct weir_tpl_value v = call_namespace(run, args);
    return v.kind == WEIR_TPL_NAMESPACE ? weir_tpl_dict_value(v.dict) : v;
}

static struct weir_tpl_value call_range(struct weir_tpl_run *run, const struct weir_tpl_args *args)
{
    int64_t first = weir_tpl_arg_int(run, args, 0, "start", 0);
    bool only_stop = args->n_plain < 2;
    int64_t start = only_stop ? 0 : first;
    int64_t stop = only_stop ? first : weir_tpl_arg_int(run, args, 1, "stop", 0);
    int64_t step = weir_tpl_arg_int(run, args, 2, "step", 1);
    if (run->code < 0) {
        return nothing();
    }
    /* Compared before the subtraction, so that it cannot overflow. */
    bool limited = start >= -(INT64_C(1) << 60) && start <= INT64_C(1) << 60 &&
                   stop >= -(INT64_C(1) << 60) && stop <= INT64_C(1) << 60 && step != INT64_MIN;
    if (args->n_plain == 0 || step == 0 || !limited) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "range() needs bounds and a step that is not 0");
    }
    int64_t distance = step > 0 ? stop - start : start - stop;
    int64_t stride = step > 0 ? step : -step;
    int64_t n = distance > 0 ? (distance - 1) / stride + 1 : 0;
    if (n > WEIR_TPL_MAX_RANGE) {
        return weir_tpl_run_fail(run, WEIR_E_TOOBIG, "range() gives at most %d numbers",
                                 WEIR_TPL_MAX_RANGE);
    }
    struct weir_tpl_list *list = weir_tpl_new_list(run, (size_t)n, WEIR_TPL_FORM_RANGE);
    for (int64_t i = 0; list && i < n; i++) {
        list->items[i] = weir_tpl_int(start + i * step);
    }
    return list ? weir_tpl_list_value(list) : nothing();
}

const struct weir_tpl_global *weir_tpl_global_find(weir_str name)
{
    static const struct weir_tpl_global globals[] = {
        {"raise_exception", call_raise_exception},
        {"strftime_now", call_strftime_now},
        {"namespace", call_namespace},
        {"range", call_range},
        {"dict", call_dict},
    };
    for (size_t i = 0; i < sizeof(globals) / sizeof(*globals); i++) {
        if (weir_str_is(name, globals[i].name)) {
            return &globals[i];
        }
    }
    return NULL;
}
