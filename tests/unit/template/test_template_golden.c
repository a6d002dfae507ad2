/* SPDX-License-Identifier: Apache-2.0 */
/* Every case of a golden file renders as jinja2 renders it, or fails where jinja2 fails.
 * tests/golden/make_templates.py writes the file; its path is the argument. */
#include <stdio.h>
#include <stdlib.h>

#include <yyjson.h>

#include "engine/template/template.h"
#include "tests/support/cmocka.h"

enum { MAX_OUTPUT_BYTES = 1 << 20, MAX_SHOWN = 40 };

static const char *golden_path;

static weir_str text_of(yyjson_val *v)
{
    const char *text = yyjson_get_str(v);
    return (weir_str){text, text ? yyjson_get_len(v) : 0};
}

/* The case's own variables and, where it asks for them, the shared ones. */
static yyjson_doc *kwargs_of(yyjson_val *c, yyjson_val *shared)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *all = yyjson_val_mut_copy(doc, yyjson_obj_get(c, "input"));
    yyjson_mut_doc_set_root(doc, all);
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(shared, i, n, key, value)
    {
        yyjson_mut_obj_add(all, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, value));
    }
    yyjson_doc *copy = yyjson_mut_doc_imut_copy(doc, NULL);
    yyjson_mut_doc_free(doc);
    return copy;
}

static int render(yyjson_val *c, yyjson_val *given, struct weir_buf *out, struct weir_error *err)
{
    struct weir_template *t = NULL;
    int r = weir_template_create(text_of(yyjson_obj_get(c, "template")), &t, err);
    if (r < 0) {
        return r;
    }
    struct weir_template_input in = {
        .messages = yyjson_obj_get(given, "messages"),
        .tools = yyjson_obj_get(given, "tools"),
        .kwargs = given,
        .add_generation_prompt = yyjson_get_bool(yyjson_obj_get(given, "add_generation_prompt")),
        .bos_token = text_of(yyjson_obj_get(given, "bos_token")),
        .eos_token = text_of(yyjson_obj_get(given, "eos_token")),
        .now_s = 1721995200,
    };
    r = weir_template_render(t, &in, out, err);
    weir_template_destroy(t);
    return r;
}

static bool is_right(yyjson_val *c, int r, weir_str out, const struct weir_error *err)
{
    yyjson_val *expected = yyjson_obj_get(c, "out");
    if (expected) {
        return r == 0 && weir_str_eq(out, text_of(expected));
    }
    weir_str message = text_of(yyjson_obj_get(c, "error"));
    return r < 0 && (message.n == 0 || weir_str_is(message, err->message));
}

static void print_line(const char *label, weir_str s)
{
    printf("%s", label);
    (void)fwrite(s.p ? s.p : "", 1, s.n, stdout);
    printf("\n");
}

static void show(yyjson_val *c, int r, weir_str out, const struct weir_error *err)
{
    yyjson_val *expected = yyjson_obj_get(c, "out");
    print_line("--- ", text_of(yyjson_obj_get(c, "name")));
    print_line(expected ? "jinja2: " : "jinja2: error ",
               text_of(expected ? expected : yyjson_obj_get(c, "error")));
    print_line(r < 0 ? "weir:   error " : "weir:   ", r < 0 ? weir_str_from(err->message) : out);
}

static void every_case_renders_as_jinja2_does(void **state)
{
    (void)state;
    yyjson_doc *doc = yyjson_read_file(golden_path, 0, NULL, NULL);
    assert_non_null(doc);
    struct weir_buf out;
    weir_buf_init(&out, MAX_OUTPUT_BYTES);
    size_t i, n, wrong = 0;
    yyjson_val *c;
    yyjson_val *root = yyjson_doc_get_root(doc), *vars = yyjson_obj_get(root, "vars");
    yyjson_doc *empty = yyjson_read("{}", 2, 0);
    yyjson_val *none = yyjson_doc_get_root(empty);
    yyjson_arr_foreach(yyjson_obj_get(root, "cases"), i, n, c)
    {
        struct weir_error err = {0};
        weir_buf_reset(&out);
        yyjson_doc *kwargs = kwargs_of(c, yyjson_obj_get(c, "vars") ? vars : none);
        int r = render(c, yyjson_doc_get_root(kwargs), &out, &err);
        if (!is_right(c, r, weir_buf_view(&out), &err) && ++wrong <= MAX_SHOWN) {
            show(c, r, weir_buf_view(&out), &err);
        }
        yyjson_doc_free(kwargs);
    }
    printf("%zu of %zu cases agree\n", n - wrong, n);
    weir_buf_finish(&out);
    yyjson_doc_free(empty);
    yyjson_doc_free(doc);
    assert_true(n > 0);
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s GOLDEN.json\n", argv[0]);
        return 2;
    }
    golden_path = argv[1];
    (void)setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_renders_as_jinja2_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
