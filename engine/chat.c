/* SPDX-License-Identifier: Apache-2.0 */
#include "chat.h"

#include <stdio.h>
#include <stdlib.h>

#include <yyjson.h>

#include "base/arena.h"
#include "base/clock.h"
#include "engine/refusal.h"
#include "engine/template/template.h"
#include "engine/vocabulary.h"

struct weir_chat {
    struct weir_arena arena; /* of the strings */
    struct weir_template *template;
    struct weir_template_features features;
    weir_str bos, eos; /* texts of the tokens; empty where there is none */
    bool add_bos;
};

/* The JSON parts of a request, parsed. */
struct parsed_request {
    yyjson_doc *messages, *tools, *kwargs;
};

int weir_chat_create(const struct weir_chat_config *config, struct weir_chat **ret_chat,
                     struct weir_error *err)
{
    struct weir_chat *chat = calloc(1, sizeof(*chat));
    if (!chat) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    weir_arena_init(&chat->arena, 1 << 20);
    chat->bos = weir_arena_copy(&chat->arena, config->bos);
    chat->eos = weir_arena_copy(&chat->arena, config->eos);
    chat->add_bos = config->add_bos;
    int r = weir_template_create(config->template, &chat->template, err);
    if (r < 0) {
        (void)weir_error_prefix(err, "the model's chat template");
    } else if (!chat->bos.p || !chat->eos.p) {
        r = weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    } else {
        r = weir_template_features(chat->template, &chat->features);
    }
    if (r < 0) {
        weir_chat_destroy(chat);
        return r;
    }
    *ret_chat = chat;
    return 0;
}

void weir_chat_destroy(struct weir_chat *chat)
{
    if (chat) {
        weir_template_destroy(chat->template);
        weir_arena_finish(&chat->arena);
        free(chat);
    }
}

const struct weir_tool_format *weir_chat_tool_format(const struct weir_chat *chat)
{
    return chat ? weir_tool_format_detect(chat->template) : NULL;
}

static void forget_request(struct parsed_request *p)
{
    yyjson_doc_free(p->messages);
    yyjson_doc_free(p->tools);
    yyjson_doc_free(p->kwargs);
}

/* A field of the request that the host has checked to be JSON of its kind. */
static int parse_field(weir_str json, bool (*is_kind)(yyjson_val *), const char *param,
                       yyjson_doc **ret_doc, weir_refusal *refusal)
{
    if (json.n == 0) {
        return 0;
    }
    *ret_doc = yyjson_read(json.p, json.n, 0);
    if (!*ret_doc || !is_kind(yyjson_doc_get_root(*ret_doc))) {
        return weir_refusal_set(refusal, param, "", "%s: not valid JSON of the expected kind",
                                param);
    }
    return 0;
}

static int parse_request(const weir_generation *g, struct parsed_request *p, weir_refusal *refusal)
{
    int r = parse_field(g->messages_json, yyjson_is_arr, "messages", &p->messages, refusal);
    if (r == 0 && !p->messages) {
        r = weir_refusal_set(refusal, "messages", "", "messages: must be an array");
    }
    if (r == 0 && g->tool_choice != WEIR_TOOLS_NONE) {
        r = parse_field(g->tools_json, yyjson_is_arr, "tools", &p->tools, refusal);
    }
    if (r == 0) {
        r = parse_field(g->template_args_json, yyjson_is_obj, "chat_template_kwargs", &p->kwargs,
                        refusal);
    }
    return r;
}

/* Only texts can be shown to a text model. */
static int check_parts(yyjson_val *content, size_t message, weir_refusal *refusal)
{
    size_t i, n;
    yyjson_val *part;
    yyjson_arr_foreach(content, i, n, part)
    {
        const char *type = yyjson_get_str(yyjson_obj_get(part, "type"));
        if (!type || strcmp(type, "text") != 0 || !yyjson_is_str(yyjson_obj_get(part, "text"))) {
            int r = weir_refusal_set(refusal, "", "unsupported_content",
                                     "messages[%zu].content[%zu]: this model reads text only",
                                     message, i);
            (void)snprintf(refusal->param, sizeof(refusal->param), "messages[%zu].content[%zu]",
                           message, i);
            return r;
        }
    }
    return 0;
}

/* Are there contents made of parts? Negative: parts that cannot be shown. */
static int find_parts(yyjson_val *messages, weir_refusal *refusal)
{
    int found = 0;
    size_t i, n;
    yyjson_val *message;
    yyjson_arr_foreach(messages, i, n, message)
    {
        yyjson_val *content = yyjson_obj_get(message, "content");
        if (yyjson_is_arr(content)) {
            int r = check_parts(content, i, refusal);
            if (r < 0) {
                return r;
            }
            found = 1;
        }
    }
    return found;
}

/* The text of one message: a string, or the texts of its parts. */
static void add_content(struct weir_buf *out, yyjson_val *content)
{
    if (yyjson_is_str(content)) {
        weir_buf_add(out, yyjson_get_str(content), yyjson_get_len(content));
        return;
    }
    size_t i, n;
    yyjson_val *part;
    yyjson_arr_foreach(content, i, n, part)
    {
        yyjson_val *text = yyjson_obj_get(part, "text");
        weir_buf_add(out, yyjson_get_str(text), yyjson_get_len(text));
    }
}

/* Replaces contents made of parts by one string, for templates that know strings only. */
static int flatten_parts(yyjson_doc **doc, size_t max_bytes)
{
    yyjson_mut_doc *flat = yyjson_doc_mut_copy(*doc, NULL);
    struct weir_buf text;
    weir_buf_init(&text, max_bytes);
    size_t i, n;
    yyjson_mut_val *message;
    yyjson_mut_arr_foreach(yyjson_mut_doc_get_root(flat), i, n, message)
    {
        yyjson_val *content =
            yyjson_obj_get(yyjson_arr_get(yyjson_doc_get_root(*doc), i), "content");
        if (!yyjson_is_arr(content)) {
            continue;
        }
        weir_buf_reset(&text);
        add_content(&text, content);
        yyjson_mut_val *joined = yyjson_mut_strncpy(flat, text.len ? text.data : "", text.len);
        (void)yyjson_mut_obj_put(message, yyjson_mut_str(flat, "content"), joined);
    }
    yyjson_doc *copy = flat && !text.failed ? yyjson_mut_doc_imut_copy(flat, NULL) : NULL;
    weir_buf_finish(&text);
    yyjson_mut_doc_free(flat);
    if (!copy) {
        return WEIR_E_NOMEM;
    }
    yyjson_doc_free(*doc);
    *doc = copy;
    return 0;
}

static int join_messages(yyjson_val *messages, struct weir_buf *out)
{
    size_t i, n;
    yyjson_val *message;
    yyjson_arr_foreach(messages, i, n, message)
    {
        if (i > 0) {
            weir_buf_add_char(out, '\n');
        }
        add_content(out, yyjson_obj_get(message, "content"));
    }
    return out->failed ? WEIR_E_NOMEM : 0;
}

static int render_template(const struct weir_chat *chat, struct parsed_request *p,
                           struct weir_buf *out, weir_refusal *refusal)
{
    struct weir_template_input input = {
        .messages = yyjson_doc_get_root(p->messages),
        .tools = yyjson_doc_get_root(p->tools),
        .kwargs = yyjson_doc_get_root(p->kwargs),
        .add_generation_prompt = true,
        .bos_token = chat->bos,
        .eos_token = chat->eos,
        .now_s = (int64_t)(weir_clock_wall_us() / 1000000u),
    };
    struct weir_error err = {0};
    int r = weir_template_render(chat->template, &input, out, &err);
    if (r == 0 || r == WEIR_E_NOMEM) {
        return r;
    }
    return weir_refusal_set(refusal, "messages", "", "the model's chat template says: %s",
                            err.message);
}

/* One begin-of-text token, whether the template wrote it or not. */
static uint32_t encode_flags(const struct weir_chat *chat, weir_str text)
{
    bool written =
        chat->bos.n > 0 && text.n >= chat->bos.n && memcmp(text.p, chat->bos.p, chat->bos.n) == 0;
    return WEIR_TEXT_PARSE_SPECIAL | (chat->add_bos && !written ? WEIR_TEXT_ADD_SPECIAL : 0);
}

int weir_chat_render(const struct weir_chat *chat, const weir_generation *g, struct weir_buf *out,
                     uint32_t *ret_flags, weir_refusal *refusal)
{
    struct parsed_request p = {0};
    int r = parse_request(g, &p, refusal);
    if (r == 0) {
        r = find_parts(yyjson_doc_get_root(p.messages), refusal);
    }
    if (r > 0) {
        r = chat && !chat->features.parts ? flatten_parts(&p.messages, out->max_bytes) : 0;
    }
    if (r == 0 && chat) {
        r = render_template(chat, &p, out, refusal);
        *ret_flags = encode_flags(chat, weir_buf_view(out));
    } else if (r == 0) {
        r = join_messages(yyjson_doc_get_root(p.messages), out);
        *ret_flags = WEIR_TEXT_ADD_SPECIAL;
    }
    forget_request(&p);
    return r;
}
