/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/json_body.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/api/json_arena.h"
#include "tests/support/cmocka.h"

static int parse(const char *text, struct weir_error *err)
{
    yyjson_doc *doc = NULL;
    int r = weir_json_body_parse(weir_str_from(text), NULL, &doc, err);
    yyjson_doc_free(doc);
    return r;
}

static void good_bodies_pass(void **state)
{
    (void)state;
    static const char *const good[] = {"{}", "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
                                       " {\"\\ud83d\\ude00\":\"\xF0\x9F\x98\x80\"} "};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(parse(good[i], NULL), 0);
    }
}

static void bad_bodies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } bad[] = {
        {"", "empty"},
        {"[1]", "must be a JSON object"},
        {"{\"a\":1,}", "line 1, column"},
        {"{\n\"a\":tru}", "line 2"},
        {"{\"a\":1,\"a\":2}", "\"a\" appears twice"},
        {"{\"x\":[{\"k\":1,\"j\":2,\"k\":3}]}", "\"k\" appears twice"},
        {"{\"a\":\"\xFF\"}", "not valid JSON"},
        {"{\"a\":\"\\ud800\"}", "not valid JSON"},
        {"{\"a\":1e999}", "not valid JSON"},
        {"{\"a\":NaN}", "not valid JSON"},
        {"{\"a\":1}{}", "not valid JSON"},
        {"{\"a\":1} // c", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_error err = {0};
        assert_true(parse(bad[i].body, &err) < 0);
        assert_non_null(strstr(err.message, bad[i].says));
    }
}

static void depth_is_bounded_without_recursion(void **state)
{
    (void)state;
    for (size_t depth = WEIR_JSON_MAX_DEPTH - 1; depth <= 100000; depth *= 10) {
        char *text = malloc(2 * depth + 6);
        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', depth);
        memset(text + 5 + depth, ']', depth);
        text[5 + 2 * depth] = '}';
        yyjson_doc *doc = NULL;
        struct weir_error err = {0};
        int r = weir_json_body_parse((weir_str){text, 2 * depth + 6}, NULL, &doc, &err);
        assert_int_equal(r, depth < WEIR_JSON_MAX_DEPTH ? 0 : WEIR_E_FORMAT);
        yyjson_doc_free(doc);
        free(text);
    }
}

static void large_objects_are_checked_for_duplicates(void **state)
{
    (void)state;
    enum { N = 5000, CAP = N * 12 + 64 };
    char *text = malloc(CAP);
    for (int duplicate = 0; duplicate < 2; duplicate++) {
        size_t n = 0;
        text[n++] = '{';
        for (int i = 0; i < N; i++) {
            n += (size_t)snprintf(text + n, CAP - n, "%s\"k%d\":1", i ? "," : "", i);
        }
        n += (size_t)snprintf(text + n, CAP - n, ",\"%s\":1}", duplicate ? "k77" : "x");
        yyjson_doc *doc = NULL;
        assert_int_equal(weir_json_body_parse((weir_str){text, n}, NULL, &doc, NULL),
                         duplicate ? WEIR_E_FORMAT : 0);
        yyjson_doc_free(doc);
    }
    free(text);
}

/* The same documents and texts come out of an arena, and from elsewhere where they are too long for
 * its pieces, or where it is full. */
static void memory_comes_from_the_arena_where_it_fits(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 1000, 60000, 200000};
    static const size_t limits[] = {1 << 20, 1 << 20, 1 << 20, 4096};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct weir_arena arena;
        weir_arena_init(&arena, limits[i]);
        size_t n = lengths[i] + 10;
        char *text = malloc(n + 1);
        assert_non_null(text);
        (void)snprintf(text, n + 1, "{ \"k\": [\"");
        memset(text + 9, 'x', lengths[i] - 1);
        (void)snprintf(text + 8 + lengths[i], 3, "\"]");
        text[n] = '}';

        yyjson_doc *doc = NULL;
        assert_int_equal(weir_json_body_parse((weir_str){text, n + 1}, &arena, &doc, NULL), 0);
        yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "k");
        assert_int_equal(yyjson_get_len(yyjson_arr_get_first(list)), lengths[i] - 1);
        weir_str json = {NULL, 0};
        int r = weir_json_write(list, &arena, &json);
        assert_int_equal(r, limits[i] > 4096 ? 0 : WEIR_E_NOMEM);
        assert_true(r < 0 || (json.n == lengths[i] + 3 && memcmp(json.p, text + 7, json.n) == 0));
        yyjson_doc_free(doc);
        weir_arena_finish(&arena);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_bodies_pass),
        cmocka_unit_test(bad_bodies_are_named),
        cmocka_unit_test(depth_is_bounded_without_recursion),
        cmocka_unit_test(large_objects_are_checked_for_duplicates),
        cmocka_unit_test(memory_comes_from_the_arena_where_it_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
