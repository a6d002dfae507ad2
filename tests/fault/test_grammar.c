/* SPDX-License-Identifier: Apache-2.0 */
/* A grammar from its schema to the first tokens, while memory runs out. */
#include <stdlib.h>

#include "engine/grammars.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/pieces.h"

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
    "\"maxLength\":9},\"kind\":{\"enum\":[\"a\",\"ab\",1,null]},\"list\":{\"type\":\"array\","
    "\"items\":{\"$ref\":\"#/$defs/n\"},\"minItems\":1,\"maxItems\":3},\"when\":{\"anyOf\":"
    "[{\"type\":\"integer\",\"minimum\":-7,\"maximum\":120},{\"type\":\"null\"}]}},"
    "\"required\":[\"name\",\"list\"],\"additionalProperties\":{\"type\":\"boolean\"},"
    "\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#/$defs/n\"}}}}}";

static int create_trie(void *arg)
{
    struct weir_token_trie *trie = NULL;
    int r = weir_token_trie_create(arg, &trie);
    weir_token_trie_destroy(trie);
    return r;
}

static int walk(const struct weir_grammar *g)
{
    struct weir_walker *w = NULL;
    int r = weir_walker_create(&w);
    if (r < 0) {
        return r;
    }
    struct weir_grammar_state s;
    uint32_t bits[PIECES_MAX_WORDS];
    weir_grammar_state_init(&s, g);
    r = weir_grammar_mask(&s, w, bits);
    r = r < 0 ? r : weir_grammar_advance(&s, w, '{');
    weir_walker_destroy(w);
    return r;
}

static int compile(void *arg)
{
    struct weir_grammar *g = NULL;
    struct weir_error err;
    struct weir_grammar_source source = {.schema = weir_str_from(schema),
                                         .prefix = weir_str_from("<call>"),
                                         .suffix = weir_str_from("</call>")};
    int r = weir_grammar_compile(&source, arg, &g, &err);
    weir_grammar_unref(g);
    if (r == 0) {
        g = NULL;
        source.prefix = source.suffix = (weir_str){NULL, 0};
        r = weir_grammar_compile(&source, arg, &g, &err);
        r = r < 0 ? r : walk(g);
        weir_grammar_unref(g);
    }
    return r;
}

/* Two of a kind: the second comes from the cache. */
static int get_twice(void *arg)
{
    static const struct weir_page_secret secret;
    struct weir_grammars *grammars = NULL;
    struct weir_grammar *g[2] = {NULL, NULL};
    struct weir_error err;
    const struct weir_grammar_source source = {.schema = weir_str_from(schema)};
    int r = weir_grammars_create(arg, &secret, &grammars);
    for (int i = 0; i < 2 && r == 0; i++) {
        r = weir_grammars_get(grammars, &source, &g[i], &err);
    }
    weir_grammar_unref(g[0]);
    weir_grammar_unref(g[1]);
    weir_grammars_destroy(grammars);
    return r;
}

static void a_trie_is_made_or_not(void **state)
{
    (void)state;
    struct weir_vocabulary v = pieces_vocabulary();
    assert_true(alloc_fail_each(create_trie, &v, 1000) > 0);
}

static void a_grammar_is_compiled_or_not(void **state)
{
    (void)state;
    struct weir_vocabulary v = pieces_vocabulary();
    struct weir_token_trie *trie = NULL;
    assert_int_equal(weir_token_trie_create(&v, &trie), 0);
    assert_true(alloc_fail_each(compile, trie, 10000) > 5);
    weir_token_trie_destroy(trie);
}

static void a_kept_grammar_is_whole(void **state)
{
    (void)state;
    struct weir_vocabulary v = pieces_vocabulary();
    assert_true(alloc_fail_each(get_twice, &v, 10000) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trie_is_made_or_not),
        cmocka_unit_test(a_grammar_is_compiled_or_not),
        cmocka_unit_test(a_kept_grammar_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
