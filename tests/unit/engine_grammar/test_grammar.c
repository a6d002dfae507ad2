/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/grammar/grammar.h"

#include <stdlib.h>

#include <yyjson.h>

#include "base/buf.h"
#include "tests/support/cmocka.h"
#include "tests/support/pieces.h"

enum { MAX_TEXT_BYTES = 1 << 16, WALK_TOKENS = 120, MAX_WALK_TOKENS = 4000 };

struct fixture {
    struct weir_vocabulary vocabulary;
    struct weir_token_trie *trie;
    struct weir_walker *walker;
};

static int set_up(void **state)
{
    static struct fixture f;
    f.vocabulary = pieces_vocabulary();
    assert_int_equal(weir_token_trie_create(&f.vocabulary, &f.trie), 0);
    assert_int_equal(weir_walker_create(&f.walker), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    weir_walker_destroy(f->walker);
    weir_token_trie_destroy(f->trie);
    return 0;
}

static struct weir_grammar *compile(const struct fixture *f, const char *schema)
{
    struct weir_grammar *g = NULL;
    struct weir_error err = {0};
    struct weir_grammar_source source = {.schema = weir_str_from(schema)};
    if (weir_grammar_compile(&source, f->trie, &g, &err) < 0) {
        fail_msg("%s: %s", schema, err.message);
    }
    return g;
}

static bool is_allowed(const struct fixture *f, const struct weir_grammar_state *s, int32_t token)
{
    uint32_t bits[PIECES_MAX_WORDS];
    assert_true(f->trie->n_words <= PIECES_MAX_WORDS);
    assert_int_equal(weir_grammar_mask(s, f->walker, bits), 0);
    return weir_mask_allows(bits, token);
}

/* Tokens that fit at the head of text, the longest ones first or by chance. */
static int32_t cut(const struct fixture *f, weir_str text, uint64_t *seed, size_t *ret_len)
{
    int32_t found = (uint8_t)text.p[0];
    *ret_len = 1;
    for (uint32_t t = PIECES_FIRST_LONG; t < f->vocabulary.n_vocab; t++) {
        weir_str p = weir_vocabulary_visible(&f->vocabulary, (int32_t)t);
        if (p.p && p.n <= text.n && memcmp(p.p, text.p, p.n) == 0 && pieces_random(seed) % 3 != 0) {
            found = (int32_t)t;
            *ret_len = p.n;
        }
    }
    return found;
}

/* Takes the text cut into tokens by chance. False: some token was refused; then the mask had
 * refused it as well. */
static bool take(const struct fixture *f, struct weir_grammar_state *s, weir_str text,
                 uint64_t *seed)
{
    while (text.n > 0) {
        size_t len;
        int32_t token = cut(f, text, seed, &len);
        bool allowed = is_allowed(f, s, token);
        assert_int_equal(weir_grammar_advance(s, f->walker, token) == 0, allowed);
        if (!allowed) {
            return false;
        }
        text.p += len;
        text.n -= len;
    }
    return true;
}

static bool accepts(const struct fixture *f, const struct weir_grammar *g, const char *text)
{
    bool all = true, any = false;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t random = seed * 7919;
        struct weir_grammar_state s;
        weir_grammar_state_init(&s, g);
        bool ok =
            take(f, &s, weir_str_from(text), &random) && s.may_end && is_allowed(f, &s, PIECES_END);
        all = all && ok;
        any = any || ok;
    }
    if (all != any) {
        fail_msg("%s: accepted depending on how it is cut into tokens", text);
    }
    return all;
}

static const char search_schema[] = "{\"pattern\":\"a(b|c)*d\"}";
static const char half_open_schema[] = "{\"pattern\":\"^a|b$|^c$\"}";

static const struct {
    const char *schema;
    const char *valid[8];
    const char *invalid[8];
} cases[] = {
    {"",
     {"{}", "{\"a\": 1}", "{\"a\":[1,2.5e3,{\"b\":null}],\"\":\"\\u00e9\xC3\xA9\"}",
      "{\n  \"a\": []\n}"},
     {"[]", "1", "{} ", " {}", "{\"a\":01}", "{\"a\" 1}", "{\"a\":1,}", "{\n\n\"a\":1}"}},
    {"true", {"1", "[]", "\"\"", "null", "{}", "-0.5E-10"}, {"nul", "+1", "--1", "1.", ".5"}},
    {"{}", {"1", "{\"x\":{}}"}, {"tru"}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"hello world\"", "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"", "\"\\\"\\\\\\n\""},
     {"\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\x\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\n\"",
      "\"\xED\xA0\x80\""}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"abc\"", "\"\xC3\xA9\xC3\xA9\"", "\"\\n\\u0041a\"",
      "\"\\ud83d\\ude00\xF0\x9F\x98\x80\""},
     {"\"\"", "\"a\"", "\"abcd\"", "\"\xC3\xA9\"", "\"hello\"", "\"\\n\"",
      "\"0123456789abcdefghij\""}},
    {"{\"type\":\"string\",\"minLength\":1}", {"\"a\"", "\"hello world\""}, {"\"\""}},
    {"{\"type\":\"string\",\"maxLength\":0}", {"\"\""}, {"\"a\""}},
    {"{\"type\":\"string\",\"maxLength\":40}",
     {"\"0123456789abcdefghij0123456789abcdefghij\"", "\"\""},
     {"\"0123456789abcdefghij0123456789abcdefghijx\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[A-Z]{2,3}-\\\\d+(x|yz)?$\"}",
     {"\"AB-1\"", "\"ABC-0042yz\"", "\"AB-7x\""},
     {"\"A-1\"", "\"ABCD-1\"", "\"AB-\"", "\"AB-1y\"", "\"AB-1xx\"", "\" AB-1\""}},
    {search_schema,
     {"\"ad\"", "\"--abcbd--\"", "\"aad\"", "\"\\\"abd\""},
     {"\"abc\"", "\"\"", "\"bd\""}},
    {"{\"pattern\":\"^(?:[^\\\"a-y]|\xC3\xA9|[\xE4\xB8\x80-\xE9\xBF\xBF]{2}){1,2}$\"}",
     {"\"z\"", "\"zz\"", "\"\xC3\xA9\"", "\"\xE4\xB8\xAD\xE6\x96\x87\"", "\"\xF0\x9F\x98\x80\"",
      "\"\\n\""},
     {"\"b\"", "\"zzz\"", "\"\\\"\"", "\"\""}},
    {half_open_schema,
     {"\"axx\"", "\"xxb\"", "\"c\"", "\"\xC3\xA9 b\""},
     {"\"cc\"", "\"xa\"", "\"bx\""}},
    {"{\"pattern\":\"^(a{0}b?){2}.\\\\s\\\\u0041\\\\x42[\\\\w.-]+$\"}",
     {"\"bbc ABx-y\"", "\"c ABz\""},
     {"\"abb\"", "\"c AB\"", "\"c\\nABz!\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2026-11-27T01:02:03Z\"", "\"2026-02-28T23:59:59.123+01:30\""},
     {"\"2026-02-30T01:02:03Z\"", "\"2026-13-01T01:02:03Z\"", "\"2026-11-27\"",
      "\"2026-11-27T24:00:00Z\""}},
    {"{\"format\":\"ipv4\"}", {"\"127.0.0.1\"", "\"255.10.9.0\""}, {"\"256.1.1.1\"", "\"1.2.3\""}},
    {"{\"format\":\"ipv6\"}",
     {"\"::1\"", "\"1:2:3:4:5:6:7:8\"", "\"fe80::a:1\"", "\"1::\""},
     {"\"1:2\"", "\":::\"", "\"1::2::3\""}},
    {"{\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567\""}},
    {"{\"format\":\"email\"}", {"\"jo.li@mail.example.org\""}, {"\"jo@\"", "\"a b@x.org\""}},
    {"{\"format\":\"hostname\"}", {"\"a-1.example.org\""}, {"\"-a.org\"", "\"a..b\""}},
    {"{\"format\":\"duration\"}",
     {"\"P1DT12H\"", "\"PT3M\"", "\"P2W\""},
     {"\"P\"", "\"P1H\"", "\"PT\""}},
    {"{\"type\":\"integer\"}",
     {"0", "-1", "1234567890123456"},
     {"1.0", "01", "-", "1e3", "12345678901234567"}},
    {"{\"type\":\"number\"}", {"0", "-1.25", "1e10", "3.14E+2", "123"}, {"1.", "1e", "00"}},
    {"{\"type\":[\"integer\",\"null\"]}", {"5", "null"}, {"\"5\"", "true"}},
    {"{\"type\":\"integer\",\"minimum\":-12,\"maximum\":305}",
     {"-12", "-9", "0", "7", "99", "300", "305"},
     {"-13", "306", "400", "1000", "1.5", "05", "-20"}},
    {"{\"type\":\"integer\",\"minimum\":1}", {"1", "10", "123"}, {"0", "-1", "00"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":0.5,\"exclusiveMaximum\":3}",
     {"1", "2"},
     {"0", "3"}},
    {"{\"type\":\"integer\",\"maximum\":-5}", {"-5", "-123"}, {"-4", "5", "0", "-0"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
     {"0", "0.5", "0.123", "1", "1.000", "0.0"},
     {"1.001", "2", "-0.5", "1e0", "10"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}",
     {"0.5", "0.0001", "0.123"},
     {"0", "1", "0.0", "1.0"}},
    {"{\"type\":\"number\",\"minimum\":-1.25,\"maximum\":-0.5}",
     {"-1.25", "-0.5", "-1", "-0.75", "-1.2", "-0.50"},
     {"-1.26", "-0.4", "0", "-0.49", "-2", "1"}},
    {"{\"type\":\"number\",\"minimum\":2.5}",
     {"2.5", "3", "2.51", "100.0"},
     {"2.49", "2", "2.4", "-3", "1"}},
    {"{\"maximum\":1e300}", {"5", "-1.5"}, {"x"}},
    {"{\"type\":\"integer\",\"multipleOf\":7}",
     {"0", "7", "-14", "700", "9999999999999996", "1000000000000001"},
     {"1", "-1", "71", "7.0", "07", "10"}},
    {"{\"type\":\"integer\",\"multipleOf\":25,\"minimum\":-50,\"exclusiveMaximum\":1025}",
     {"-50", "-25", "0", "75", "100", "1000"},
     {"-75", "1025", "10", "1050", "2500", "-5"}},
    {"{\"type\":\"integer\",\"multipleOf\":2.5}", {"0", "5", "10", "-15"}, {"1", "2", "2.5"}},
    {"{\"type\":\"integer\",\"multipleOf\":0.01}", {"0", "1", "-37"}, {"0.5"}},
    {"{\"type\":\"integer\",\"multipleOf\":997}", {"0", "-997", "9970"}, {"998", "-0.997"}},
    {"{\"type\":\"integer\",\"multipleOf\":1000,\"minimum\":1}",
     {"1000", "52000", "9999999999999000"},
     {"0", "100", "1001", "-1000", "10000000000000000"}},
    {"{\"type\":\"number\",\"multipleOf\":0.01}",
     {"0", "1.5", "-0.25", "12.34", "3.0"},
     {"0.001", "1e2", "-12.345", "1."}},
    {"{\"multipleOf\":0.25,\"minimum\":0.6,\"maximum\":12.3}",
     {"0.75", "1", "1.0", "2.5", "2.50", "12.25", "12"},
     {"0.5", "0.6", "12.5", "12.3", "0.7", "1.1", "-0.75", "13"}},
    {"{\"multipleOf\":12.5}", {"0", "12.5", "25", "-37.5", "100.0"}, {"12", "5", "37", "1.25"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"True", "1"}},
    {"{\"enum\":[\"red\",\"reddish\",1,12,null,{\"a\":[1]}]}",
     {"\"red\"", "\"reddish\"", "1", "12", "null", "{\"a\":[1]}"},
     {"\"re\"", "2", "\"green\"", "{}"}},
    {"{\"enum\":[\"a\",1,2.0,true],\"type\":[\"string\",\"integer\"]}",
     {"\"a\"", "1", "2.0"},
     {"true"}},
    {"{\"const\":\"q\\\"\"}", {"\"q\\\"\""}, {"\"q\"", "\"q\\u0022\""}},
    {"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
     "\"integer\"}},"
     "\"required\":[\"name\",\"age\"],\"additionalProperties\":false}",
     {"{\"name\":\"x\",\"age\":3}", "{ \"name\": \"x\", \"age\": 3 }",
      "{\n  \"name\": \"a\",\n  \"age\": 1\n}"},
     {"{}", "{\"name\":\"x\"}", "{\"age\":3,\"name\":\"x\"}", "{\"name\":\"x\",\"age\":3,\"b\":1}",
      "{\"name\":1,\"age\":3}", "{\"name\":\"x\",\"age\":3,}"}},
    {"{\"properties\":{\"a\":{},\"ab\":{\"type\":\"null\"},\"b\":{\"type\":\"integer\"}},"
     "\"required\":[\"ab\"]}",
     {"{\"ab\":null}", "{\"a\":[],\"ab\":null}", "{\"a\":1,\"ab\":null,\"b\":2}",
      "{\"ab\":null,\"b\":2}"},
     {"{}", "{\"a\":1}", "{\"ab\":1}", "{\"ab\":null,\"a\":1}", "{\"ab\":null,\"c\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"},\"caf\xC3\xA9\":{}},"
     "\"additionalProperties\":{\"type\":\"string\"}}",
     {"{}", "{\"ab\":1}", "{\"a\":\"x\"}", "{\"abc\":\"x\",\"zz\":\"\"}", "{\"ab\":1,\"b\":\"x\"}",
      "{\"caf\":\"x\"}", "{\"cafe\\n\":\"x\"}", "{\"\xC3\xA9\":\"\"}"},
     {"{\"ab\":\"x\"}", "{\"b\":1}", "{\"b\":\"x\",\"ab\":1}", "{\"\\u0061b\":\"x\"}",
      "{\"caf\xC3\xA9\":1,\"ab\":2}"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{}", "{\"a\":1}", "{\"\\u0061\":1,\"b\":2}"},
     {"{\"a\":\"\"}"}},
    {"{\"type\":\"object\",\"required\":[\"x\"]}", {"{\"x\":1}"}, {"{}", "{\"y\":1}"}},
    {"{\"type\":\"array\"}", {"[]", "[1,[2],{}]", "[ 1, 2 ]"}, {"[1,]", "[,1]", "{}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":2}",
     {"[1]", "[1,2]", "[1, 2]"},
     {"[]", "[1,2,3]", "[\"\"]"}},
    {"{\"items\":{\"type\":\"boolean\"},\"minItems\":2}",
     {"[true,false]", "[true,true,true]"},
     {"[true]", "[]"}},
    {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}",
     {"[]", "[1]", "[1,\"a\"]"},
     {"[\"a\"]", "[1,\"a\",2]"}},
    {"{\"prefixItems\":[{\"type\":\"integer\"}],\"minItems\":1}",
     {"[1]", "[1,null,\"\"]"},
     {"[]", "[null]"}},
    {"{\"items\":{\"enum\":[\"a\",\"ab\",1,1.0,null]},\"uniqueItems\":true}",
     {"[]", "[\"a\"]", "[\"ab\",\"a\"]", "[null, 1,\"a\",\"ab\"]", "[ 1 ]"},
     {"[1,1]", "[\"a\",1,\"a\"]", "[1.0]", "[2]", "[1,]", "[\"a\",\"ab\",1,null,null]", "[,1]"}},
    {"{\"items\":{\"$ref\":\"#/$defs/c\"},\"uniqueItems\":true,\"minItems\":1,\"maxItems\":2,"
     "\"$defs\":{\"c\":{\"enum\":[\"x\",\"y\",\"z\"],\"type\":\"string\"}}}",
     {"[\"x\"]", "[\"z\",\"y\"]"},
     {"[]", "[\"x\",\"x\"]", "[\"x\",\"y\",\"z\"]"}},
    {"{\"items\":{\"type\":\"integer\"},\"uniqueItems\":false}", {"[1,1]"}, {"[\"\"]"}},
    {"{\"items\":{\"type\":\"integer\"},\"uniqueItems\":true,\"maxItems\":1}",
     {"[]", "[1]"},
     {"[1,1]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]", "[ ]"}, {"[1]"}},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
     "\"null\"}},\"required\":[\"a\"]}]}",
     {"\"x\"", "{\"a\":null}"},
     {"{}", "1"}},
    {"{\"oneOf\":[{\"const\":1},{\"const\":12},{\"type\":\"array\",\"items\":{\"const\":\"z\"}}]}",
     {"1", "12", "[\"z\",\"z\"]"},
     {"2", "[1]"}},
    {"{\"$ref\":\"#/$defs/"
     "n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
     "n\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":1}"}},
    {"{\"allOf\":[{\"$ref\":\"#/$defs/"
     "a\"},{\"properties\":{\"y\":{\"type\":\"integer\"}},\"required\":[\"y\"]}],"
     "\"$defs\":{\"a\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},"
     "\"required\":[\"x\"]}}}",
     {"{\"x\":1,\"y\":2}"},
     {"{\"x\":1}", "{\"y\":1}"}},
    {"{\"allOf\":[{\"$ref\":\"#/$defs/"
     "a\"}],\"description\":\"d\",\"$defs\":{\"a\":{\"type\":\"integer\"}}}",
     {"7"},
     {"\"7\""}},
    {"{\"type\":\"object\",\"properties\":{\"q\\\"\\n\":{\"const\":true}},\"required\":["
     "\"q\\\"\\n\"]}",
     {"{\"q\\\"\\n\":true}"},
     {"{}"}},
};

enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

static void valid_texts_are_accepted_and_others_refused(void **state)
{
    const struct fixture *f = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct weir_grammar *g = compile(f, cases[i].schema);
        for (size_t k = 0; k < 8 && cases[i].valid[k]; k++) {
            if (!accepts(f, g, cases[i].valid[k])) {
                fail_msg("%s refuses %s", cases[i].schema, cases[i].valid[k]);
            }
        }
        for (size_t k = 0; k < 8 && cases[i].invalid[k]; k++) {
            if (accepts(f, g, cases[i].invalid[k])) {
                fail_msg("%s accepts %s", cases[i].schema, cases[i].invalid[k]);
            }
        }
        weir_grammar_unref(g);
    }
}

static int32_t pick(const struct fixture *f, const uint32_t *bits, bool hurry, uint64_t *seed)
{
    static const char closers[] = "\"}]";
    if (weir_mask_allows(bits, PIECES_END) && (hurry || pieces_random(seed) % 4 == 0)) {
        return PIECES_END;
    }
    for (const char *c = closers; hurry && *c; c++) {
        if (weir_mask_allows(bits, *c)) {
            return *c;
        }
    }
    int32_t token;
    assert_true(f->vocabulary.n_vocab > 0);
    do {
        token = (int32_t)(pieces_random(seed) % f->vocabulary.n_vocab);
    } while (!weir_mask_allows(bits, token));
    return token;
}

/* Writes tokens by chance, of those that are allowed; the text in ret. */
static void wander(const struct fixture *f, const struct weir_grammar *g, uint64_t *seed,
                   struct weir_buf *ret)
{
    uint32_t bits[PIECES_MAX_WORDS];
    struct weir_grammar_state s;
    weir_grammar_state_init(&s, g);
    for (int n = 0; !weir_grammar_is_complete(&s); n++) {
        assert_true(n < MAX_WALK_TOKENS);
        assert_int_equal(weir_grammar_mask(&s, f->walker, bits), 0);
        assert_false(weir_mask_allows(bits, PIECES_CONTROL));
        assert_int_equal(weir_mask_allows(bits, PIECES_END), s.may_end);
        int32_t token = pick(f, bits, n > WALK_TOKENS, seed);
        assert_int_equal(weir_grammar_advance(&s, f->walker, token), 0);
        if (token != PIECES_END) {
            weir_buf_add_str(ret, weir_vocabulary_visible(&f->vocabulary, token));
        }
    }
}

static void any_allowed_tokens_make_valid_json_in_the_end(void **state)
{
    const struct fixture *f = *state;
    uint64_t seed = 42;
    for (size_t i = 0; i < N_CASES; i++) {
        struct weir_grammar *g = compile(f, cases[i].schema);
        /* Chance alone hardly finds an end where any text may come before it. */
        bool ends = cases[i].schema != search_schema && cases[i].schema != half_open_schema;
        for (int n = 0; ends && n < 40; n++) {
            struct weir_buf text;
            weir_buf_init(&text, MAX_TEXT_BYTES);
            wander(f, g, &seed, &text);
            yyjson_doc *doc = yyjson_read(text.data, text.len, 0);
            if (!doc) {
                fail_msg("%s gives %.*s", cases[i].schema, (int)text.len, text.data);
            }
            yyjson_doc_free(doc);
            weir_buf_finish(&text);
        }
        weir_grammar_unref(g);
    }
}

/* The tables for strings must allow what advance() takes, token by token. */
static void the_mask_is_what_advance_takes(void **state)
{
    const struct fixture *f = *state;
    uint32_t bits[PIECES_MAX_WORDS];
    uint64_t seed = 7;
    for (size_t i = 0; i < N_CASES; i++) {
        struct weir_grammar *g = compile(f, cases[i].schema);
        struct weir_grammar_state s, probe;
        weir_grammar_state_init(&s, g);
        for (int n = 0; n < 60 && !weir_grammar_is_complete(&s); n++) {
            assert_int_equal(weir_grammar_mask(&s, f->walker, bits), 0);
            for (int32_t t = 0; t < (int32_t)f->vocabulary.n_vocab; t++) {
                probe = s;
                bool takes = weir_grammar_advance(&probe, f->walker, t) == 0;
                if (takes != weir_mask_allows(bits, t)) {
                    weir_str piece = weir_vocabulary_visible(&f->vocabulary, t);
                    fail_msg("%s: step %d, token %d '%.*s': advance %d, mask %d", cases[i].schema,
                             n, (int)t, (int)piece.n, piece.p, takes, !takes);
                }
            }
            assert_int_equal(weir_grammar_advance(&s, f->walker, pick(f, bits, n > 40, &seed)), 0);
        }
        weir_grammar_unref(g);
    }
}

static void text_stands_around_the_value(void **state)
{
    const struct fixture *f = *state;
    struct weir_grammar *g = NULL;
    struct weir_grammar_source source = {
        .prefix = weir_str_from("<tool>\n"),
        .schema = weir_str_from("{\"const\":1}"),
        .suffix = weir_str_from("\n</tool>"),
    };
    assert_int_equal(weir_grammar_compile(&source, f->trie, &g, NULL), 0);
    assert_true(accepts(f, g, "<tool>\n1\n</tool>"));
    assert_false(accepts(f, g, "<tool>\n1"));
    assert_false(accepts(f, g, "1"));
    weir_grammar_unref(g);
}

static void a_refused_token_leaves_the_state(void **state)
{
    const struct fixture *f = *state;
    struct weir_grammar *g = compile(f, "{\"type\":\"object\"}");
    struct weir_grammar_state s;
    weir_grammar_state_init(&s, g);
    assert_int_equal(weir_grammar_advance(&s, f->walker, 'x'), WEIR_E_ARG);
    assert_int_equal(weir_grammar_advance(&s, f->walker, PIECES_END), WEIR_E_ARG);
    assert_int_equal(weir_grammar_advance(&s, f->walker, PIECES_CONTROL), WEIR_E_ARG);
    assert_int_equal(weir_grammar_advance(&s, f->walker, '{'), 0);
    assert_false(s.may_end);
    assert_int_equal(weir_grammar_advance(&s, f->walker, '}'), 0);
    assert_true(weir_grammar_is_complete(&s));
    weir_grammar_unref(g);
}

static void what_cannot_be_kept_is_refused_by_name(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *schema, *message;
    } refused[] = {
        {"{", "not valid JSON"},
        {"3", "#: a schema must be an object or a boolean"},
        {"{\"not\":{}}", "#: keyword 'not' is not supported"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{"
         "\"uniqueItems\":true}}}}",
         "#/properties/a/items: uniqueItems is only supported where items is an enum"},
        {"{\"items\":{\"enum\":[1,2,3,4,5,6,7,8,9]},\"uniqueItems\":true}", "#: uniqueItems"},
        {"{\"items\":{\"enum\":[[1]]},\"uniqueItems\":true}", "#: uniqueItems is only"},
        {"{\"items\":{\"enum\":[1]},\"uniqueItems\":1}", "uniqueItems must be true or false"},
        {"{\"items\":{\"enum\":[1,2]},\"uniqueItems\":true,\"minItems\":3}",
         "no value can satisfy"},
        {"{\"anyOf\":[{},{\"multipleOf\":0}]}", "#/anyOf/1: multipleOf must be a number above 0"},
        {"{\"multipleOf\":\"2\"}", "multipleOf must be a number above 0"},
        {"{\"multipleOf\":-1}", "multipleOf must be a number above 0"},
        {"{\"multipleOf\":1001}", "multipleOf can be at most 1000 units"},
        {"{\"multipleOf\":1e-300}", "multipleOf can be at most 1000 units"},
        {"{\"multipleOf\":10,\"minimum\":1,\"maximum\":9}", "no value can satisfy"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"if\":{}}}}", "#/$defs/a: keyword 'if'"},
        {"{\"$ref\":\"http://x\"}", "$ref must begin with '#'"},
        {"{\"$ref\":\"#/nowhere\"}", "nothing is at '#/nowhere'"},
        {"{\"$ref\":\"#\"}", "leads back to itself"},
        {"{\"anyOf\":[{\"$ref\":\"#/anyOf/1\"},{\"$ref\":\"#/anyOf/0\"}]}", "leads back to itself"},
        {"{\"$ref\":\"#\",\"minLength\":1}", "keyword 'minLength' is not supported beside '$ref'"},
        {"false", "no value can satisfy"},
        {"{\"enum\":[]}", "no value can satisfy"},
        {"{\"enum\":[1],\"type\":\"string\"}", "no value can satisfy"},
        {"{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "no value can satisfy"},
        {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no value can satisfy"},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"minItems\":1}", "no value can satisfy"},
        {"{\"required\":[\"a\"],\"additionalProperties\":false}", "no value can satisfy"},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "no value can satisfy"},
        {"{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":0.5}", "no value can satisfy"},
        {"{\"type\":\"integer\",\"minimum\":1e20}", "no value can satisfy"},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":true}", "exclusiveMinimum must be a number"},
        {"{\"type\":\"number\",\"minimum\":1e-30}", "digits behind the point"},
        {"{\"pattern\":\"(a)\\\\1\"}", "references to groups are not supported at character"},
        {"{\"pattern\":\"(?=a)\"}", "look-around is not supported"},
        {"{\"pattern\":\"(?<!a)\"}", "look-around is not supported"},
        {"{\"pattern\":\"\\\\p{L}\"}", "this escape is not supported"},
        {"{\"pattern\":\"a\\\\b\"}", "this escape is not supported"},
        {"{\"pattern\":\"(a\"}", "')' is missing"},
        {"{\"pattern\":\"a)\"}", "')' without '('"},
        {"{\"pattern\":\"[a\"}", "']' is missing"},
        {"{\"pattern\":\"[z-a]\"}", "runs backwards"},
        {"{\"pattern\":\"a{2,1}\"}", "wrong count"},
        {"{\"pattern\":\"a**\"}", "no meaning here"},
        {"{\"pattern\":\"a^\"}", "'^' may only come first"},
        {"{\"pattern\":\"(a$)b\"}", "'$' may only come last"},
        {"{\"pattern\":\"((a{1000}){1000}){1000}\"}", "too large"},
        {"{\"pattern\":\"(a|b)*a(a|b){20}\"}", "too complex"},
        {"{\"pattern\":\"\\\\\"}", "nothing behind the backslash"},
        {"{\"pattern\":1}", "pattern must be text"},
        {"{\"pattern\":\"a\",\"maxLength\":3}", "pattern together with minLength or maxLength"},
        {"{\"format\":\"uri\"}", "format 'uri' is not supported"},
        {"{\"type\":\"text\"}", "type 'text' is none of"},
        {"{\"type\":\"string\",\"maxLength\":-1}", "maxLength must be a whole number"},
        {"{\"type\":\"string\",\"maxLength\":1000000}", "too large"},
        {"{\"type\":\"array\",\"minItems\":1000000}", "too large"},
        {"{\"properties\":{\"a\":{},\"a\":{}}}", "property 'a' is there twice"},
        {"{\"required\":\"a\"}", "required must be a list"},
        {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"object\"}]}", "allOf can only put objects"},
        {"{\"allOf\":[{\"additionalProperties\":false},{}]}", "keyword 'additionalProperties'"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct weir_grammar *g = NULL;
        struct weir_error err = {0};
        struct weir_grammar_source source = {.schema = weir_str_from(refused[i].schema)};
        int r = weir_grammar_compile(&source, f->trie, &g, &err);
        if ((r != WEIR_E_ARG && r != WEIR_E_TOOBIG) || !strstr(err.message, refused[i].message)) {
            fail_msg("%s: %d, %s", refused[i].schema, r, err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_accepted_and_others_refused),
        cmocka_unit_test(any_allowed_tokens_make_valid_json_in_the_end),
        cmocka_unit_test(the_mask_is_what_advance_takes),
        cmocka_unit_test(text_stands_around_the_value),
        cmocka_unit_test(a_refused_token_leaves_the_state),
        cmocka_unit_test(what_cannot_be_kept_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
