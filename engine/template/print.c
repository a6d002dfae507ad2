/* SPDX-License-Identifier: Apache-2.0 */
#include "print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "engine/template/text.h"

static const char *const TOO_DEEP = "the value is nested too deeply to be printed";
static const char *const NOT_JSON = "the value cannot be written as JSON";

/* The shortest digits that read back as f, laid out as Python's repr() does: an exponent below 1e-4
 * and from 1e16 on. */
static void print_float(struct weir_buf *out, double f)
{
    char digits[32];
    for (int precision = 0; precision <= 16; precision++) {
        (void)snprintf(digits, sizeof(digits), "%.*e", precision, f);
        if (strtod(digits, NULL) == f) {
            break;
        }
    }
    const char *e = strchr(digits, 'e');
    int exponent = e ? atoi(e + 1) : 0;
    int n_digits = (int)(e ? e - digits : 0) - (digits[0] == '-');
    n_digits -= n_digits > 1; /* the point */
    if (exponent < -4 || exponent >= 16) {
        weir_buf_add(out, digits, e ? (size_t)(e - digits) : 0);
        weir_buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int decimals = n_digits - 1 - exponent;
    weir_buf_printf(out, "%.*f", decimals > 1 ? decimals : 1, f);
}

static void print_number(struct weir_buf *out, const struct weir_tpl_value *v)
{
    if (v->kind == WEIR_TPL_INT) {
        if (v->unsigned_) {
            weir_buf_add_u64(out, (uint64_t)v->i);
        } else {
            weir_buf_printf(out, "%" PRId64, v->i);
        }
        return;
    }
    if (isfinite(v->f)) {
        print_float(out, v->f);
    }
}

static void repr_code_point(struct weir_buf *out, uint32_t cp, weir_str bytes, char quote)
{
    if (cp == (uint32_t)quote || cp == '\\') {
        weir_buf_add_char(out, '\\');
        weir_buf_add_char(out, (char)cp);
    } else if (weir_tpl_text_is_printable(cp)) {
        weir_buf_add_str(out, bytes);
    } else if (cp == '\n' || cp == '\r' || cp == '\t') {
        weir_buf_add_text(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    } else if (cp < 0x100) {
        weir_buf_printf(out, "\\x%02x", cp);
    } else if (cp < 0x10000) {
        weir_buf_printf(out, "\\u%04x", cp);
    } else {
        weir_buf_printf(out, "\\U%08x", cp);
    }
}

static void repr_string(struct weir_buf *out, weir_str s)
{
    bool single = s.n && memchr(s.p, '\'', s.n);
    bool both = single && memchr(s.p, '"', s.n);
    char quote = single && !both ? '"' : '\'';
    weir_buf_add_char(out, quote);
    for (size_t at = 0, next; at < s.n && !out->failed; at = next) {
        uint32_t cp = weir_tpl_text_next(s, at, &next);
        repr_code_point(out, cp, (weir_str){s.p + at, next - at}, quote);
    }
    weir_buf_add_char(out, quote);
}

static const char *repr(struct weir_buf *out, const struct weir_tpl_value *v, int depth,
                        uint64_t *steps);

static const char *repr_list(struct weir_buf *out, const struct weir_tpl_list *list, int depth,
                             uint64_t *steps)
{
    static const char *const open[] = {
        "[", "(", "range(0, ", "dict_keys([", "dict_values([", "dict_items([", "<generator object"};
    static const char *const close[] = {"]", ")", ")", "])", "])", "])", ">"};
    weir_buf_add_text(out, open[list->form]);
    if (list->form == WEIR_TPL_FORM_RANGE) {
        weir_buf_add_u64(out, list->n);
    }
    size_t n =
        list->form == WEIR_TPL_FORM_GENERATOR || list->form == WEIR_TPL_FORM_RANGE ? 0 : list->n;
    for (size_t i = 0; i < n; i++) {
        weir_buf_add_text(out, i ? ", " : "");
        const char *why = repr(out, &list->items[i], depth + 1, steps);
        if (why) {
            return why;
        }
    }
    weir_buf_add_text(out, list->form == WEIR_TPL_FORM_TUPLE && n == 1 ? "," : "");
    weir_buf_add_text(out, close[list->form]);
    return NULL;
}

static const char *repr_dict(struct weir_buf *out, const struct weir_tpl_dict *d, int depth,
                             uint64_t *steps)
{
    weir_buf_add_char(out, '{');
    for (size_t i = 0; i < d->n; i++) {
        weir_buf_add_text(out, i ? ", " : "");
        const char *why = repr(out, &d->pairs[i].key, depth + 1, steps);
        weir_buf_add_text(out, ": ");
        why = why ? why : repr(out, &d->pairs[i].value, depth + 1, steps);
        if (why) {
            return why;
        }
    }
    weir_buf_add_char(out, '}');
    return NULL;
}

static const char *repr(struct weir_buf *out, const struct weir_tpl_value *v, int depth,
                        uint64_t *steps)
{
    if (depth > WEIR_TPL_MAX_NEST || out->failed || !weir_tpl_spend(steps, 1)) {
        return TOO_DEEP;
    }
    switch (v->kind) {
    case WEIR_TPL_UNDEFINED: weir_buf_add_text(out, "Undefined"); return NULL;
    case WEIR_TPL_NONE: weir_buf_add_text(out, "None"); return NULL;
    case WEIR_TPL_BOOL: weir_buf_add_text(out, v->b ? "True" : "False"); return NULL;
    case WEIR_TPL_FLOAT:
        if (!isfinite(v->f)) {
            weir_buf_add_text(out, isnan(v->f) ? "nan" : v->f > 0 ? "inf" : "-inf");
            return NULL;
        }
        print_number(out, v);
        return NULL;
    case WEIR_TPL_INT: print_number(out, v); return NULL;
    case WEIR_TPL_STR:
        if (v->markup) {
            weir_buf_add_text(out, "Markup(");
        }
        repr_string(out, v->str);
        weir_buf_add_text(out, v->markup ? ")" : "");
        return NULL;
    case WEIR_TPL_LIST: return repr_list(out, v->list, depth, steps);
    case WEIR_TPL_DICT: return repr_dict(out, v->dict, depth, steps);
    case WEIR_TPL_NAMESPACE: {
        weir_buf_add_text(out, "<Namespace ");
        const char *why = repr_dict(out, v->dict, depth, steps);
        weir_buf_add_char(out, '>');
        return why;
    }
    default: weir_buf_printf(out, "<%s>", weir_tpl_type_name(v)); return NULL;
    }
}

const char *weir_tpl_print_repr(struct weir_buf *out, const struct weir_tpl_value *v,
                                uint64_t *steps)
{
    return repr(out, v, 0, steps);
}

const char *weir_tpl_print_str(struct weir_buf *out, const struct weir_tpl_value *v,
                               uint64_t *steps)
{
    if (v->kind == WEIR_TPL_STR) {
        weir_buf_add_str(out, v->str);
        return NULL;
    }
    return v->kind == WEIR_TPL_UNDEFINED ? NULL : repr(out, v, 0, steps);
}

static void json_code_point(struct weir_buf *out, uint32_t cp, weir_str bytes, bool ascii)
{
    static const char short_from[] = "\"\\\n\r\t\f\b", short_to[] = "\"\\nrtfb";
    const char *hit = cp && cp < 0x80 ? strchr(short_from, (int)cp) : NULL;
    if (hit) {
        weir_buf_add_char(out, '\\');
        weir_buf_add_char(out, short_to[hit - short_from]);
    } else if (cp < 0x20 || (ascii && cp > 0x7E && cp < 0x10000)) {
        /* json.dumps(ensure_ascii=True) leaves U+007F as it is, as it does all of ASCII. */
        if (cp == 0x7F) {
            weir_buf_add_char(out, 0x7F);
        } else {
            weir_buf_printf(out, "\\u%04x", cp);
        }
    } else if (ascii && cp >= 0x10000) {
        uint32_t low = cp - 0x10000;
        weir_buf_printf(out, "\\u%04x\\u%04x", 0xD800 + (low >> 10), 0xDC00 + (low & 0x3FF));
    } else {
        weir_buf_add_str(out, bytes);
    }
}

static void json_string(struct weir_buf *out, weir_str s, bool ascii)
{
    weir_buf_add_char(out, '"');
    for (size_t at = 0, next; at < s.n && !out->failed; at = next) {
        uint32_t cp = weir_tpl_text_next(s, at, &next);
        json_code_point(out, cp, (weir_str){s.p + at, next - at}, ascii);
    }
    weir_buf_add_char(out, '"');
}

static void json_newline(struct weir_buf *out, const struct weir_tpl_json_style *style, int depth)
{
    if (!style->indent.p) {
        return;
    }
    weir_buf_add_char(out, '\n');
    for (int i = 0; i < depth; i++) {
        weir_buf_add_str(out, style->indent);
    }
}

static bool json_scalar(struct weir_buf *out, const struct weir_tpl_value *v, bool ascii)
{
    switch (v->kind) {
    case WEIR_TPL_NONE: weir_buf_add_text(out, "null"); return true;
    case WEIR_TPL_BOOL: weir_buf_add_text(out, v->b ? "true" : "false"); return true;
    case WEIR_TPL_INT: print_number(out, v); return true;
    case WEIR_TPL_FLOAT:
        if (isfinite(v->f)) {
            print_number(out, v);
        } else {
            weir_buf_add_text(out, isnan(v->f) ? "NaN" : v->f > 0 ? "Infinity" : "-Infinity");
        }
        return true;
    case WEIR_TPL_STR: json_string(out, v->str, ascii); return true;
    default: return false;
    }
}

static const char *json(struct weir_buf *out, const struct weir_tpl_value *v,
                        const struct weir_tpl_json_style *style, int depth, uint64_t *steps);

static const char *json_list(struct weir_buf *out, const struct weir_tpl_list *list,
                             const struct weir_tpl_json_style *style, int depth, uint64_t *steps)
{
    if (list->form > WEIR_TPL_FORM_TUPLE) {
        return NOT_JSON;
    }
    weir_buf_add_char(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        weir_buf_add_str(out, i ? style->item_sep : (weir_str){NULL, 0});
        json_newline(out, style, depth + 1);
        const char *why = json(out, &list->items[i], style, depth + 1, steps);
        if (why) {
            return why;
        }
    }
    if (list->n) {
        json_newline(out, style, depth);
    }
    weir_buf_add_char(out, ']');
    return NULL;
}

/* Index of the pair with the smallest key behind `last` (SIZE_MAX: of all); keys are distinct. */
static size_t next_key(const struct weir_tpl_dict *d, size_t last, uint64_t *steps)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < d->n; i++) {
        int order = 1;
        bool later =
            last == SIZE_MAX ||
            (weir_tpl_order(&d->pairs[i].key, &d->pairs[last].key, steps, &order) && order > 0);
        bool smaller =
            best == SIZE_MAX ||
            (weir_tpl_order(&d->pairs[i].key, &d->pairs[best].key, steps, &order) && order < 0);
        if (later && smaller) {
            best = i;
        }
    }
    return best;
}

static const char *json_dict(struct weir_buf *out, const struct weir_tpl_dict *d,
                             const struct weir_tpl_json_style *style, int depth, uint64_t *steps)
{
    weir_buf_add_char(out, '{');
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < d->n; i++) {
        at = style->sort_keys ? next_key(d, at, steps) : i;
        if (at == SIZE_MAX) {
            return "tojson cannot sort these keys";
        }
        weir_buf_add_str(out, i ? style->item_sep : (weir_str){NULL, 0});
        json_newline(out, style, depth + 1);
        const struct weir_tpl_value *key = &d->pairs[at].key;
        bool quoted = key->kind != WEIR_TPL_STR;
        weir_buf_add_text(out, quoted ? "\"" : "");
        if (!json_scalar(out, key, style->ascii)) {
            return "tojson needs keys that are strings, numbers or None";
        }
        weir_buf_add_text(out, quoted ? "\"" : "");
        weir_buf_add_str(out, style->key_sep);
        const char *why = json(out, &d->pairs[at].value, style, depth + 1, steps);
        if (why) {
            return why;
        }
    }
    if (d->n) {
        json_newline(out, style, depth);
    }
    weir_buf_add_char(out, '}');
    return NULL;
}

static const char *json(struct weir_buf *out, const struct weir_tpl_value *v,
                        const struct weir_tpl_json_style *style, int depth, uint64_t *steps)
{
    if (depth > WEIR_TPL_MAX_NEST || out->failed || !weir_tpl_spend(steps, 1)) {
        return TOO_DEEP;
    }
    switch (v->kind) {
    case WEIR_TPL_LIST: return json_list(out, v->list, style, depth, steps);
    case WEIR_TPL_DICT: return json_dict(out, v->dict, style, depth, steps);
    default: return json_scalar(out, v, style->ascii) ? NULL : NOT_JSON;
    }
}

const char *weir_tpl_print_json(struct weir_buf *out, const struct weir_tpl_value *v,
                                const struct weir_tpl_json_style *style, uint64_t *steps)
{
    return json(out, v, style, 0, steps);
}
