/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once: the error comes back, nothing leaks, nothing is half done. The
 * linker sends malloc, calloc and realloc here (--wrap). */
#include <stdlib.h>

#include "engine/template/template.h"
#include "engine/tool/tool_parser.h"
#include "tests/support/cmocka.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static unsigned fails_in; /* allocations until one fails; 0: none does */

static int fails_now(void)
{
    return fails_in > 0 && --fails_in == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

static const char TEMPLATE[] =
    "{% macro m(a, b='x') %}{{ a ~ b }}{% endmacro %}"
    "{% set ns = namespace(s='') %}{% set long %}{{ 'text' * 5000 }}{% endset %}"
    "{% for message in messages if message.role != 'none' %}"
    "{% set ns.s = ns.s + message.content | trim | upper + m(loop.index) %}"
    "{{ message.items() | list | tojson(indent=2) }}{{ message.content.split(' ') | sort }}"
    "{% endfor %}{{ ns.s }}{{ long | replace('t', 'T') }}{{ '%s' % ns.s }}"
    "{{ messages | map(attribute='role') | unique | join(',') }}{{ long[::-1] | length }}";

static const char MESSAGES[] = "[{\"role\":\"user\",\"content\":\" a b \"},"
                               "{\"role\":\"assistant\",\"content\":\"c\"}]";

static int create_and_render(yyjson_val *messages, unsigned fail_at, struct weir_buf *out)
{
    struct weir_template *t = NULL;
    struct weir_error err;
    fails_in = fail_at;
    int r = weir_template_create(weir_str_from(TEMPLATE), &t, &err);
    if (r == 0) {
        struct weir_template_input in = {.messages = messages};
        r = weir_template_render(t, &in, out, &err);
    }
    fails_in = 0;
    weir_template_destroy(t);
    return r;
}

static void a_failed_allocation_fails_the_render_only(void **state)
{
    (void)state;
    yyjson_doc *doc = yyjson_read(MESSAGES, strlen(MESSAGES), 0);
    assert_non_null(doc);
    struct weir_buf whole;
    weir_buf_init(&whole, 1 << 20);
    assert_int_equal(create_and_render(yyjson_doc_get_root(doc), 0, &whole), 0);
    unsigned n = 1;
    for (int r = -1; r < 0; n++) {
        struct weir_buf out;
        weir_buf_init(&out, 1 << 20);
        r = create_and_render(yyjson_doc_get_root(doc), n, &out);
        assert_true(r == 0 || r == WEIR_E_NOMEM || r == WEIR_E_TOOBIG);
        assert_int_equal(out.len, r == 0 ? whole.len : 0);
        weir_buf_finish(&out);
        assert_true(n < 1000);
    }
    assert_true(n > 5);
    weir_buf_finish(&whole);
    yyjson_doc_free(doc);
}

static int ignore(void *ctx, const struct weir_tool_event *e)
{
    (void)ctx;
    (void)e;
    return 0;
}

static void a_failed_allocation_stops_the_tool_parser(void **state)
{
    (void)state;
    static const char output[] = "some text <tool_call>{\"name\":\"get\",\"arguments\":{}}";
    int r = -1;
    for (unsigned n = 1; r < 0; n++) {
        struct weir_tool_parser p;
        weir_tool_parser_init(&p, weir_tool_format_find(weir_str_from("hermes")), NULL, 1,
                              (struct weir_tool_sink){.emit = ignore});
        fails_in = n;
        r = weir_tool_parser_feed(&p, weir_str_from(output));
        r = r < 0 ? r : weir_tool_parser_end(&p);
        fails_in = 0;
        assert_true(r == 0 || r == WEIR_E_NOMEM);
        weir_tool_parser_finish(&p);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_fails_the_render_only),
        cmocka_unit_test(a_failed_allocation_stops_the_tool_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
