/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tool/tool_constraint.h"
#include "engine/tool/tool_format.h"

#include "tests/support/cmocka.h"

static const struct weir_tool_format *detect(const char *text)
{
    struct weir_template *t = NULL;
    assert_int_equal(weir_template_create(weir_str_from(text), &t, NULL), 0);
    const struct weir_tool_format *f = weir_tool_format_detect(t);
    weir_template_destroy(t);
    return f;
}

static void the_template_gives_the_format_away(void **state)
{
    (void)state;
    static const struct {
        const char *text, *format;
    } cases[] = {
        {"{% if tools %}<tool_call>{% endif %}", "hermes"},
        {"{% if tools %}{{ '[TOOL_CALLS]' }}{% endif %}", "mistral"},
        {"{% if tools %}<|python_tag|>{% endif %}", "llama"},
        {"{% if tools %}<|start_header_id|>{\"name\": n, \"parameters\": {}}{% endif %}", "llama"},
        {"{% if tools %}<TOOLCALL>{% endif %}", "nemotron"},
        {"{% for t in tools %}{{ t }}{% endfor %}", "json"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_string_equal(detect(cases[i].text)->name, cases[i].format);
    }
}

static void a_template_without_tools_has_no_format(void **state)
{
    (void)state;
    assert_null(detect("{{ messages[0].content }}"));
    assert_null(detect("tools {{ message.tools }} {{ 'tools' }} <tool_call>"));
}

static const char TOOLS[] =
    "[{\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":"
    "{\"$ref\":\"#/$defs/A\"}},\"$defs\":{\"A\":{\"type\":\"string\"}}}}},"
    "{\"function\":{\"name\":\"now\"}}]";

static int build(const char *format, const char *name, bool parallel,
                 struct weir_tool_constraint *c)
{
    yyjson_doc *tools = yyjson_read(TOOLS, strlen(TOOLS), 0);
    weir_tool_constraint_init(c, 1 << 16);
    int r = weir_tool_constraint_build(weir_tool_format_find(weir_str_from(format)),
                                       yyjson_doc_get_root(tools), weir_str_from(name), parallel, c,
                                       NULL);
    yyjson_doc_free(tools);
    return r;
}

#define GET(path)                                                                                  \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"get\"},\"arguments\":"             \
    "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#" path                                \
    "/properties/arguments/$defs/A\"}},\"$defs\":{\"A\":{\"type\":\"string\"}}}},"                 \
    "\"required\":[\"name\",\"arguments\"],\"additionalProperties\":false}"
#define NOW(args)                                                                                  \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"now\"},\"" args "\":"              \
    "{\"type\":\"object\"}},\"required\":[\"name\",\"" args "\"],\"additionalProperties\":false}"

static void a_required_call_may_be_any_tool(void **state)
{
    (void)state;
    struct weir_tool_constraint c;
    assert_int_equal(build("hermes", NULL, true, &c), 0);
    assert_string_equal(c.prefix.data, "<tool_call>\n");
    assert_string_equal(c.suffix.data, "\n</tool_call>");
    assert_string_equal(c.schema.data, "{\"anyOf\":[" GET("/anyOf/0") "," NOW("arguments") "]}");
    weir_tool_constraint_finish(&c);
}

static void a_named_call_is_that_tool(void **state)
{
    (void)state;
    struct weir_tool_constraint c;
    assert_int_equal(build("llama", "now", true, &c), 0);
    assert_string_equal(c.schema.data, NOW("parameters"));
    weir_tool_constraint_finish(&c);
    assert_int_equal(build("hermes", "get", true, &c), 0);
    assert_string_equal(c.schema.data, GET(""));
    weir_tool_constraint_finish(&c);
    assert_int_equal(build("hermes", "other", true, &c), WEIR_E_ARG);
    weir_tool_constraint_finish(&c);
}

static void array_formats_bound_the_number_of_calls(void **state)
{
    (void)state;
    struct weir_tool_constraint c;
    assert_int_equal(build("mistral", "now", false, &c), 0);
    assert_string_equal(c.prefix.data, "[TOOL_CALLS] ");
    assert_string_equal(c.schema.data, "{\"type\":\"array\",\"items\":" NOW(
                                           "arguments") ",\"minItems\":1,\"maxItems\":1}");
    weir_tool_constraint_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_gives_the_format_away),
        cmocka_unit_test(a_template_without_tools_has_no_format),
        cmocka_unit_test(a_required_call_may_be_any_tool),
        cmocka_unit_test(a_named_call_is_that_tool),
        cmocka_unit_test(array_formats_bound_the_number_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
