/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/schema.h"

#include <stdlib.h>

#include "tests/support/cmocka.h"

/* The findings of a check as one string, or the resulting JSON when there are none. */
static char *verdict(const char *schema_text, const char *input)
{
    struct weir_findings f;
    struct weir_schema *schema = NULL;
    weir_findings_init(&f, "s");
    int r = weir_schema_load(weir_str_from(schema_text), &f, &schema);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct weir_doc *doc = NULL;
    yyjson_doc *json = NULL;
    if (r == 0) {
        r = weir_doc_parse(weir_str_from(input), &f, &doc);
    }
    if (r == 0) {
        r = weir_schema_check(schema, weir_doc_root(doc), &f, &json);
    }
    if (r == 0) {
        char *json_text = yyjson_write(json, 0, NULL);
        fputs(json_text, out);
        free(json_text);
    } else {
        weir_findings_print(&f, out);
    }
    fclose(out);
    yyjson_doc_free(json);
    weir_doc_destroy(doc);
    weir_schema_destroy(schema);
    weir_findings_finish(&f);
    return text;
}

static void assert_verdict(const char *schema, const char *input, const char *want)
{
    char *got = verdict(schema, input);
    assert_string_equal(got, want);
    free(got);
}

static void every_keyword_accepts_and_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *good, *bad;
    } cases[] = {
        {"{\"type\":\"string\"}", "a", "1"},
        {"{\"type\":[\"string\",\"null\"]}", "~", "1"},
        {"{\"type\":\"number\"}", "1", "a"},
        {"{\"type\":\"integer\"}", "1", "1.5"},
        {"{\"type\":\"boolean\"}", "true", "yes"},
        {"{\"enum\":[1,\"a\",null]}", "1.0", "b"},
        {"{\"const\":{\"a\":[1]}}", "{a: [1]}", "{a: [2]}"},
        {"{\"minimum\":2,\"maximum\":4}", "2", "5"},
        {"{\"exclusiveMinimum\":2,\"exclusiveMaximum\":4}", "3", "4"},
        {"{\"multipleOf\":0.1}", "0.3", "0.35"},
        {"{\"multipleOf\":16}", "32", "33"},
        {"{\"minLength\":2,\"maxLength\":3}", "\xC3\xA9\xC3\xA9\xC3\xA9", "\xC3\xA9"},
        {"{\"pattern\":\"^a\\\\d$\"}", "a1", "ab"},
        {"{\"format\":\"duration\"}", "30s", "'30'"},
        {"{\"type\":\"string\",\"format\":\"bytes\"}", "64KiB", "64Q"},
        {"{\"format\":\"uri\"}", "http://a/", "a"},
        {"{\"format\":\"host-port\"}", "a:1", "a:99999"},
        {"{\"minItems\":1,\"maxItems\":2}", "[1]", "[]"},
        {"{\"uniqueItems\":true}", "[1, 2]", "[1, 1.0]"},
        {"{\"items\":{\"type\":\"integer\"}}", "[1]", "[a]"},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "[a]", "[a, b]"},
        {"{\"required\":[\"a\"]}", "{a: 1}", "{b: 1}"},
        {"{\"minProperties\":1,\"maxProperties\":1}", "{a: 1}", "{a: 1, b: 1}"},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{a: 1, b: x}", "{a: x}"},
        {"{\"patternProperties\":{\"^x-\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
         "{x-a: 1}", "{y: 1}"},
        {"{\"additionalProperties\":{\"type\":\"integer\"}}", "{a: 1}", "{a: x}"},
        {"{\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", "{a: 1}", "{A: 1}"},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "1", "3"},
        {"{\"anyOf\":[{\"const\":1},{\"type\":\"string\"}]}", "a", "true"},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":5}]}", "0", "3"},
        {"{\"not\":{\"type\":\"null\"}}", "1", "~"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"integer\"}}}", "1", "a"},
        {"{\"type\":[\"integer\",\"array\"],\"items\":{\"$ref\":\"#\"}}", "[[1], 2]", "[[a]]"},
        {"true", "a", NULL},
        {"false", NULL, "a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].good) {
            char *got = verdict(cases[i].schema, cases[i].good);
            assert_null(strstr(got, "s:1"));
            free(got);
        }
        if (cases[i].bad) {
            char *got = verdict(cases[i].schema, cases[i].bad);
            assert_non_null(strstr(got, "s:1:"));
            free(got);
        }
    }
}

static void messages_say_what_is_wrong_and_what_is_allowed(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\"],"
        "\"properties\":{"
        "\"name\":{\"type\":\"string\"},\"workers\":{\"type\":\"integer\",\"minimum\":1},"
        "\"on\":{\"type\":\"boolean\"},\"tier\":{\"enum\":[\"gold\",\"silver\",\"bronze\"]},"
        "\"wait\":{\"format\":\"duration\"},"
        "\"form\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"properties\":{"
        "\"n\":{\"type\":\"integer\"}}}]}}}";
    assert_verdict(schema, "worker: 2\n",
                   "s:1:1: document: lacks the required key name\n"
                   "s:1:1: worker: is not a known key; did you mean workers?\n");
    assert_verdict(schema, "name: 12\n",
                   "s:1:7: name: must be a string, not a whole number 12; put it in quotes\n");
    assert_verdict(
        schema, "name: a\nworkers: 0\non: yes\ntier: silber\nwait: 30\n",
        "s:2:10: workers: must be at least 1, not 0\n"
        "s:3:5: on: must be true or false, not a string \"yes\"; yes, no, on and off are "
        "plain words in YAML 1.2\n"
        "s:4:7: tier: must be one of gold, silver or bronze, not \"silber\"; did you "
        "mean silver?\n");
    assert_verdict(schema, "name: a\nform: {n: x}\n",
                   "s:2:11: form.n: must be a whole number, not a string \"x\"\n");
    assert_verdict(schema, "name: a\nform: 1\n",
                   "s:2:7: form: must be a string or a mapping, not 1\n");
    assert_verdict(schema, "- a\n", "s:1:1: document: must be a mapping, not a list\n");
    assert_verdict(
        schema, "name: a\nzzzzzz: 1\n",
        "s:2:1: zzzzzz: is not a known key; known here are name, workers, on, tier, wait, "
        "form\n");
}

static void a_secret_is_never_shown(void **state)
{
    (void)state;
    assert_verdict(
        "{\"properties\":{\"k\":{\"writeOnly\":true,\"type\":\"string\",\"pattern\":\"^a\"}}}",
        "k: 12345",
        "s:1:4: k: must be a string, not a whole number; put it in "
        "quotes\n");
    assert_verdict(
        "{\"properties\":{\"k\":{\"writeOnly\":true,\"type\":\"string\",\"pattern\":\"^a\"}}}",
        "k: hunter2", "s:1:4: k: must match the pattern ^a, not what is there\n");
}

static void defaults_are_filled_in_at_every_depth(void **state)
{
    (void)state;
    assert_verdict("{\"properties\":{\"a\":{\"default\":{},\"properties\":{\"b\":{\"default\":7}}},"
                   "\"c\":{\"$ref\":\"#/$defs/c\"}},\"$defs\":{\"c\":{\"default\":\"x\"}}}",
                   "z: 1", "{\"z\":1,\"a\":{\"b\":7},\"c\":\"x\"}");
    assert_verdict("{\"items\":{\"properties\":{\"a\":{\"default\":1}}}}", "[{a: 2}, {}]",
                   "[{\"a\":2},{\"a\":1}]");
    assert_verdict("{\"anyOf\":[{\"type\":\"string\"},{\"required\":[\"q\"],\"properties\":{\"r\":"
                   "{\"default\":1}}},{\"properties\":{\"s\":{\"default\":2}}}]}",
                   "{t: 0}", "{\"t\":0,\"s\":2}");
    assert_verdict("{\"patternProperties\":{\"^m\":{\"properties\":{\"a\":{\"default\":1}}}}}",
                   "{m1: {}, n: {}}", "{\"m1\":{\"a\":1},\"n\":{}}");
    assert_verdict("{\"allOf\":[{\"properties\":{\"a\":{\"default\":1}}},{\"properties\":{\"a\":"
                   "{\"default\":2},\"b\":{\"default\":3}}}]}",
                   "{}", "{\"a\":1,\"b\":3}");
}

static void bad_schemas_are_refused_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *says;
    } cases[] = {
        {"{\"tpye\":\"string\"}", "did you mean type?"},
        {"{\"dependentRequired\":{}}", "is no schema keyword known here"},
        {"{\"type\":\"text\"}", "must be null, boolean, integer"},
        {"{\"format\":\"email\"}", "is an unknown format"},
        {"{\"pattern\":\"(?=x)\"}", "which patterns here do not know"},
        {"{\"$ref\":\"#/definitions/a\"}", "must be # or #/$defs/NAME"},
        {"{\"$ref\":\"#\"}", "refers to itself"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},"
         "\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}",
         "refers to itself"},
        {"{\"properties\":{\"a\":{\"type\":\"integer\",\"default\":\"x\"}}}",
         "properties.a.default: must be a whole number"},
        {"{\"enum\":[]}", "is empty"},
        {"{\"minLength\":-1}", "must not be negative"},
        {"{\"multipleOf\":0}", "must be above 0"},
        {"{\"required\":[1]}", "must be a string"},
        {"{\"properties\":[]}", "must be a mapping"},
        {"{\"properties\":{\"a\":{\"$defs\":{}}}}", "at the top of a schema only"},
        {"{\"type\":\"string\",\"type\":\"null\"}", "is a duplicate"},
        {"[]", "must be a schema"},
        {"{", "is not valid YAML"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *got = verdict(cases[i].schema, "1");
        assert_non_null(strstr(got, cases[i].says));
        free(got);
    }
}

static void endless_defaults_and_explosive_schemas_end(void **state)
{
    (void)state;
    char *got = verdict("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"properties\":{\"x\":"
                        "{\"$ref\":\"#/$defs/a\",\"default\":{}}}}}}",
                        "{}");
    assert_non_null(strstr(got, "too complex"));
    free(got);

    /* Each level doubles the work: 2^31 without a bound. */
    got = verdict("{\"anyOf\":[{\"type\":\"integer\"},{\"items\":{\"$ref\":\"#\"},\"maxItems\":2},"
                  "{\"items\":{\"$ref\":\"#\"},\"maxItems\":3}]}",
                  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_non_null(strstr(got, "too complex"));
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_keyword_accepts_and_refuses),
        cmocka_unit_test(messages_say_what_is_wrong_and_what_is_allowed),
        cmocka_unit_test(a_secret_is_never_shown),
        cmocka_unit_test(defaults_are_filled_in_at_every_depth),
        cmocka_unit_test(bad_schemas_are_refused_at_load),
        cmocka_unit_test(endless_defaults_and_explosive_schemas_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
