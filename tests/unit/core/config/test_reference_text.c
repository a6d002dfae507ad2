/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/reference_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/config/tenant_entry.h"
#include "tests/support/cmocka.h"

static struct weir_arena arena;

static int set_up(void **state)
{
    (void)state;
    weir_arena_init(&arena, 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    weir_arena_finish(&arena);
    return 0;
}

static void only_whole_values_are_references(void **state)
{
    (void)state;
    static const char *const no[] = {"",          "x",          "${env:}", "${env:A",  "a${env:A}",
                                     "${env:A}b", "${other:A}", "$env:A",  "${ENV:A}", "${file:}"};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(weir_reference_text_is(weir_str_from(no[i])));
    }
    assert_true(weir_reference_text_is(weir_str_from("${env:A}")));
    assert_true(weir_reference_text_is(weir_str_from("${file:/a b}")));
}

static void values_come_from_the_environment_and_from_files(void **state)
{
    (void)state;
    weir_str value;
    struct weir_error err = {0};
    char path[] = P_tmpdir "/weir-reference-XXXXXX", text[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "secret\n\n", 8) == 8 && close(fd) == 0);
    assert_int_equal(setenv("WEIR_TEST_VALUE", "42", 1), 0);
    assert_int_equal(
        weir_reference_text_read(weir_str_from("${env:WEIR_TEST_VALUE}"), &arena, &value, &err), 0);
    assert_true(weir_str_is(value, "42"));
    (void)snprintf(text, sizeof(text), "${file:%s}", path);
    assert_int_equal(weir_reference_text_read(weir_str_from(text), &arena, &value, &err), 0);
    assert_true(weir_str_is(value, "secret\n")); /* one line feed goes */
    assert_int_equal(truncate(path, 70000), 0);
    assert_int_equal(weir_reference_text_read(weir_str_from(text), &arena, &value, &err),
                     WEIR_E_TOOBIG);
    assert_int_equal(truncate(path, 10), 0); /* "secret\n\n" and two NULs */
    assert_int_equal(weir_reference_text_read(weir_str_from(text), &arena, &value, &err),
                     WEIR_E_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(weir_reference_text_read(weir_str_from(text), &arena, &value, &err),
                     WEIR_E_IO);
    assert_int_equal(
        weir_reference_text_read(weir_str_from("${env:WEIR_TEST_NONE}"), &arena, &value, &err),
        WEIR_E_NOTFOUND);
    assert_non_null(strstr(err.message, "WEIR_TEST_NONE"));
}

static void text_that_is_no_file_follows_nothing(void **state)
{
    (void)state;
    struct weir_findings findings;
    struct weir_doc *doc = NULL;
    weir_findings_init(&findings, "test");
    assert_int_equal(weir_doc_parse(weir_str_from("{a: \"${env:PATH}\"}"), &findings, &doc), 0);
    assert_true(weir_str_is(weir_doc_find(weir_doc_root(doc), "a")->text, "${env:PATH}"));
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
}

static void an_entry_is_judged_as_the_file_is(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *path;
    } bad[] = {
        {"{\"limits\":{\"concurrent\":0}}", "limits.concurrent"},
        {"{\"tier\":\"gold\"}", "tier"},
        {"{\"colour\":1}", "colour"},
        {"[]", ""},
        {"3", ""},
        {"{\"tier\":\"batch\",\"tier\":\"batch\"}", "tier"},
    };
    struct weir_tenant_problem problem;
    char *json = NULL;
    weir_str name = weir_str_from("acme");
    assert_int_equal(
        weir_tenant_entry_check(NULL, name, weir_str_from("{\"tier\":\"batch\"}"), &json, &problem),
        0);
    assert_string_equal(json, "{\"tier\":\"batch\"}");
    free(json);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(
            weir_tenant_entry_check(NULL, name, weir_str_from(bad[i].entry), &json, &problem) < 0);
        assert_string_equal(problem.path, bad[i].path);
        assert_true(problem.text[0] != '\0');
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_whole_values_are_references),
        TEST(values_come_from_the_environment_and_from_files),
        TEST(text_that_is_no_file_follows_nothing),
        TEST(an_entry_is_judged_as_the_file_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
