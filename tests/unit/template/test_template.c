/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/template/template.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/template/messages.h"
#include "tests/support/cmocka.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };

static const char MESSAGES[] = "[{\"role\":\"user\",\"content\":\"hi\"}]";

/* Renders over MESSAGES; the caller finishes *out. */
static int render(const char *text, struct weir_buf *out, struct weir_error *err)
{
    *err = (struct weir_error){0};
    weir_buf_init(out, MAX_OUTPUT_BYTES);
    struct weir_template *t = NULL;
    int r = weir_template_create(weir_str_from(text), &t, err);
    if (r < 0) {
        return r;
    }
    yyjson_doc *messages = yyjson_read(MESSAGES, strlen(MESSAGES), 0);
    assert_non_null(messages);
    struct weir_template_input in = {.messages = yyjson_doc_get_root(messages)};
    r = weir_template_render(t, &in, out, err);
    yyjson_doc_free(messages);
    weir_template_destroy(t);
    return r;
}

static void expect_error(const char *text, int code, const char *part)
{
    struct weir_buf out;
    struct weir_error err;
    assert_int_equal(render(text, &out, &err), code);
    if (!strstr(err.message, part)) {
        fail_msg("'%s' is not in '%s'", part, err.message);
    }
    assert_int_equal(out.len, 0);
    weir_buf_finish(&out);
}

static void errors_name_line_and_reason(void **state)
{
    (void)state;
    expect_error("a\n\n{% if %}{% endif %}", WEIR_E_FORMAT, "line 3: unexpected '%}'");
    expect_error("\n{{ 'abc }}", WEIR_E_FORMAT, "line 2: a string has no end");
    expect_error("{% include 'x' %}", WEIR_E_UNSUPPORTED, "line 1");
    expect_error("{% for x in messages %}\n{{ x.y.z }}{% endfor %}", WEIR_E_ARG,
                 "line 2: 'dict object' has no attribute 'y'");
    expect_error("x\n{{ nothing.here }}", WEIR_E_ARG, "line 2: 'nothing' is undefined");
    expect_error("{{ 'a'|nosuch }}", WEIR_E_UNSUPPORTED, "no filter named 'nosuch'");
    expect_error("\xff", WEIR_E_FORMAT, "UTF-8");
}

static void raise_exception_gives_its_own_words(void **state)
{
    (void)state;
    struct weir_buf out;
    struct weir_error err;
    assert_int_equal(render("{{ raise_exception('No system role') }}", &out, &err), WEIR_E_ARG);
    assert_string_equal(err.message, "No system role");
    weir_buf_finish(&out);
}

static void a_failed_render_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct weir_template *t = NULL;
    struct weir_buf out;
    weir_buf_init(&out, 1000);
    weir_buf_add_text(&out, "before");
    assert_int_equal(weir_template_create(weir_str_from("text {{ a.b.c }}"), &t, NULL), 0);
    struct weir_template_input in = {0};
    assert_int_equal(weir_template_render(t, &in, &out, NULL), WEIR_E_ARG);
    assert_string_equal(out.data, "before");
    weir_template_destroy(t);
    weir_buf_finish(&out);
}

static void hostile_templates_end_with_an_error(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% "
        "endfor "
        "%}",
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% "
        "endfor %}",
        "{{ 'a' * 1000000000 * 1000000000 }}",
        "{{ [1] * 4000000000 }}",
        "{{ ('a' * 900000)|list|map('upper')|list|length }}{{ 'a' * 9000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ m() ~ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(500) %}{% set ns.l = [ns.l] %}{% endfor "
        "%}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% "
        "endfor %}{% set n2 = namespace(l=[1]) %}{% for i in range(100) %}{% set n2.l = [n2.l, "
        "n2.l] "
        "%}{% endfor %}{{ ns.l == n2.l }}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "{{ 'a'|center(100000000) ~ 'a' * 2000000 }}",
        "{{ '%2000000000d' % 1 }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{{ 9223372036854775807 * 2 }}",
        "{{ -9223372036854775807 - 2 }}",
        "{{ 10 ** 1000 }}",
        "{% for i in range(99999) %}{{ ('a' * 100000).count('b') }}{% endfor %}",
        "{% set l = range(50000)|list %}{{ l|map('string')|unique|list|length }}{{ 'x' * 9999999 "
        "}}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct weir_buf out;
        struct weir_error err;
        int r = render(texts[i], &out, &err);
        if (r >= 0) {
            fail_msg("rendered: %s", texts[i]);
        }
        assert_true(err.message[0] != '\0');
        weir_buf_finish(&out);
    }
}

/* `head` + n times `unit` + `tail`. */
static char *repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    struct weir_buf b;
    weir_buf_init(&b, 4 << 20);
    weir_buf_add_text(&b, head);
    for (size_t i = 0; i < n; i++) {
        weir_buf_add_text(&b, unit);
    }
    weir_buf_add_text(&b, tail);
    return weir_buf_take(&b, NULL);
}

static void deep_templates_are_refused_not_followed(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit, *tail;
    } shapes[] = {
        {"{{ ", "(", "1"},
        {"{{ ", "[", "1"},
        {"{{ ", "not ", "1 }}"},
        {"{{ ", "-", "1 }}"},
        {"", "{% if 1 %}", ""},
        {"{{ 1", " if 1 else 1", " }}"},
        {"{{ a", "[a", "]"},
        {"{{ ", "{1:", "1"},
        {"{{ 'a'|map('map'", ", 'map'", ")|list|length }}"},
        {"{{ a", ".b", " }}"},
        {"{{ 'a'", "|upper", "}}"},
        {"{{ range", "(1)", " }}"},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        char *text = repeated(shapes[i].head, shapes[i].unit, 30000, shapes[i].tail);
        assert_non_null(text);
        struct weir_buf out;
        struct weir_error err;
        int r = render(text, &out, &err);
        if (r >= 0) {
            fail_msg("rendered: %s%s...", shapes[i].head, shapes[i].unit);
        }
        weir_buf_finish(&out);
        free(text);
    }
}

static void long_flat_templates_are_fine(void **state)
{
    (void)state;
    char *text = repeated("{{ 1", " + 1", 20000, " }}");
    struct weir_buf out;
    struct weir_error err;
    assert_int_equal(render(text, &out, &err), 0);
    assert_string_equal(out.data, "20001");
    weir_buf_finish(&out);
    free(text);
}

static void deep_input_is_refused(void **state)
{
    (void)state;
    char *json = repeated("", "[", 1000, "");
    char *close = repeated(json, "]", 1000, "");
    yyjson_doc *doc = yyjson_read(close, strlen(close), 0);
    assert_non_null(doc);
    struct weir_template *t = NULL;
    assert_int_equal(weir_template_create(weir_str_from("x"), &t, NULL), 0);
    struct weir_buf out;
    weir_buf_init(&out, 1000);
    struct weir_error err = {0};
    struct weir_template_input in = {.messages = yyjson_doc_get_root(doc)};
    assert_int_equal(weir_template_render(t, &in, &out, &err), WEIR_E_TOOBIG);
    assert_non_null(strstr(err.message, "'messages' is nested too deeply"));
    weir_buf_finish(&out);
    weir_template_destroy(t);
    yyjson_doc_free(doc);
    free(json);
    free(close);
}

static struct weir_template_features features_of(const char *text)
{
    struct weir_template *t = NULL;
    struct weir_template_features f;
    assert_int_equal(weir_template_create(weir_str_from(text), &t, NULL), 0);
    assert_int_equal(weir_template_features(t, &f), 0);
    weir_template_destroy(t);
    return f;
}

static void features_are_found_by_probing(void **state)
{
    (void)state;
    struct weir_template_features f =
        features_of("{% for m in messages %}{{ m.role + m.content }}{% endfor %}");
    assert_true(f.system && !f.parts && !f.tools);
    f = features_of(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% "
        "endif %}{{ m.content }}{% endfor %}{{ tools }}");
    assert_true(!f.system && !f.parts && f.tools);
    f = features_of(
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% "
        "for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}");
    assert_true(f.system && f.parts && !f.tools);
}

static char *reworked(const char *messages, bool parts, int code, struct weir_error *err)
{
    yyjson_doc *doc = yyjson_read(messages, strlen(messages), 0), *out = NULL;
    assert_non_null(doc);
    *err = (struct weir_error){0};
    assert_int_equal(weir_template_messages(yyjson_doc_get_root(doc), parts, &out, err), code);
    char *text = out ? yyjson_write(out, 0, NULL) : NULL;
    yyjson_doc_free(out);
    yyjson_doc_free(doc);
    return text;
}

static void messages_get_the_shape_that_templates_expect(void **state)
{
    (void)state;
    struct weir_error err;
    const char *in = "[{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
                     "\"text\":\"b\"}]},{\"content\":null,\"tool_calls\":[{\"function\":{\"name\":"
                     "\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]}]";
    char *text = reworked(in, false, 0, &err);
    assert_string_equal(text, "[{\"content\":\"a\\nb\"},{\"content\":null,\"tool_calls\":[{"
                              "\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]}]");
    free(text);
    text = reworked("[{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]", true, 0, &err);
    assert_string_equal(text, "[{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]");
    free(text);
    assert_null(reworked("[{},{\"content\":[{\"type\":\"image_url\"}]}]", false, WEIR_E_ARG, &err));
    assert_non_null(strstr(err.message, "messages[1].content[0]"));
    assert_null(reworked("[7]", false, WEIR_E_ARG, &err));
}

static void builtin_templates_render(void **state)
{
    (void)state;
    struct weir_buf out;
    struct weir_error err;
    assert_int_equal(render(weir_template_builtin((weir_str)WEIR_STR_INIT("llama")).p, &out, &err),
                     0);
    assert_string_equal(out.data, "<|im_start|>user\nhi<|im_end|>\n");
    weir_buf_finish(&out);
    assert_int_equal(render(weir_template_builtin((weir_str)WEIR_STR_INIT("gemma3")).p, &out, &err),
                     0);
    assert_string_equal(out.data, "<start_of_turn>user\nhi<end_of_turn>\n");
    weir_buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_line_and_reason),
        cmocka_unit_test(raise_exception_gives_its_own_words),
        cmocka_unit_test(a_failed_render_leaves_the_buffer_as_it_was),
        cmocka_unit_test(hostile_templates_end_with_an_error),
        cmocka_unit_test(deep_templates_are_refused_not_followed),
        cmocka_unit_test(long_flat_templates_are_fine),
        cmocka_unit_test(deep_input_is_refused),
        cmocka_unit_test(features_are_found_by_probing),
        cmocka_unit_test(messages_get_the_shape_that_templates_expect),
        cmocka_unit_test(builtin_templates_render),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
