/* SPDX-License-Identifier: Apache-2.0 */
#include "json_schema_internal.h"

#include "engine/grammar/json_rules.h"
#include "engine/grammar/string_pattern_states.h"

#define DATE                                                                                       \
    "\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)"              \
    "|02-(0[1-9]|1\\d|2[0-8]))"
#define CLOCK "([01]\\d|2[0-3]):[0-5]\\d"
#define TIME CLOCK ":[0-5]\\d(\\.\\d{1,6})?(Z|[+-]" CLOCK ")"
#define DAYS "(\\d{1,9}Y(\\d{1,9}M(\\d{1,9}D)?)?|\\d{1,9}M(\\d{1,9}D)?|\\d{1,9}D)"
#define HOURS "T(\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define ATOM "[A-Za-z0-9_+-]"
#define OCTET "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define HEX "[0-9a-f]{1,4}"

/* What RFC 3339, 5321, 1123, 2673, 4291 and 9562 call by these names; of each a part in which every
 * text is valid: no 29 February, no quoted names in an e-mail address, IPv6 in lower case. */
static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration", "^P(\\d{1,9}W|" DAYS "(" HOURS ")?|" HOURS ")$"},
    {"email", "^" ATOM "{1,30}(\\." ATOM "{1,30})?@(" LABEL "\\.){1,3}[A-Za-z]{2,20}$"},
    {"hostname", "^(" LABEL "\\.){0,3}[A-Za-z]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$"},
    {"ipv4", "^(" OCTET "\\.){3}" OCTET "$"},
    {"ipv6", "^((" HEX ":){7}" HEX "|:(:" HEX "){1,7}|::|" HEX ":(:" HEX "){1,6}|(" HEX
             ":){2}(:" HEX "){1,5}|(" HEX ":){3}(:" HEX "){1,4}|(" HEX ":){4}(:" HEX "){1,3}|(" HEX
             ":){5}(:" HEX "){1,2}|(" HEX ":){6}:" HEX "|(" HEX ":){1,7}:)$"},
    {"uuid", "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
};

/* The text of `pattern`, or the one that `format` stands for. */
static int find_pattern(struct weir_json_schema_compiler *c, uint32_t node, weir_str *ret)
{
    yyjson_val *pattern = weir_json_schema_at(c, node, "pattern");
    yyjson_val *format = weir_json_schema_at(c, node, "format");
    *ret = (weir_str){NULL, 0};
    if (!pattern && !format) {
        return 0;
    }
    if (!yyjson_is_str(pattern ? pattern : format)) {
        return weir_json_schema_refuse(c, node, "%s must be text", pattern ? "pattern" : "format");
    }
    if ((pattern && format) || weir_json_schema_at(c, node, "minLength") ||
        weir_json_schema_at(c, node, "maxLength")) {
        return weir_json_schema_refuse(c, node, "%s together with %s is not supported",
                                       pattern ? "pattern" : "format",
                                       pattern && format ? "format" : "minLength or maxLength");
    }
    if (pattern) {
        *ret = weir_json_schema_text(pattern);
        return 0;
    }
    weir_str name = weir_json_schema_text(format);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (weir_str_is(name, formats[i].name)) {
            *ret = weir_str_from(formats[i].pattern);
            return 0;
        }
    }
    return weir_json_schema_refuse(
        c, node,
        "format '%.*s' is not supported (date, time, date-time, duration, email, "
        "hostname, ipv4, ipv6, uuid are)",
        (int)(name.n > 40 ? 40 : name.n), name.p ? name.p : "");
}

static int lay_pattern(struct weir_json_schema_compiler *c, uint32_t node, weir_str text)
{
    struct weir_string_pattern p;
    struct weir_error err = {0};
    uint32_t inside = weir_automaton_state(c->a);
    int r = weir_string_pattern_parse(text, &p, &err);
    if (r == 0) {
        r = weir_string_pattern_lay(c->a, &p, inside, WEIR_STATE_POP, &c->pattern_fuel, &err);
    }
    weir_string_pattern_finish(&p);
    if (r == WEIR_E_NOMEM) {
        return weir_json_schema_no_memory(c);
    }
    if (r < 0) {
        return weir_json_schema_refuse(c, node, "%s", err.message);
    }
    weir_automaton_empty(c->a, c->nodes[node].rule, weir_json_byte(c->a, '"', inside));
    return 0;
}

int weir_json_schema_string(struct weir_json_schema_compiler *c, uint32_t node)
{
    weir_str pattern;
    int r = find_pattern(c, node, &pattern);
    if (r < 0 || pattern.p) {
        return r < 0 ? r : lay_pattern(c, node, pattern);
    }
    uint32_t min = 0, max = UINT32_MAX;
    r = weir_json_schema_count(c, node, "minLength", &min);
    if (r == 0) {
        r = weir_json_schema_count(c, node, "maxLength", &max);
    }
    if (r < 0 || min > max) {
        return r; /* min over max: no way out */
    }
    uint32_t close = WEIR_STATE_POP;
    uint32_t rule =
        min == 0 && max == UINT32_MAX
            ? weir_json_string(c->a)
            : weir_json_byte(c->a, '"', weir_json_bounded_inside(c->a, min, max, close));
    weir_automaton_empty(c->a, c->nodes[node].rule, rule);
    return 0;
}
