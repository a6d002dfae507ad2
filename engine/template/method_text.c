/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/text.h"
#include "method.h"

/* Every method has this shape; the macro only spares the repetition. */
#define METHOD(name)                                                                               \
    static struct weir_tpl_value name(struct weir_tpl_run *run, struct weir_tpl_value self,        \
                                      const struct weir_tpl_args *args)

static struct weir_tpl_value nothing(void)
{
    return weir_tpl_undefined((weir_str){NULL, 0});
}

static struct weir_tpl_value list_or_nothing(struct weir_tpl_list *list)
{
    return list ? weir_tpl_list_value(list) : nothing();
}

static struct weir_tpl_value strip(struct weir_tpl_run *run, struct weir_tpl_value self,
                                   const struct weir_tpl_args *args, enum weir_tpl_side side)
{
    const struct weir_tpl_value *set = weir_tpl_arg(args, 0, "chars");
    bool given = set && set->kind == WEIR_TPL_STR;
    /* The set is searched for every character. */
    if (!weir_tpl_run_spend(run, self.str.n / 64 * (given ? 1 + set->str.n : 1))) {
        return nothing();
    }
    weir_str chars = given ? set->str : (weir_str){NULL, 0};
    self.str = weir_tpl_text_strip(self.str, chars, side);
    return self;
}

METHOD(str_strip)
{
    return strip(run, self, args, WEIR_TPL_BOTH);
}

METHOD(str_lstrip)
{
    return strip(run, self, args, WEIR_TPL_LEFT);
}

METHOD(str_rstrip)
{
    return strip(run, self, args, WEIR_TPL_RIGHT);
}

static struct weir_tpl_value recase(struct weir_tpl_run *run, struct weir_tpl_value self,
                                    enum weir_tpl_case how)
{
    return weir_tpl_new_str(run, weir_tpl_text_case(&run->arena, self.str, how), &self);
}

METHOD(str_upper)
{
    (void)args;
    return recase(run, self, WEIR_TPL_UPPER);
}

METHOD(str_lower)
{
    (void)args;
    return recase(run, self, WEIR_TPL_LOWER);
}

METHOD(str_title)
{
    (void)args;
    return recase(run, self, WEIR_TPL_TITLE);
}

METHOD(str_capitalize)
{
    (void)args;
    return recase(run, self, WEIR_TPL_CAPITALIZE);
}

/* startswith and endswith take a string or a tuple of them. */
static struct weir_tpl_value match(struct weir_tpl_run *run, weir_str s,
                                   const struct weir_tpl_args *args,
                                   bool (*matches)(weir_str s, weir_str part))
{
    const struct weir_tpl_value *what = weir_tpl_arg(args, 0, NULL);
    if (what && what->kind == WEIR_TPL_STR) {
        return weir_tpl_bool(matches(s, what->str));
    }
    if (!what || what->kind != WEIR_TPL_LIST || what->list->form != WEIR_TPL_FORM_TUPLE) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "a string or a tuple of strings expected");
    }
    for (size_t i = 0; i < what->list->n; i++) {
        const struct weir_tpl_value *item = &what->list->items[i];
        if (item->kind == WEIR_TPL_STR && matches(s, item->str)) {
            return weir_tpl_bool(true);
        }
    }
    return weir_tpl_bool(false);
}

METHOD(str_startswith)
{
    return match(run, self.str, args, weir_tpl_text_starts);
}

METHOD(str_endswith)
{
    return match(run, self.str, args, weir_tpl_text_ends);
}

/* The string argument 0, or an error. */
static bool needle_of(struct weir_tpl_run *run, const struct weir_tpl_args *args, weir_str *ret_s)
{
    const struct weir_tpl_value *v = weir_tpl_arg(args, 0, NULL);
    if (!v || v->kind != WEIR_TPL_STR) {
        (void)weir_tpl_run_fail(run, WEIR_E_ARG, "a string argument expected");
        return false;
    }
    *ret_s = v->str;
    return true;
}

METHOD(str_removeprefix)
{
    weir_str prefix;
    if (needle_of(run, args, &prefix) && weir_tpl_text_starts(self.str, prefix)) {
        self.str = (weir_str){self.str.p + prefix.n, self.str.n - prefix.n};
    }
    return self;
}

METHOD(str_removesuffix)
{
    weir_str suffix;
    if (needle_of(run, args, &suffix) && weir_tpl_text_ends(self.str, suffix)) {
        self.str.n -= suffix.n;
    }
    return self;
}

/* Code point index of a byte offset, -1 for none. */
static struct weir_tpl_value index_of(weir_str s, size_t offset)
{
    return weir_tpl_int(offset == SIZE_MAX ? -1
                                           : (int64_t)weir_tpl_text_len((weir_str){s.p, offset}));
}

METHOD(str_find)
{
    weir_str needle;
    if (!needle_of(run, args, &needle) || !weir_tpl_run_spend(run, self.str.n / 64)) {
        return nothing();
    }
    int64_t from = weir_tpl_arg_int(run, args, 1, NULL, 0);
    size_t at = from > 0 ? weir_tpl_text_offset(self.str, (size_t)from) : 0;
    return index_of(self.str, weir_tpl_text_find(self.str, needle, at));
}

METHOD(str_rfind)
{
    weir_str needle;
    if (!needle_of(run, args, &needle) || !weir_tpl_run_spend(run, self.str.n / 8)) {
        return nothing();
    }
    return index_of(self.str, weir_tpl_text_rfind(self.str, needle, self.str.n));
}

METHOD(str_index)
{
    struct weir_tpl_value at = str_find(run, self, args);
    return run->code == 0 && at.i < 0 ? weir_tpl_run_fail(run, WEIR_E_ARG, "substring not found")
                                      : at;
}

METHOD(str_count)
{
    weir_str needle;
    if (!needle_of(run, args, &needle) || !weir_tpl_run_spend(run, self.str.n / 16)) {
        return nothing();
    }
    if (needle.n == 0) {
        return weir_tpl_int((int64_t)weir_tpl_text_len(self.str) + 1);
    }
    int64_t n = 0;
    for (size_t at = 0; (at = weir_tpl_text_find(self.str, needle, at)) != SIZE_MAX;) {
        at += needle.n;
        n++;
    }
    return weir_tpl_int(n);
}

METHOD(str_replace)
{
    const struct weir_tpl_value *from = weir_tpl_arg(args, 0, "old");
    const struct weir_tpl_value *to = weir_tpl_arg(args, 1, "new");
    if (!from || !to || from->kind != WEIR_TPL_STR || to->kind != WEIR_TPL_STR) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "replace() needs two strings");
    }
    return weir_tpl_replace(run, self, from->str, to->str,
                            weir_tpl_arg_int(run, args, 2, "count", -1));
}

static bool add_part(struct weir_tpl_run *run, struct weir_tpl_list *list, size_t *cap,
                     const struct weir_tpl_value *self, size_t begin, size_t end)
{
    struct weir_tpl_value part = *self;
    part.str = (weir_str){self->str.p + begin, end - begin};
    return weir_tpl_list_add(run, list, cap, part);
}

/* split() without a separator: at runs of white space, with no empty parts. */
static void split_space(struct weir_tpl_run *run, struct weir_tpl_list *list,
                        const struct weir_tpl_value *self, int64_t max)
{
    size_t cap = 0;
    weir_str left = weir_tpl_text_strip(self->str, (weir_str){NULL, 0}, WEIR_TPL_LEFT);
    while (left.n > 0 && run->code == 0) {
        size_t end = 0, next;
        while (end < left.n &&
               (max == 0 || !weir_tpl_text_is_space(weir_tpl_text_next(left, end, &next)))) {
            end = max == 0 ? left.n : next;
        }
        size_t begin = (size_t)(left.p - self->str.p);
        add_part(run, list, &cap, self, begin, begin + end);
        left = (weir_str){left.p + end, left.n - end};
        left = weir_tpl_text_strip(left, (weir_str){NULL, 0}, WEIR_TPL_LEFT);
        max -= max > 0;
    }
}

static void split_at(struct weir_tpl_run *run, struct weir_tpl_list *list,
                     const struct weir_tpl_value *self, weir_str separator, int64_t max)
{
    size_t cap = 0, begin = 0;
    for (; max != 0; max -= max > 0) {
        size_t hit = weir_tpl_text_find(self->str, separator, begin);
        if (hit == SIZE_MAX || !add_part(run, list, &cap, self, begin, hit)) {
            break;
        }
        begin = hit + separator.n;
    }
    add_part(run, list, &cap, self, begin, self->str.n);
}

/* From the right: the parts are found backwards, then turned round. */
static void rsplit_at(struct weir_tpl_run *run, struct weir_tpl_list *list,
                      const struct weir_tpl_value *self, weir_str separator, int64_t max)
{
    size_t cap = 0, end = self->str.n;
    for (; max != 0; max -= max > 0) {
        size_t hit = weir_tpl_text_rfind(self->str, separator, end);
        if (hit == SIZE_MAX || !add_part(run, list, &cap, self, hit + separator.n, end)) {
            break;
        }
        end = hit;
    }
    add_part(run, list, &cap, self, 0, end);
    for (size_t i = 0; i < list->n / 2; i++) {
        struct weir_tpl_value swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
}

static struct weir_tpl_value split(struct weir_tpl_run *run, struct weir_tpl_value self,
                                   const struct weir_tpl_args *args, bool from_right)
{
    const struct weir_tpl_value *separator = weir_tpl_arg(args, 0, "sep");
    int64_t max = weir_tpl_arg_int(run, args, 1, "maxsplit", -1);
    struct weir_tpl_list *list = weir_tpl_new_list(run, 0, WEIR_TPL_FORM_LIST);
    if (!list || !weir_tpl_run_spend(run, self.str.n / 16)) {
        return nothing();
    }
    if (!separator || separator->kind == WEIR_TPL_NONE) {
        split_space(run, list, &self, max);
    } else if (separator->kind != WEIR_TPL_STR || separator->str.n == 0) {
        return weir_tpl_run_fail(run, WEIR_E_ARG, "the separator must be a string, not empty");
    } else if (from_right && max >= 0) {
        rsplit_at(run, list, &self, separator->str, max);
    } else {
        split_at(run, list, &self, separator->str, max);
    }
    return weir_tpl_list_value(list);
}

METHOD(str_split)
{
    return split(run, self, args, false);
}

METHOD(str_rsplit)
{
    return split(run, self, args, true);
}

static struct weir_tpl_value partition(struct weir_tpl_run *run, struct weir_tpl_value self,
                                       const struct weir_tpl_args *args, bool from_right)
{
    weir_str needle;
    struct weir_tpl_list *parts = weir_tpl_new_list(run, 3, WEIR_TPL_FORM_TUPLE);
    if (!parts || !needle_of(run, args, &needle) || !weir_tpl_run_spend(run, self.str.n / 8)) {
        return nothing();
    }
    size_t hit = from_right ? weir_tpl_text_rfind(self.str, needle, self.str.n)
                            : weir_tpl_text_find(self.str, needle, 0);
    weir_str empty = {"", 0};
    for (int i = 0; i < 3; i++) {
        parts->items[i] = weir_tpl_str(empty);
    }
    if (hit == SIZE_MAX) {
        parts->items[from_right ? 2 : 0] = self;
        return weir_tpl_list_value(parts);
    }
    parts->items[0].str = (weir_str){self.str.p, hit};
    parts->items[1].str = needle;
    parts->items[2].str = (weir_str){self.str.p + hit + needle.n, self.str.n - hit - needle.n};
    return weir_tpl_list_value(parts);
}

METHOD(str_partition)
{
    return partition(run, self, args, false);
}

METHOD(str_rpartition)
{
    return partition(run, self, args, true);
}

METHOD(str_splitlines)
{
    struct weir_tpl_list *list = weir_tpl_new_list(run, 0, WEIR_TPL_FORM_LIST);
    bool keep = weir_tpl_arg_true(args, 0, "keepends", false);
    size_t cap = 0, begin = 0;
    while (list && begin < self.str.n && run->code == 0) {
        size_t end = begin;
        while (end < self.str.n && self.str.p[end] != '\n' && self.str.p[end] != '\r') {
            end++;
        }
        size_t next = end + (end < self.str.n);
        if (next < self.str.n && self.str.p[end] == '\r' && self.str.p[next] == '\n') {
            next++;
        }
        add_part(run, list, &cap, &self, begin, keep ? next : end);
        begin = next;
    }
    return list_or_nothing(list);
}

METHOD(str_join)
{
    const struct weir_tpl_value *items = weir_tpl_arg(args, 0, NULL);
    struct weir_tpl_list *list = items ? weir_tpl_iterate(run, *items) : NULL;
    size_t begin = weir_tpl_capture_begin(run);
    for (size_t i = 0; list && i < list->n && run->code == 0; i++) {
        if (list->items[i].kind != WEIR_TPL_STR) {
            return weir_tpl_run_fail(run, WEIR_E_ARG, "join() needs strings");
        }
        if (i) {
            weir_tpl_print(run, self);
        }
        weir_tpl_print(run, list->items[i]);
    }
    return list ? weir_tpl_capture_end(run, begin)
                : weir_tpl_run_fail(run, WEIR_E_ARG, "join() needs a list");
}

METHOD(str_format)
{
    return weir_tpl_format_braces(run, self.str, args);
}

/* Do all characters belong to the class, and is there one? */
static struct weir_tpl_value all(struct weir_tpl_run *run, weir_str s, bool (*is)(uint32_t cp))
{
    if (!weir_tpl_run_spend(run, s.n / 32)) {
        return nothing();
    }
    for (size_t at = 0; at < s.n;) {
        if (!is(weir_tpl_text_next(s, at, &at))) {
            return weir_tpl_bool(false);
        }
    }
    return weir_tpl_bool(s.n > 0);
}

static bool is_digit(uint32_t cp)
{
    return cp >= '0' && cp <= '9';
}

static bool is_alpha(uint32_t cp)
{
    return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') ||
           (cp >= 0xC0 && !weir_tpl_text_is_space(cp) && cp != 0xD7 && cp != 0xF7);
}

static bool is_alnum(uint32_t cp)
{
    return is_digit(cp) || is_alpha(cp);
}

METHOD(str_isdigit)
{
    (void)args;
    return all(run, self.str, is_digit);
}

METHOD(str_isalpha)
{
    (void)args;
    return all(run, self.str, is_alpha);
}

METHOD(str_isalnum)
{
    (void)args;
    return all(run, self.str, is_alnum);
}

METHOD(str_isspace)
{
    (void)args;
    return all(run, self.str, weir_tpl_text_is_space);
}

static struct weir_tpl_value is_case(struct weir_tpl_run *run, struct weir_tpl_value self,
                                     enum weir_tpl_case how)
{
    struct weir_tpl_value same = recase(run, self, how);
    struct weir_tpl_value other =
        recase(run, self, how == WEIR_TPL_UPPER ? WEIR_TPL_LOWER : WEIR_TPL_UPPER);
    return run->code < 0 ? nothing()
                         : weir_tpl_bool(weir_str_eq(same.str, self.str) &&
                                         !weir_str_eq(other.str, self.str));
}

METHOD(str_isupper)
{
    (void)args;
    return is_case(run, self, WEIR_TPL_UPPER);
}

METHOD(str_islower)
{
    (void)args;
    return is_case(run, self, WEIR_TPL_LOWER);
}

#undef METHOD

const struct weir_tpl_method weir_tpl_text_methods[] = {
    {WEIR_TPL_STR, "strip", str_strip},
    {WEIR_TPL_STR, "lstrip", str_lstrip},
    {WEIR_TPL_STR, "rstrip", str_rstrip},
    {WEIR_TPL_STR, "split", str_split},
    {WEIR_TPL_STR, "rsplit", str_rsplit},
    {WEIR_TPL_STR, "splitlines", str_splitlines},
    {WEIR_TPL_STR, "partition", str_partition},
    {WEIR_TPL_STR, "rpartition", str_rpartition},
    {WEIR_TPL_STR, "startswith", str_startswith},
    {WEIR_TPL_STR, "endswith", str_endswith},
    {WEIR_TPL_STR, "removeprefix", str_removeprefix},
    {WEIR_TPL_STR, "removesuffix", str_removesuffix},
    {WEIR_TPL_STR, "upper", str_upper},
    {WEIR_TPL_STR, "lower", str_lower},
    {WEIR_TPL_STR, "casefold", str_lower},
    {WEIR_TPL_STR, "title", str_title},
    {WEIR_TPL_STR, "capitalize", str_capitalize},
    {WEIR_TPL_STR, "replace", str_replace},
    {WEIR_TPL_STR, "find", str_find},
    {WEIR_TPL_STR, "rfind", str_rfind},
    {WEIR_TPL_STR, "index", str_index},
    {WEIR_TPL_STR, "count", str_count},
    {WEIR_TPL_STR, "join", str_join},
    {WEIR_TPL_STR, "format", str_format},
    {WEIR_TPL_STR, "isdigit", str_isdigit},
    {WEIR_TPL_STR, "isdecimal", str_isdigit},
    {WEIR_TPL_STR, "isnumeric", str_isdigit},
    {WEIR_TPL_STR, "isalpha", str_isalpha},
    {WEIR_TPL_STR, "isalnum", str_isalnum},
    {WEIR_TPL_STR, "isspace", str_isspace},
    {WEIR_TPL_STR, "isupper", str_isupper},
    {WEIR_TPL_STR, "islower", str_islower},
    {0, NULL, NULL},
};
