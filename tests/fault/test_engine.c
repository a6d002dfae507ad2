/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine reads from a model file, made while memory runs out. */
#include <stdlib.h>
#include <yyjson.h>

#include "engine/gguf/gguf.h"
#include "engine/template/template.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/files.h"

static int open_file(void *arg)
{
    struct weir_gguf *g = NULL;
    struct weir_error err;
    int r = weir_gguf_open(arg, &g, &err);
    weir_gguf_destroy(g);
    return r;
}

static int create_tokenizer(void *arg)
{
    struct weir_tokenizer *t = NULL;
    struct weir_error err;
    int r = weir_tokenizer_create(arg, &t, &err);
    weir_tokenizer_destroy(t);
    return r;
}

static int encode(void *arg)
{
    uint32_t ids[64];
    size_t n = 0;
    return weir_tokenizer_encode(arg, weir_str_from("It's 1234 caf\xC3\xA9\n\n\xF0\x9F\x98\x80 x"),
                                 WEIR_ENCODE_ADD_SPECIAL | WEIR_ENCODE_PARSE_SPECIAL, ids, 64, &n);
}

static const char template_text[] =
    "{%- macro say(m) -%}<|{{ m.role }}|>{{ m['content'] | trim }}{%- endmacro -%}"
    "{% set ns = namespace(n=0) %}{% for m in messages if m.content is defined %}"
    "{% if loop.first and not (m.role == 'system') %}{{ raise_exception('x') if false }}{% endif %}"
    "{{ say(m) + '\\n' }}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n ~ [1, 2, {'a': none}] }}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

static int create_template(void *arg)
{
    (void)arg;
    struct weir_template *t = NULL;
    struct weir_error err;
    int r = weir_template_create(weir_str_from(template_text), &t, &err);
    weir_template_destroy(t);
    return r;
}

struct rendering {
    struct weir_template *t;
    yyjson_doc *doc;
};

static int render_template(void *arg)
{
    const struct rendering *c = arg;
    struct weir_template_input in = {.messages = yyjson_doc_get_root(c->doc),
                                     .add_generation_prompt = true};
    struct weir_buf out;
    struct weir_error err;
    weir_buf_init(&out, 1 << 16);
    int r = weir_template_render(c->t, &in, &out, &err);
    if (r == 0 && out.failed) {
        r = WEIR_E_NOMEM;
    }
    weir_buf_finish(&out);
    return r;
}

static void a_model_file_is_opened_or_not(void **state)
{
    (void)state;
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s", weir_test_data_path("golden/vocab/qwen2.gguf"));
    assert_true(alloc_fail_each(open_file, path, 1000) > 0);
}

static void a_tokenizer_is_made_or_not(void **state)
{
    (void)state;
    static const char *const vocabs[] = {"gpt-2", "spm"};
    for (size_t i = 0; i < sizeof(vocabs) / sizeof(vocabs[0]); i++) {
        char name[64];
        struct weir_gguf *g = NULL;
        struct weir_tokenizer *t = NULL;
        (void)snprintf(name, sizeof(name), "golden/vocab/%s.gguf", vocabs[i]);
        assert_int_equal(weir_gguf_open(weir_test_data_path(name), &g, NULL), 0);
        assert_true(alloc_fail_each(create_tokenizer, g, 1000) > 0);
        assert_int_equal(weir_tokenizer_create(g, &t, NULL), 0);
        alloc_fail_each(encode, t, 1000);
        weir_tokenizer_destroy(t);
        weir_gguf_destroy(g);
    }
}

static void a_template_is_parsed_or_not(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(create_template, NULL, 10000) > 0);
}

static void a_prompt_is_rendered_or_not(void **state)
{
    (void)state;
    static const char messages[] = "[{\"role\":\"system\",\"content\":\" a \"},"
                                   "{\"role\":\"user\",\"content\":\"b\"}]";
    struct rendering c = {.doc = yyjson_read(messages, sizeof(messages) - 1, 0)};
    assert_non_null(c.doc);
    assert_int_equal(weir_template_create(weir_str_from(template_text), &c.t, NULL), 0);
    assert_true(alloc_fail_each(render_template, &c, 10000) > 0);
    weir_template_destroy(c.t);
    yyjson_doc_free(c.doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_file_is_opened_or_not),
        cmocka_unit_test(a_tokenizer_is_made_or_not),
        cmocka_unit_test(a_template_is_parsed_or_not),
        cmocka_unit_test(a_prompt_is_rendered_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
