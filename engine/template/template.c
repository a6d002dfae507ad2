/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/template/parser.h"
#include "engine/template/run.h"

enum {
    TREE_MAX_BYTES = 64 << 20,
    RENDER_MAX_BYTES = 128 << 20,
    RENDER_MAX_STEPS = 20 * 1000 * 1000,
};

struct weir_template {
    struct weir_arena arena; /* of all below */
    weir_str text;
    struct weir_tpl_node *root;
    bool uses_tools;
};

/* Is a variable of that name read anywhere? Attributes (`x.tools`) do not count. */
static bool mentions(const struct weir_tpl_tokens *tokens, const char *name)
{
    for (size_t i = 0; i < tokens->n; i++) {
        const struct weir_tpl_token *before = i ? &tokens->items[i - 1] : NULL;
        bool attribute =
            before && before->kind == WEIR_TPL_TOKEN_OP && weir_str_is(before->text, ".");
        if (tokens->items[i].kind == WEIR_TPL_TOKEN_NAME && !attribute &&
            weir_str_is(tokens->items[i].text, name)) {
            return true;
        }
    }
    return false;
}

int weir_template_create(weir_str text, struct weir_template **ret_template, struct weir_error *err)
{
    if (text.n > WEIR_TEMPLATE_MAX_BYTES) {
        return weir_error_set(err, WEIR_E_TOOBIG, "the template is larger than %d bytes",
                              WEIR_TEMPLATE_MAX_BYTES);
    }
    if (!weir_utf8_is_valid(text)) {
        return weir_error_set(err, WEIR_E_FORMAT, "the template is not valid UTF-8");
    }
    struct weir_template *t = calloc(1, sizeof(*t));
    if (!t) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    weir_arena_init(&t->arena, TREE_MAX_BYTES);
    t->text = weir_arena_copy(&t->arena, text);
    struct weir_tpl_tokens tokens;
    int r = t->text.p ? weir_tpl_lex(&t->arena, t->text, &tokens, err)
                      : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    if (r == 0) {
        r = weir_tpl_parse(&t->arena, &tokens, &t->root, err);
        t->uses_tools = mentions(&tokens, "tools");
    }
    if (r < 0) {
        weir_template_destroy(t);
        return r;
    }
    *ret_template = t;
    return 0;
}

void weir_template_destroy(struct weir_template *t)
{
    if (t) {
        weir_arena_finish(&t->arena);
        free(t);
    }
}

weir_str weir_template_text(const struct weir_template *t)
{
    return t->text;
}

bool weir_template_uses_tools(const struct weir_template *t)
{
    return t->uses_tools;
}

static void set_json(struct weir_tpl_run *run, weir_str name, yyjson_val *json)
{
    struct weir_tpl_value value = weir_tpl_none();
    int r = run->code < 0 ? run->code : weir_tpl_from_json(&run->arena, json, &value);
    if (r == WEIR_E_TOOBIG) {
        (void)weir_tpl_run_fail(run, r, "'%.*s' is nested too deeply",
                                (int)(name.n < 100 ? name.n : 100), name.p);
    } else if (r < 0) {
        (void)weir_tpl_run_no_memory(run);
    } else {
        (void)weir_tpl_scope_set(run, run->scope, name, value);
    }
}

static void set_input(struct weir_tpl_run *run, const struct weir_template_input *in)
{
    set_json(run, (weir_str)WEIR_STR_INIT("messages"), in->messages);
    set_json(run, (weir_str)WEIR_STR_INIT("tools"), in->tools);
    set_json(run, (weir_str)WEIR_STR_INIT("documents"), NULL);
    (void)weir_tpl_scope_set(run, run->scope, (weir_str)WEIR_STR_INIT("add_generation_prompt"),
                             weir_tpl_bool(in->add_generation_prompt));
    (void)weir_tpl_scope_set(run, run->scope, (weir_str)WEIR_STR_INIT("bos_token"),
                             weir_tpl_str(in->bos_token));
    (void)weir_tpl_scope_set(run, run->scope, (weir_str)WEIR_STR_INIT("eos_token"),
                             weir_tpl_str(in->eos_token));
    if (!in->kwargs) {
        return;
    }
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(in->kwargs, i, n, key, value)
    {
        set_json(run, (weir_str){yyjson_get_str(key), yyjson_get_len(key)}, value);
    }
}

int weir_template_render(const struct weir_template *t, const struct weir_template_input *in,
                         struct weir_buf *out, struct weir_error *err)
{
    struct weir_tpl_scope root = {0};
    struct weir_tpl_run run = {
        .out = out,
        .err = err,
        .line = 1,
        .steps = RENDER_MAX_STEPS,
        .scope = &root,
        .now_s = in->now_s,
    };
    size_t begin = out->len;
    weir_arena_init(&run.arena, RENDER_MAX_BYTES);
    set_input(&run, in);
    if (run.code == 0) {
        weir_tpl_exec(&run, t->root);
    }
    weir_arena_finish(&run.arena);
    if (run.code < 0 && out->len > begin) {
        out->len = begin;
        out->data[begin] = '\0';
    }
    return run.code;
}
