/* SPDX-License-Identifier: Apache-2.0 */
#include "is_test.h"

#include "engine/template/filter.h"
#include "engine/template/text.h"

#define TEST(name)                                                                                 \
    static bool name(struct weir_tpl_run *run, struct weir_tpl_value v,                            \
                     const struct weir_tpl_args *args)
#define KIND_TEST(name, expression)                                                                \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)run;                                                                                 \
        (void)args;                                                                                \
        return expression;                                                                         \
    }

KIND_TEST(is_defined, v.kind != WEIR_TPL_UNDEFINED)
KIND_TEST(is_undefined, v.kind == WEIR_TPL_UNDEFINED)
KIND_TEST(is_none, v.kind == WEIR_TPL_NONE)
KIND_TEST(is_string, v.kind == WEIR_TPL_STR)
KIND_TEST(is_mapping, v.kind == WEIR_TPL_DICT)
KIND_TEST(is_number, weir_tpl_is_number(&v))
KIND_TEST(is_integer, v.kind == WEIR_TPL_INT)
KIND_TEST(is_float, v.kind == WEIR_TPL_FLOAT)
KIND_TEST(is_boolean, v.kind == WEIR_TPL_BOOL)
KIND_TEST(is_true, v.kind == WEIR_TPL_BOOL && v.b)
KIND_TEST(is_false, v.kind == WEIR_TPL_BOOL && !v.b)
KIND_TEST(is_callable, v.kind >= WEIR_TPL_MACRO)
KIND_TEST(is_escaped, v.kind == WEIR_TPL_STR && v.markup)
KIND_TEST(is_iterable, v.kind == WEIR_TPL_UNDEFINED || v.kind == WEIR_TPL_STR ||
                           v.kind == WEIR_TPL_LIST || v.kind == WEIR_TPL_DICT ||
                           v.kind == WEIR_TPL_LOOP)
/* Python asks for a length and [] here, which views and generators lack. */
KIND_TEST(is_sequence, v.kind == WEIR_TPL_UNDEFINED || v.kind == WEIR_TPL_STR ||
                           v.kind == WEIR_TPL_DICT ||
                           (v.kind == WEIR_TPL_LIST && v.list->form <= WEIR_TPL_FORM_RANGE))

static bool is_same_case(struct weir_tpl_run *run, struct weir_tpl_value v, enum weir_tpl_case how)
{
    weir_str s = weir_tpl_to_str(run, v);
    weir_str same = weir_tpl_text_case(&run->arena, s, how);
    weir_str other =
        weir_tpl_text_case(&run->arena, s, how == WEIR_TPL_UPPER ? WEIR_TPL_LOWER : WEIR_TPL_UPPER);
    if (!same.p || !other.p) {
        (void)weir_tpl_run_no_memory(run);
        return false;
    }
    return weir_tpl_run_spend(run, s.n / 16) && weir_str_eq(same, s) && !weir_str_eq(other, s);
}

TEST(is_upper)
{
    (void)args;
    return is_same_case(run, v, WEIR_TPL_UPPER);
}

TEST(is_lower)
{
    (void)args;
    return is_same_case(run, v, WEIR_TPL_LOWER);
}

/* v modulo a divisor, by Python's rule. */
static bool remainder_is(struct weir_tpl_run *run, struct weir_tpl_value v,
                         struct weir_tpl_value divisor, int64_t expected)
{
    struct weir_tpl_value rest = weir_tpl_operate(run, WEIR_TPL_OP_MOD, v, divisor);
    struct weir_tpl_value wanted = weir_tpl_int(expected);
    return run->code == 0 && weir_tpl_equal(&rest, &wanted, &run->steps);
}

TEST(is_odd)
{
    (void)args;
    return remainder_is(run, v, weir_tpl_int(2), 1);
}

TEST(is_even)
{
    (void)args;
    return remainder_is(run, v, weir_tpl_int(2), 0);
}

/* The argument of a test that needs one. */
static struct weir_tpl_value operand(struct weir_tpl_run *run, const struct weir_tpl_args *args)
{
    const struct weir_tpl_value *v = weir_tpl_arg(args, 0, NULL);
    return v ? *v : weir_tpl_run_fail(run, WEIR_E_ARG, "this test needs an argument");
}

TEST(is_divisibleby)
{
    return remainder_is(run, v, operand(run, args), 0);
}

static bool compare(struct weir_tpl_run *run, enum weir_tpl_op op, struct weir_tpl_value v,
                    const struct weir_tpl_args *args)
{
    struct weir_tpl_value other = operand(run, args);
    return run->code == 0 && weir_tpl_compare(run, op, v, other);
}

TEST(is_eq)
{
    return compare(run, WEIR_TPL_OP_EQ, v, args);
}

TEST(is_ne)
{
    return compare(run, WEIR_TPL_OP_NE, v, args);
}

TEST(is_lt)
{
    return compare(run, WEIR_TPL_OP_LT, v, args);
}

TEST(is_le)
{
    return compare(run, WEIR_TPL_OP_LE, v, args);
}

TEST(is_gt)
{
    return compare(run, WEIR_TPL_OP_GT, v, args);
}

TEST(is_ge)
{
    return compare(run, WEIR_TPL_OP_GE, v, args);
}

TEST(is_in)
{
    return compare(run, WEIR_TPL_OP_IN, v, args);
}

TEST(is_sameas)
{
    struct weir_tpl_value other = operand(run, args);
    bool scalar = v.kind <= WEIR_TPL_STR;
    return v.kind == other.kind &&
           (scalar ? weir_tpl_equal(&v, &other, &run->steps) : v.list == other.list);
}

TEST(is_filter)
{
    (void)run;
    (void)args;
    return v.kind == WEIR_TPL_STR && weir_tpl_filter_find(v.str) != NULL;
}

TEST(is_test)
{
    (void)run;
    (void)args;
    return v.kind == WEIR_TPL_STR && weir_tpl_test_find(v.str) != NULL;
}

#undef TEST
#undef KIND_TEST

static const struct weir_tpl_test tests[] = {
    {"defined", is_defined},
    {"undefined", is_undefined},
    {"none", is_none},
    {"string", is_string},
    {"mapping", is_mapping},
    {"iterable", is_iterable},
    {"sequence", is_sequence},
    {"number", is_number},
    {"integer", is_integer},
    {"float", is_float},
    {"boolean", is_boolean},
    {"true", is_true},
    {"false", is_false},
    {"callable", is_callable},
    {"escaped", is_escaped},
    {"upper", is_upper},
    {"lower", is_lower},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisibleby},
    {"eq", is_eq},
    {"equalto", is_eq},
    {"==", is_eq},
    {"ne", is_ne},
    {"!=", is_ne},
    {"lt", is_lt},
    {"lessthan", is_lt},
    {"<", is_lt},
    {"le", is_le},
    {"<=", is_le},
    {"gt", is_gt},
    {"greaterthan", is_gt},
    {">", is_gt},
    {"ge", is_ge},
    {">=", is_ge},
    {"in", is_in},
    {"sameas", is_sameas},
    {"filter", is_filter},
    {"test", is_test},
};

const struct weir_tpl_test *weir_tpl_test_find(weir_str name)
{
    for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
        if (weir_str_is(name, tests[i].name)) {
            return &tests[i];
        }
    }
    return NULL;
}
