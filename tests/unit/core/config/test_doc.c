/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/doc.h"

#include <stdlib.h>

#include "base/buf.h"
#include "core/config/doc_json.h"
#include "tests/support/cmocka.h"

/* A parsed document and what was found in it. */
struct reading {
    struct weir_findings findings;
    struct weir_doc *doc;
    int code;
};

static struct reading reading_of(weir_str text)
{
    struct reading r = {.doc = NULL};
    weir_findings_init(&r.findings, "t.yaml");
    r.code = weir_doc_parse(text, &r.findings, &r.doc);
    return r;
}

static void finish(struct reading *r)
{
    weir_doc_destroy(r->doc);
    weir_findings_finish(&r->findings);
}

static void nodes_know_type_and_place(void **state)
{
    (void)state;
    struct reading r = reading_of(weir_str_from("server:\n"
                                                "  port: 8080\n"
                                                "  name: \"12\"\n"
                                                "list: [a, 1.5, {x: true}, ~]\n"));
    assert_int_equal(r.code, 0);
    const struct weir_doc_node *root = weir_doc_root(r.doc);

    const struct weir_doc_node *port = weir_doc_find(root, "server.port");
    assert_int_equal(port->type, WEIR_DOC_INT);
    assert_int_equal(port->integer, 8080);
    assert_int_equal(port->place.line, 2);
    assert_int_equal(port->place.column, 9);
    assert_int_equal(port->key_place.column, 3);
    const struct weir_doc_node *name = weir_doc_find(root, "server.name");
    assert_int_equal(name->type, WEIR_DOC_STRING);
    assert_true(name->quoted);
    const struct weir_doc_node *list = weir_doc_find(root, "list");
    assert_int_equal(list->n_children, 4);
    const struct weir_doc_node *map = list->first->next->next;
    char path[WEIR_DOC_PATH_BYTES];
    assert_string_equal(weir_doc_path(map->first, path), "list[2].x");
    assert_int_equal(map->next->type, WEIR_DOC_NULL);
    assert_null(weir_doc_find(root, "server.nothing"));
    assert_null(weir_doc_find(root, "list.x"));
    finish(&r);
}

static void an_odd_key_is_quoted_in_its_path(void **state)
{
    (void)state;
    struct reading r = reading_of(weir_str_from("models: {\"a.b c\": {x: 1}}\n"));
    const struct weir_doc_node *x = weir_doc_root(r.doc)->first->first->first;
    char path[WEIR_DOC_PATH_BYTES];
    assert_string_equal(weir_doc_path(x, path), "models[\"a.b c\"].x");
    finish(&r);
}

static void a_long_path_is_cut_at_the_front(void **state)
{
    (void)state;
    char text[1200];
    memset(text, 'k', sizeof(text));
    memcpy(text + 500, ": {v", 4);
    memcpy(text + 1000, ": 1}", 5);
    struct reading r = reading_of(weir_str_from(text));
    assert_int_equal(r.code, 0);
    const struct weir_doc_node *inner = weir_doc_root(r.doc)->first->first;
    char path[WEIR_DOC_PATH_BYTES];
    assert_string_equal(weir_doc_path(inner, path), "...");
    finish(&r);
}

static void mistakes_are_found_at_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"a: 1\nb:\n  c: 1\n  c: 2\n",
         "t.yaml:4:3: b.c: is a duplicate: the key stands at line 3 already; keep one of them"},
        {"a: &x 1\nb: *x\n",
         "t.yaml:1:4: a: has an anchor (&x); write the value out where it is needed"},
        {"b: *x\n", "t.yaml:1:4: b: uses an alias (*x); write the value out"},
        {"a: !!str 1\n", "t.yaml:1:4: a: has a tag (tag:yaml.org,2002:str), which is not allowed"},
        {"a: 1\n---\nb: 1\n",
         "t.yaml:2:1: document: is followed by a second one; a file holds one document"},
        {"a: [1, 2\n", "t.yaml:2:1: a: is not valid YAML: did not find expected ',' or ']' (while "
                       "parsing a flow sequence that began at line 1)"},
        {"a:\n\t- 1\n", "t.yaml:2:1: a: is not valid YAML: found character that cannot start any "
                        "token (while scanning for the next token that began at line 2)"},
        {"? [a]\n: 1\n",
         "t.yaml:1:3: document: has a key that is a list or mapping; a key must be a plain word"},
        {"a: .inf\n", "t.yaml:1:4: a: must be finite; infinity and not-a-number are not allowed"},
        {"k: 99999999999999999999\n",
         "t.yaml:1:4: k: is a number out of range; if it is a word or key, put it in quotes"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: a: holds a NUL character, which is not allowed"},
        {"ok: 1\nb: \xff\n",
         "t.yaml:2:4: document: has the byte 0xff, which is not UTF-8; save the file as UTF-8"},
        {"\"\": 1\n", "t.yaml:1:1: document: has an empty key; a key must be a word"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reading r = reading_of(weir_str_from(cases[i].text));
        assert_int_equal(r.code, WEIR_E_FORMAT);
        struct weir_error err = {0};
        weir_findings_to_error(&r.findings, &err);
        assert_string_equal(err.message, cases[i].line);
        assert_null(r.doc);
        finish(&r);
    }
}

static void the_limits_hold(void **state)
{
    (void)state;
    struct weir_buf b;
    weir_buf_init(&b, 4 * 1024 * 1024);
    for (int i = 0; i < 33; i++) {
        weir_buf_add_char(&b, '[');
    }
    struct reading deep = reading_of(weir_buf_view(&b));
    assert_int_equal(deep.code, WEIR_E_FORMAT);
    assert_non_null(strstr(deep.findings.items[0].text, "deeper than 32"));
    finish(&deep);

    weir_buf_reset(&b);
    weir_buf_add_char(&b, '[');
    for (int i = 0; i < WEIR_DOC_MAX_NODES; i++) {
        weir_buf_add_text(&b, "1,\n");
    }
    struct reading many = reading_of(weir_buf_view(&b));
    assert_int_equal(many.code, WEIR_E_FORMAT);
    assert_non_null(strstr(many.findings.items[0].text, "more than 100000 values"));
    finish(&many);

    weir_buf_reset(&b);
    while (b.len <= WEIR_DOC_MAX_BYTES) {
        weir_buf_add_text(&b, "# comment\n");
    }
    struct reading large = reading_of(weir_buf_view(&b));
    assert_int_equal(large.code, WEIR_E_TOOBIG);
    finish(&large);
    weir_buf_finish(&b);
}

static void an_empty_file_is_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# only a comment\n", "---\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct reading r = reading_of(weir_str_from(texts[i]));
        assert_int_equal(r.code, 0);
        assert_int_equal(weir_doc_root(r.doc)->type, WEIR_DOC_NULL);
        finish(&r);
    }
}

static void a_node_becomes_json(void **state)
{
    (void)state;
    struct reading r = reading_of(weir_str_from("a: [1, -2, 0.5, yes, 'no', null, true]\nb: {c: "
                                                "\"q\\\"\"}\nd: []\ne: |\n  two\n  lines\n"));
    yyjson_mut_doc *json = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(json, weir_doc_to_json(weir_doc_root(r.doc), json));

    char *text = yyjson_mut_write(json, 0, NULL);
    assert_string_equal(text, "{\"a\":[1,-2,0.5,\"yes\",\"no\",null,true],\"b\":{\"c\":\"q\\\"\"},"
                              "\"d\":[],\"e\":\"two\\nlines\\n\"}");
    free(text);
    yyjson_mut_doc_free(json);
    finish(&r);
}

static void a_missing_file_says_so(void **state)
{
    (void)state;
    struct weir_findings f;
    struct weir_doc *doc = NULL;
    weir_findings_init(&f, "/nonexistent/weir.yaml");

    assert_int_equal(weir_doc_read(&f, &doc), WEIR_E_IO);

    struct weir_error err = {0};
    weir_findings_to_error(&f, &err);
    assert_string_equal(err.message, "/nonexistent/weir.yaml:1:1: document: cannot be read: "
                                     "No such file or directory");
    weir_findings_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_type_and_place),
        cmocka_unit_test(an_odd_key_is_quoted_in_its_path),
        cmocka_unit_test(a_long_path_is_cut_at_the_front),
        cmocka_unit_test(mistakes_are_found_at_their_place),
        cmocka_unit_test(the_limits_hold),
        cmocka_unit_test(an_empty_file_is_nothing),
        cmocka_unit_test(a_node_becomes_json),
        cmocka_unit_test(a_missing_file_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
