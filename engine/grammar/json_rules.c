/* SPDX-License-Identifier: Apache-2.0 */
#include "json_rules.h"

enum { MAX_INDENT = 32, MAX_EXPONENT_DIGITS = 2 };

uint32_t weir_json_byte(struct weir_automaton *a, uint8_t byte, uint32_t target)
{
    uint32_t s = weir_automaton_state(a);
    weir_automaton_range(a, s, byte, byte, target);
    return s;
}

static uint32_t range_state(struct weir_automaton *a, uint8_t lo, uint8_t hi, uint32_t target)
{
    uint32_t s = weir_automaton_state(a);
    weir_automaton_range(a, s, lo, hi, target);
    return s;
}

static void hex_digit(struct weir_automaton *a, uint32_t from, uint32_t target)
{
    weir_automaton_range(a, from, '0', '9', target);
    weir_automaton_range(a, from, 'a', 'f', target);
    weir_automaton_range(a, from, 'A', 'F', target);
}

static uint32_t hex_digits(struct weir_automaton *a, int n, uint32_t target)
{
    for (int i = 0; i < n; i++) {
        uint32_t s = weir_automaton_state(a);
        hex_digit(a, s, target);
        target = s;
    }
    return target;
}

/* A letter of either case. */
static void letter(struct weir_automaton *a, uint32_t from, char lo, char hi, uint32_t target)
{
    weir_automaton_range(a, from, (uint8_t)lo, (uint8_t)hi, target);
    weir_automaton_range(a, from, (uint8_t)(lo - 'a' + 'A'), (uint8_t)(hi - 'a' + 'A'), target);
}

/* Behind `\u`: four digits; a high surrogate needs a low one behind it. */
static uint32_t make_code_unit(struct weir_automaton *a)
{
    uint32_t low = weir_automaton_state(a); /* behind \ud of the second unit */
    letter(a, low, 'c', 'f', hex_digits(a, 2, WEIR_STATE_POP));
    uint32_t low_d = weir_automaton_state(a);
    letter(a, low_d, 'd', 'd', low);
    uint32_t pair = weir_json_byte(a, '\\', weir_json_byte(a, 'u', low_d));
    uint32_t after_d = weir_automaton_state(a);
    weir_automaton_range(a, after_d, '0', '7', hex_digits(a, 2, WEIR_STATE_POP));
    uint32_t high = hex_digits(a, 2, pair);
    weir_automaton_range(a, after_d, '8', '9', high);
    letter(a, after_d, 'a', 'b', high);
    uint32_t unit = weir_automaton_state(a);
    uint32_t rest = hex_digits(a, 3, WEIR_STATE_POP);
    weir_automaton_range(a, unit, '0', '9', rest);
    letter(a, unit, 'a', 'c', rest);
    letter(a, unit, 'e', 'f', rest);
    letter(a, unit, 'd', 'd', after_d);
    return unit;
}

void weir_json_prepare_strings(struct weir_automaton *a)
{
    struct weir_shared_states *s = &a->shared;
    if (s->escape) {
        return;
    }
    /* The Unicode standard's table 3-7. */
    s->utf8_1 = range_state(a, 0x80, 0xBF, WEIR_STATE_POP);
    s->utf8_2 = range_state(a, 0x80, 0xBF, s->utf8_1);
    s->utf8_3 = range_state(a, 0x80, 0xBF, s->utf8_2);
    s->utf8_e0 = range_state(a, 0xA0, 0xBF, s->utf8_1);
    s->utf8_ed = range_state(a, 0x80, 0x9F, s->utf8_1);
    s->utf8_f0 = range_state(a, 0x90, 0xBF, s->utf8_2);
    s->utf8_f4 = range_state(a, 0x80, 0x8F, s->utf8_2);
    s->escape = weir_automaton_state(a);
    for (const char *c = "\"\\/bfnrt"; *c; c++) {
        weir_automaton_range(a, s->escape, (uint8_t)*c, (uint8_t)*c, WEIR_STATE_POP);
    }
    weir_automaton_range(a, s->escape, 'u', 'u', make_code_unit(a));
}

uint32_t weir_json_tail(const struct weir_automaton *a, uint8_t byte)
{
    const struct weir_shared_states *s = &a->shared;
    switch (byte) {
    case '\\': return s->escape;
    case 0xE0: return s->utf8_e0;
    case 0xED: return s->utf8_ed;
    case 0xF0: return s->utf8_f0;
    case 0xF4: return s->utf8_f4;
    default: break;
    }
    if (byte >= 0xC2 && byte < 0xE0) {
        return s->utf8_1;
    }
    if (byte > 0xE0 && byte < 0xF0) {
        return s->utf8_2;
    }
    return byte > 0xF0 && byte < 0xF4 ? s->utf8_3 : WEIR_STATE_NONE;
}

static uint32_t endless_body(struct weir_automaton *a, uint32_t close)
{
    uint32_t s = weir_automaton_body(
        a, (struct weir_body){WEIR_STATE_NONE, close, .min_more = 0, .max_more = UINT32_MAX});
    weir_automaton_body_loop(a, s);
    return s;
}

uint32_t weir_json_bounded_inside(struct weir_automaton *a, uint32_t min, uint32_t max,
                                  uint32_t close)
{
    weir_json_prepare_strings(a);
    bool endless = max == UINT32_MAX;
    uint32_t count = endless ? min : max; /* characters that need a state of their own */
    uint32_t next = endless ? endless_body(a, close) : WEIR_STATE_NONE;
    if (!endless) {
        next = weir_automaton_body(a, (struct weir_body){WEIR_STATE_NONE, close, 0, 0});
    }
    for (uint32_t left = count; left > 0 && a->code == 0; left--) {
        uint32_t taken = left - 1;
        next = weir_automaton_body(a, (struct weir_body){
                                          .next = next,
                                          .close = close,
                                          .min_more = taken < min ? min - taken : 0,
                                          .max_more = endless ? UINT32_MAX : max - taken,
                                      });
    }
    return next;
}

uint32_t weir_json_inside(struct weir_automaton *a)
{
    return weir_json_bounded_inside(a, 0, UINT32_MAX, WEIR_STATE_POP);
}

uint32_t weir_json_space(struct weir_automaton *a)
{
    if (a->shared.space) {
        return a->shared.space;
    }
    uint32_t indent = WEIR_STATE_POP;
    for (int i = 0; i < MAX_INDENT; i++) {
        uint32_t s = weir_automaton_state(a);
        weir_automaton_range(a, s, ' ', ' ', indent);
        weir_automaton_range(a, s, '\t', '\t', indent);
        weir_automaton_empty(a, s, WEIR_STATE_POP);
        indent = s;
    }
    uint32_t space = weir_automaton_state(a);
    weir_automaton_empty(a, space, WEIR_STATE_POP);
    weir_automaton_range(a, space, ' ', ' ', WEIR_STATE_POP);
    weir_automaton_range(a, space, '\n', '\n', indent);
    return a->shared.space = space;
}

void weir_json_spaced(struct weir_automaton *a, uint32_t from, uint32_t target)
{
    weir_automaton_call(a, from, weir_json_space(a), target);
}

uint32_t weir_json_string(struct weir_automaton *a)
{
    if (!a->shared.string) {
        a->shared.string = weir_json_byte(a, '"', weir_json_inside(a));
    }
    return a->shared.string;
}

uint32_t weir_json_digits(struct weir_automaton *a, int min, int max, uint32_t after)
{
    uint32_t next = after;
    for (int left = max; left > 0; left--) {
        uint32_t s = range_state(a, '0', '9', next);
        if (left > min) {
            weir_automaton_empty(a, s, after);
        }
        next = s;
    }
    return next;
}

/* -?(0|[1-9][0-9]*), then `after`. */
static uint32_t whole_number(struct weir_automaton *a, uint32_t after)
{
    uint32_t more = weir_json_digits(a, 0, WEIR_JSON_MAX_DIGITS - 1, after);
    uint32_t unsigned_part = weir_automaton_state(a);
    weir_automaton_range(a, unsigned_part, '0', '0', after);
    weir_automaton_range(a, unsigned_part, '1', '9', more);
    uint32_t s = weir_automaton_state(a);
    weir_automaton_range(a, s, '-', '-', unsigned_part);
    weir_automaton_empty(a, s, unsigned_part);
    return s;
}

uint32_t weir_json_integer(struct weir_automaton *a)
{
    if (!a->shared.integer) {
        a->shared.integer = whole_number(a, WEIR_STATE_POP);
    }
    return a->shared.integer;
}

uint32_t weir_json_number(struct weir_automaton *a)
{
    if (a->shared.number) {
        return a->shared.number;
    }
    uint32_t exponent_digits = weir_json_digits(a, 1, MAX_EXPONENT_DIGITS, WEIR_STATE_POP);
    uint32_t sign = weir_automaton_state(a);
    weir_automaton_range(a, sign, '+', '+', exponent_digits);
    weir_automaton_range(a, sign, '-', '-', exponent_digits);
    weir_automaton_empty(a, sign, exponent_digits);
    uint32_t exponent = weir_automaton_state(a);
    letter(a, exponent, 'e', 'e', sign);
    weir_automaton_empty(a, exponent, WEIR_STATE_POP);
    uint32_t fraction =
        weir_json_byte(a, '.', weir_json_digits(a, 1, WEIR_JSON_MAX_DIGITS, exponent));
    weir_automaton_empty(a, fraction, exponent);
    return a->shared.number = whole_number(a, fraction);
}

uint32_t weir_json_boolean(struct weir_automaton *a)
{
    if (!a->shared.boolean) {
        uint32_t s = weir_automaton_state(a);
        weir_automaton_text(a, s, (weir_str)WEIR_STR_INIT("true"), WEIR_STATE_POP);
        weir_automaton_text(a, s, (weir_str)WEIR_STR_INIT("false"), WEIR_STATE_POP);
        a->shared.boolean = s;
    }
    return a->shared.boolean;
}

uint32_t weir_json_null(struct weir_automaton *a)
{
    if (!a->shared.null) {
        uint32_t s = weir_automaton_state(a);
        weir_automaton_text(a, s, (weir_str)WEIR_STR_INIT("null"), WEIR_STATE_POP);
        a->shared.null = s;
    }
    return a->shared.null;
}

/* open space ( close | element (space? , space element)* space close ), where `element` is what
 * enter() lays between the states that it is given. */
static uint32_t make_sequence(struct weir_automaton *a, uint8_t open, uint8_t close,
                              void (*element)(struct weir_automaton *a, uint32_t from,
                                              uint32_t after))
{
    uint32_t rule = weir_automaton_state(a);
    uint32_t first = weir_automaton_state(a), item = weir_automaton_state(a);
    uint32_t after = weir_automaton_state(a);
    uint32_t end = weir_json_byte(a, close, WEIR_STATE_POP);
    uint32_t opened = weir_automaton_state(a), comma = weir_automaton_state(a);
    weir_automaton_range(a, rule, open, open, opened);
    weir_json_spaced(a, opened, first);
    weir_automaton_empty(a, first, item);
    weir_automaton_empty(a, first, end);
    element(a, item, after);
    weir_automaton_range(a, after, ',', ',', comma);
    weir_json_spaced(a, after, end);
    weir_json_spaced(a, comma, item);
    return rule;
}

static void any_element(struct weir_automaton *a, uint32_t from, uint32_t after)
{
    weir_automaton_call(a, from, weir_json_value(a), after);
}

static void any_member(struct weir_automaton *a, uint32_t from, uint32_t after)
{
    uint32_t colon = weir_automaton_state(a), value = weir_automaton_state(a);
    weir_automaton_call(a, from, weir_json_string(a), weir_json_byte(a, ':', colon));
    weir_json_spaced(a, colon, value);
    any_element(a, value, after);
}

uint32_t weir_json_array(struct weir_automaton *a)
{
    if (!a->shared.array) {
        a->shared.array = weir_automaton_state(a); /* before its elements ask for it */
        weir_automaton_empty(a, a->shared.array, make_sequence(a, '[', ']', any_element));
    }
    return a->shared.array;
}

uint32_t weir_json_object(struct weir_automaton *a)
{
    if (!a->shared.object) {
        a->shared.object = weir_automaton_state(a);
        weir_automaton_empty(a, a->shared.object, make_sequence(a, '{', '}', any_member));
    }
    return a->shared.object;
}

uint32_t weir_json_value(struct weir_automaton *a)
{
    if (!a->shared.value) {
        uint32_t s = a->shared.value = weir_automaton_state(a);
        weir_automaton_empty(a, s, weir_json_object(a));
        weir_automaton_empty(a, s, weir_json_array(a));
        weir_automaton_empty(a, s, weir_json_string(a));
        weir_automaton_empty(a, s, weir_json_number(a));
        weir_automaton_empty(a, s, weir_json_boolean(a));
        weir_automaton_empty(a, s, weir_json_null(a));
    }
    return a->shared.value;
}
