/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/text.h"
#include "run.h"

static struct weir_tpl_value missing(const struct weir_tpl_value *of, weir_str name)
{
    struct weir_tpl_value v = weir_tpl_undefined(name);
    v.owner = of->kind;
    return v;
}

/* The method `name` of the object, or undefined. */
static struct weir_tpl_value bind(struct weir_tpl_run *run, struct weir_tpl_value of, weir_str name)
{
    const struct weir_tpl_method *method = weir_tpl_method_find(of.kind, name);
    if (!method) {
        return missing(&of, name);
    }
    struct weir_tpl_bound *bound = weir_arena_alloc(&run->arena, sizeof(*bound));
    if (!bound) {
        return weir_tpl_run_no_memory(run);
    }
    *bound = (struct weir_tpl_bound){.self = of, .method = method};
    return (struct weir_tpl_value){.kind = WEIR_TPL_METHOD, .bound = bound};
}

struct weir_tpl_value weir_tpl_attr(struct weir_tpl_run *run, struct weir_tpl_value of,
                                    weir_str name)
{
    const struct weir_tpl_value *found = NULL;
    switch (of.kind) {
    case WEIR_TPL_UNDEFINED: return weir_tpl_run_undefined(run, &of);
    case WEIR_TPL_LOOP: return weir_tpl_loop_attr(run, of, name);
    case WEIR_TPL_NAMESPACE:
        found = weir_tpl_dict_find_str(of.dict, name, &run->steps);
        return found ? *found : missing(&of, name);
    case WEIR_TPL_DICT:
        /* jinja2 asks getattr() first: a dict's methods hide keys of the same name. */
        if (!weir_tpl_method_find(of.kind, name)) {
            found = weir_tpl_dict_find_str(of.dict, name, &run->steps);
            return found ? *found : missing(&of, name);
        }
        return bind(run, of, name);
    default: return bind(run, of, name);
    }
}

/* The string that is code point number `i` (negative: from the end), or undefined. */
static struct weir_tpl_value char_at(struct weir_tpl_run *run, const struct weir_tpl_value *of,
                                     int64_t i)
{
    if (!weir_tpl_run_spend(run, of->str.n / 64)) {
        return missing(of, (weir_str){NULL, 0});
    }
    size_t n = weir_tpl_text_len(of->str);
    if (i < 0) {
        i += (int64_t)n;
    }
    if (i < 0 || (uint64_t)i >= n) {
        return missing(of, (weir_str)WEIR_STR_INIT("index"));
    }
    size_t begin = weir_tpl_text_offset(of->str, (size_t)i), end;
    (void)weir_tpl_text_next(of->str, begin, &end);
    struct weir_tpl_value c = *of;
    c.str = (weir_str){of->str.p + begin, end - begin};
    return c;
}

static struct weir_tpl_value element_at(const struct weir_tpl_value *of, int64_t i)
{
    const struct weir_tpl_list *list = of->list;
    if (i < 0) {
        i += (int64_t)list->n;
    }
    bool indexed = list->form <= WEIR_TPL_FORM_RANGE;
    return indexed && i >= 0 && (uint64_t)i < list->n
               ? list->items[i]
               : missing(of, (weir_str)WEIR_STR_INIT("index"));
}

struct weir_tpl_value weir_tpl_item(struct weir_tpl_run *run, struct weir_tpl_value of,
                                    struct weir_tpl_value key)
{
    int64_t i;
    if (of.kind == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_undefined(run, &of);
    }
    if (of.kind == WEIR_TPL_DICT) {
        const struct weir_tpl_value *found = weir_tpl_dict_find(of.dict, &key, &run->steps);
        if (found) {
            return *found;
        }
    }
    if (of.kind == WEIR_TPL_STR && weir_tpl_as_int(&key, &i)) {
        return char_at(run, &of, i);
    }
    if (of.kind == WEIR_TPL_LIST && weir_tpl_as_int(&key, &i)) {
        return element_at(&of, i);
    }
    return key.kind == WEIR_TPL_STR ? weir_tpl_attr(run, of, key.str)
                                    : missing(&of, (weir_str)WEIR_STR_INIT("item"));
}

struct span {
    int64_t start, stop, step;
};

/* Python's slice.indices(). False when a bound is no number or the step is 0. */
static bool resolve(const struct weir_tpl_value bounds[3], int64_t n, struct span *ret_span)
{
    int64_t given[3];
    bool left_out[3];
    for (int i = 0; i < 3; i++) {
        left_out[i] = bounds[i].kind == WEIR_TPL_NONE;
        if (!left_out[i] && !weir_tpl_as_int(&bounds[i], &given[i])) {
            return false;
        }
    }
    int64_t step = left_out[2] ? 1 : given[2];
    if (step == 0) {
        return false;
    }
    int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
    int64_t ends[2];
    for (int i = 0; i < 2; i++) {
        if (left_out[i]) {
            ends[i] = (step > 0) == (i == 0) ? lowest : highest;
            continue;
        }
        int64_t at = given[i] < 0 ? given[i] + n : given[i];
        ends[i] = at < lowest ? lowest : at > highest ? highest : at;
    }
    *ret_span = (struct span){ends[0], ends[1], step};
    return true;
}

static size_t span_count(const struct span *s)
{
    int64_t distance = s->step > 0 ? s->stop - s->start : s->start - s->stop;
    if (distance <= 0) {
        return 0;
    }
    uint64_t stride = s->step > 0 ? (uint64_t)s->step : 0 - (uint64_t)s->step;
    return (size_t)(((uint64_t)distance - 1) / stride + 1);
}

static struct weir_tpl_value slice_list(struct weir_tpl_run *run, const struct weir_tpl_list *list,
                                        const struct span *s)
{
    size_t n = span_count(s);
    struct weir_tpl_list *part = weir_tpl_new_list(run, n, list->form);
    int64_t at = s->start;
    for (size_t i = 0; part && i < n; i++) {
        part->items[i] = list->items[at];
        at = i + 1 < n ? at + s->step : at; /* the last step could overflow */
    }
    return part ? weir_tpl_list_value(part) : weir_tpl_undefined((weir_str){NULL, 0});
}

static struct weir_tpl_value slice_text(struct weir_tpl_run *run, const struct weir_tpl_value *of,
                                        const struct span *s)
{
    if (s->step == 1) {
        size_t begin = weir_tpl_text_offset(of->str, (size_t)s->start);
        size_t end = weir_tpl_text_offset(of->str, (size_t)s->stop);
        struct weir_tpl_value part = *of;
        part.str = (weir_str){of->str.p + begin, end > begin ? end - begin : 0};
        return part;
    }
    struct weir_tpl_list *chars = weir_tpl_iterate(run, *of);
    if (!chars) {
        return weir_tpl_undefined((weir_str){NULL, 0});
    }
    size_t begin = weir_tpl_capture_begin(run), n = span_count(s);
    int64_t at = s->start;
    for (size_t i = 0; i < n && run->code == 0; i++) {
        weir_tpl_print(run, chars->items[at]);
        at = i + 1 < n ? at + s->step : at;
    }
    return weir_tpl_capture_end(run, begin);
}

struct weir_tpl_value weir_tpl_slice(struct weir_tpl_run *run, struct weir_tpl_value of,
                                     const struct weir_tpl_value bounds[3])
{
    if (of.kind == WEIR_TPL_UNDEFINED) {
        return weir_tpl_run_undefined(run, &of);
    }
    bool is_text = of.kind == WEIR_TPL_STR;
    if (!is_text && (of.kind != WEIR_TPL_LIST || of.list->form > WEIR_TPL_FORM_RANGE)) {
        return missing(&of, (weir_str)WEIR_STR_INIT("slice"));
    }
    if (!weir_tpl_run_spend(run, 1 + (is_text ? of.str.n / 64 : 0))) {
        return missing(&of, (weir_str){NULL, 0});
    }
    size_t n = is_text ? weir_tpl_text_len(of.str) : of.list->n;
    struct span span;
    if (!resolve(bounds, (int64_t)n, &span)) {
        return weir_tpl_run_fail(run, WEIR_E_ARG,
                                 "slice bounds must be whole numbers, the step "
                                 "not 0");
    }
    return is_text ? slice_text(run, &of, &span) : slice_list(run, of.list, &span);
}
