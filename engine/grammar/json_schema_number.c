/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/grammar/json_rules.h"
#include "engine/grammar/number_range.h"

/* Of `minimum` and `exclusiveMinimum` (or the maxima) the one that says more; NULL: neither. */
static int choose(struct weir_json_schema_compiler *c, uint32_t node, const char *inclusive,
                  const char *exclusive, double direction, yyjson_val **ret, bool *ret_excluded)
{
    yyjson_val *in = weir_json_schema_at(c, node, inclusive);
    yyjson_val *ex = weir_json_schema_at(c, node, exclusive);
    if ((in && !yyjson_is_num(in)) || (ex && !yyjson_is_num(ex))) {
        return weir_json_schema_refuse(c, node, "%s must be a number",
                                       in && !yyjson_is_num(in) ? inclusive : exclusive);
    }
    *ret_excluded = ex && (!in || direction * (yyjson_get_num(ex) - yyjson_get_num(in)) >= 0);
    *ret = *ret_excluded ? ex : in;
    return 0;
}

/* The bound as text: for integers the nearest integer that is inside. */
static char *bound_text(yyjson_val *v, bool integers, bool low, bool *excluded)
{
    double n = yyjson_get_num(v);
    if (!integers || (!yyjson_is_real(v) && !*excluded) || fabs(n) > 9e15) {
        return yyjson_val_write(v, 0, NULL);
    }
    double whole = low ? ceil(n) : floor(n);
    if (*excluded && whole == n) {
        whole += low ? 1 : -1;
    }
    *excluded = false;
    enum { MAX_TEXT = 32 };
    char *text = malloc(MAX_TEXT);
    if (text) {
        (void)snprintf(text, MAX_TEXT, "%.0f", whole);
    }
    return text;
}

/* *ret_never: nothing lies beyond the bound. */
static int read_bound(struct weir_json_schema_compiler *c, uint32_t node, bool low, bool integers,
                      struct weir_bound *ret, bool *ret_never)
{
    yyjson_val *v = NULL;
    bool excluded = false;
    int r = low ? choose(c, node, "minimum", "exclusiveMinimum", 1, &v, &excluded)
                : choose(c, node, "maximum", "exclusiveMaximum", -1, &v, &excluded);
    if (r < 0 || !v) {
        return r;
    }
    char *text = bound_text(v, integers, low, &excluded);
    if (!text) {
        return weir_json_schema_no_memory(c);
    }
    r = weir_bound_read(weir_str_from(text), ret);
    free(text);
    ret->excluded = excluded;
    if (r == WEIR_E_TOOBIG) { /* no number is that far out */
        *ret_never |= ret->negative != low;
        ret->given = false;
        return 0;
    }
    return r < 0 ? weir_json_schema_refuse(c, node, "%s has more than %d digits behind the point",
                                           low ? "minimum" : "maximum", WEIR_JSON_MAX_DIGITS)
                 : 0;
}

static int read_step(struct weir_json_schema_compiler *c, uint32_t node, bool whole,
                     struct weir_number_range *range)
{
    yyjson_val *v = weir_json_schema_at(c, node, "multipleOf");
    range->n_fraction = whole ? 0 : WEIR_JSON_MAX_DIGITS;
    range->units = 1;
    if (!v) {
        return 0;
    }
    if (!yyjson_is_num(v) || yyjson_get_num(v) <= 0) {
        return weir_json_schema_refuse(c, node, "multipleOf must be a number above 0");
    }
    char *text = yyjson_val_write(v, 0, NULL);
    if (!text) {
        return weir_json_schema_no_memory(c);
    }
    struct weir_bound step;
    int r = weir_bound_read(weir_str_from(text), &step);
    free(text);
    if (r < 0 || weir_number_step(&step, whole, range) < 0) {
        return weir_json_schema_refuse(c, node,
                                       "multipleOf can be at most %d units of its last digit, as "
                                       "1000, 2.5, 0.001",
                                       WEIR_NUMBER_MAX_UNITS);
    }
    return 0;
}

int weir_json_schema_number(struct weir_json_schema_compiler *c, uint32_t node, bool whole)
{
    struct weir_number_range range = {0};
    bool never = false;
    int r = read_bound(c, node, true, whole, &range.low, &never);
    if (r == 0) {
        r = read_bound(c, node, false, whole, &range.high, &never);
    }
    if (r == 0) {
        r = read_step(c, node, whole, &range);
    }
    if (r < 0 || never) {
        return r;
    }
    if (range.low.given || range.high.given || weir_json_schema_at(c, node, "multipleOf")) {
        weir_number_range_lay(c->a, c->nodes[node].rule, &range);
        return 0;
    }
    uint32_t rule = whole ? weir_json_integer(c->a) : weir_json_number(c->a);
    weir_automaton_empty(c->a, c->nodes[node].rule, rule);
    return 0;
}
