/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/print.h"
#include "engine/template/text.h"
#include "filter.h"

#define FILTER(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value in,          \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

/* The value as a string; a string stays what it is, markup or not. */
static struct weir_tpl_value soft_str(struct weir_tpl_run *run, struct weir_tpl_value v)
{
    return v.kind == WEIR_TPL_STR ? v : weir_tpl_str(weir_tpl_to_str(run, v));
}

FILTER(filter_string)
{
    (void)args;
    return soft_str(run, in);
}

FILTER(filter_safe)
{
    (void)args;
    struct weir_tpl_value v = soft_str(run, in);
    v.markup = true;
    return v;
}

FILTER(filter_escape)
{
    (void)args;
    return weir_tpl_escape(run, in);
}

FILTER(filter_trim)
{
    struct weir_tpl_value v = soft_str(run, in);
    const struct weir_tpl_value *set = weir_tpl_arg(args, 0, "chars");
    bool given = set && set->kind == WEIR_TPL_STR;
    if (!weir_tpl_run_spend(run, v.str.n / 64 * (given ? 1 + set->str.n : 1))) {
        return nothing();
    }
    v.str = weir_tpl_text_strip(v.str, given ? set->str : (weir_str){NULL, 0}, WEIR_TPL_BOTH);
    return v;
}

static struct weir_tpl_value recase(struct weir_tpl_run *run, struct weir_tpl_value in,
                                    enum weir_tpl_case how)
{
    struct weir_tpl_value v = soft_str(run, in);
    return weir_tpl_new_str(run, weir_tpl_text_case(&run->arena, v.str, how), &v);
}

FILTER(filter_upper)
{
    (void)args;
    return recase(run, in, WEIR_TPL_UPPER);
}

FILTER(filter_lower)
{
    (void)args;
    return recase(run, in, WEIR_TPL_LOWER);
}

FILTER(filter_capitalize)
{
    (void)args;
    return recase(run, in, WEIR_TPL_CAPITALIZE);
}

FILTER(filter_title)
{
    (void)args;
    return recase(run, in, WEIR_TPL_WORDS);
}

FILTER(filter_replace)
{
    struct weir_tpl_value v = soft_str(run, in);
    weir_str from = weir_tpl_arg_str(run, args, 0, "old", (weir_str){NULL, 0});
    weir_str to = weir_tpl_arg_str(run, args, 1, "new", (weir_str){NULL, 0});
    const struct weir_tpl_value *count = weir_tpl_arg(args, 2, "count");
    int64_t max =
        count && count->kind != WEIR_TPL_NONE ? weir_tpl_arg_int(run, args, 2, "count", -1) : -1;
    if (!weir_tpl_arg(args, 1, "new")) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "replace needs two arguments");
    }
    v.markup = false; /* without autoescape jinja2 replaces in a plain string */
    return run->code == 0 ? weir_tpl_replace(run, v, from, to, max) : nothing();
}

FILTER(filter_format)
{
    struct weir_tpl_value v = soft_str(run, in);
    struct weir_tpl_list *values = weir_tpl_new_list(run, args->n_plain, WEIR_TPL_FORM_TUPLE);
    if (!values) {
        return nothing();
    }
    for (size_t i = 0; i < args->n_plain; i++) {
        values->items[i] = args->values[i];
    }
    if (args->n == args->n_plain) {
        return weir_tpl_format_percent(run, v.str, weir_tpl_list_value(values));
    }
    struct weir_tpl_dict *named = weir_tpl_dict_create(&run->arena, args->n);
    bool ok = named != NULL;
    for (size_t i = args->n_plain; ok && i < args->n; i++) {
        ok = weir_tpl_dict_set(&run->arena, named, weir_tpl_str(args->names[i]), args->values[i],
                               &run->steps);
    }
    return ok ? weir_tpl_format_percent(run, v.str, weir_tpl_dict_value(named))
              : weir_tpl_run_no_memory(run);
}

/* One level of indentation: a number of spaces or a string. */
static weir_str indentation(struct weir_tpl_run *run, const struct weir_tpl_value *v,
                            int64_t otherwise)
{
    if (v && v->kind == WEIR_TPL_STR) {
        return v->str;
    }
    int64_t n = otherwise;
    if (v && !weir_tpl_as_int(v, &n)) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "indent must be a whole number or a string");
    }
    n = n < 0 ? 0 : n > 1000 ? 1000 : n;
    char *p = weir_arena_alloc(&run->arena, (size_t)n + 1);
    if (!p) {
        (void)weir_tpl_run_no_memory(run);
        return (weir_str){NULL, 0};
    }
    memset(p, ' ', (size_t)n);
    return (weir_str){p, (size_t)n};
}

FILTER(filter_indent)
{
    struct weir_tpl_value v = soft_str(run, in);
    weir_str indent = indentation(run, weir_tpl_arg(args, 0, "width"), 4);
    bool first = weir_tpl_arg_true(args, 1, "first", false);
    bool blank = weir_tpl_arg_true(args, 2, "blank", false);
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t at = 0; at <= v.str.n && run->code == 0;) {
        size_t end = weir_tpl_text_find(v.str, (weir_str)WEIR_STR_INIT("\n"), at);
        size_t stop = end == SIZE_MAX ? v.str.n : end;
        bool indented = at == 0 ? first : blank || stop > at;
        if (indented) {
            weir_buf_add_str(run->out, indent);
        }
        weir_buf_add(run->out, v.str.p ? v.str.p + at : "", stop - at);
        if (end == SIZE_MAX) {
            break;
        }
        weir_buf_add_char(run->out, '\n');
        at = end + 1;
        (void)weir_tpl_run_spend(run, 1);
    }
    struct weir_tpl_value out = weir_tpl_capture_end(run, begin);
    out.markup = v.markup;
    return out;
}

FILTER(filter_center)
{
    struct weir_tpl_value v = soft_str(run, in);
    int64_t width = weir_tpl_arg_int(run, args, 0, "width", 80);
    size_t n = weir_tpl_text_len(v.str);
    size_t wanted = width > 0 ? (size_t)(width < 10000 ? width : 10000) : 0;
    size_t pad = wanted > n ? wanted - n : 0;
    size_t left = pad / 2 + (pad & wanted & 1);
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t i = 0; i < left; i++) {
        weir_buf_add_char(run->out, ' ');
    }
    weir_buf_add_str(run->out, v.str);
    for (size_t i = left; i < pad; i++) {
        weir_buf_add_char(run->out, ' ');
    }
    return weir_tpl_capture_end(run, begin);
}

FILTER(filter_truncate)
{
    struct weir_tpl_value v = soft_str(run, in);
    int64_t length = weir_tpl_arg_int(run, args, 0, "length", 255);
    bool killwords = weir_tpl_arg_true(args, 1, "killwords", false);
    weir_str end = weir_tpl_arg_str(run, args, 2, "end", (weir_str)WEIR_STR_INIT("..."));
    int64_t leeway = weir_tpl_arg_int(run, args, 3, "leeway", 5);
    int64_t n = (int64_t)weir_tpl_text_len(v.str), n_end = (int64_t)weir_tpl_text_len(end);
    if (run->code < 0 || length < n_end || leeway < 0 || leeway > 1000000) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "truncate needs a length of at least %zu",
                                 (size_t)n_end);
    }
    if (n - leeway <= length) {
        return v;
    }
    weir_str kept = {v.str.p, weir_tpl_text_offset(v.str, (size_t)(length - n_end))};
    size_t space =
        killwords ? SIZE_MAX : weir_tpl_text_rfind(kept, (weir_str)WEIR_STR_INIT(" "), kept.n);
    kept.n = space == SIZE_MAX ? kept.n : space;
    size_t begin = weir_tpl_capture_begin(run);
    weir_buf_add_str(run->out, kept);
    weir_buf_add_str(run->out, end);
    return weir_tpl_capture_end(run, begin);
}

static bool is_word(uint32_t cp)
{
    return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') ||
           cp == '_' || (cp >= 0xC0 && !weir_tpl_text_is_space(cp));
}

FILTER(filter_wordcount)
{
    (void)args;
    struct weir_tpl_value v = soft_str(run, in);
    int64_t n = 0;
    bool inside = false;
    for (size_t at = 0; at < v.str.n && weir_tpl_run_spend(run, 1);) {
        bool word = is_word(weir_tpl_text_next(v.str, at, &at));
        n += word && !inside;
        inside = word;
    }
    return weir_tpl_int(n);
}

FILTER(filter_urlencode)
{
    (void)args;
    struct weir_tpl_value v = soft_str(run, in);
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t i = 0; i < v.str.n; i++) {
        unsigned char c = (unsigned char)v.str.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_.-~/", c));
        if (plain) {
            weir_buf_add_char(run->out, (char)c);
        } else {
            weir_buf_printf(run->out, "%%%02X", c);
        }
    }
    return weir_tpl_capture_end(run, begin);
}

/* As transformers defines it: json.dumps without HTML escapes, U+0080 and above as they are. */
FILTER(filter_tojson)
{
    bool ascii = weir_tpl_arg_true(args, 0, "ensure_ascii", false);
    const struct weir_tpl_value *indent = weir_tpl_arg(args, 1, "indent");
    const struct weir_tpl_value *separators = weir_tpl_arg(args, 2, "separators");
    struct weir_tpl_json_style style = {
        .ascii = ascii,
        .sort_keys = weir_tpl_arg_true(args, 3, "sort_keys", false),
        .item_sep = WEIR_STR_INIT(", "),
        .key_sep = WEIR_STR_INIT(": "),
    };
    if (indent && indent->kind != WEIR_TPL_NONE) {
        style.indent = indentation(run, indent, 0);
        style.item_sep = (weir_str)WEIR_STR_INIT(",");
    }
    if (separators && separators->kind == WEIR_TPL_LIST && separators->list->n == 2) {
        style.item_sep = weir_tpl_to_str(run, separators->list->items[0]);
        style.key_sep = weir_tpl_to_str(run, separators->list->items[1]);
    }
    size_t begin = weir_tpl_capture_begin(run);
    const char *why =
        run->code == 0 ? weir_tpl_print_json(run->out, &in, &style, &run->steps) : NULL;
    struct weir_tpl_value text = weir_tpl_capture_end(run, begin);
    return why ? weir_tpl_run_fail(run, WEIR_E_ARG, "%s (%s)", why, weir_tpl_type_name(&in)) : text;
}

#undef FILTER

const struct weir_tpl_filter weir_tpl_text_filters[] = {
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"string", filter_string},
    {"safe", filter_safe},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"replace", filter_replace},
    {"format", filter_format},
    {"indent", filter_indent},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"center", filter_center},
    {"truncate", filter_truncate},
    {"wordcount", filter_wordcount},
    {"urlencode", filter_urlencode},
    {NULL, NULL},
};
