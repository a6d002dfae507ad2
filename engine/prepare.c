/* SPDX-License-Identifier: Apache-2.0 */
#include "prepare.h"

#include "engine/refusal.h"
#include "engine/tool/tool_constraint.h"

/* Rendered prompts; the HTTP body limit is far below. */
static const size_t MAX_TEXT_BYTES = (size_t)256 << 20;

/* A schema made of the parameters of all tools. */
enum { MAX_CALL_SCHEMA_BYTES = 256 * 1024 };

static const char *prompt_param(const weir_generation *g)
{
    return g->kind == WEIR_GENERATION_CHAT ? "messages" : "prompt";
}

static bool uses_tools(const weir_generation *g)
{
    return g->tools_json.n > 0 && g->tool_choice != WEIR_TOOLS_NONE;
}

static int check_features(const struct weir_model_view *model, const weir_generation *g,
                          weir_refusal *refusal)
{
    if (g->kind == WEIR_GENERATION_EMBEDDING) {
        return weir_refusal_set(refusal, "model", "model_not_supported",
                                "This model does not make embeddings.");
    }
    bool formatted = g->format != WEIR_FORMAT_TEXT;
    if (formatted && !model->grammars) {
        return weir_refusal_set(refusal, "response_format", "unsupported_parameter",
                                "this model supports response_format text only");
    }
    if (formatted && uses_tools(g)) {
        return weir_refusal_set(refusal, "response_format", "unsupported_parameter",
                                "response_format together with tools is not supported");
    }
    if (uses_tools(g) && !weir_chat_tool_format(model->chat)) {
        return weir_refusal_set(refusal, "tools", "unsupported_parameter",
                                "this model's chat template does not support tools");
    }
    if (uses_tools(g) && g->want_logprobs) {
        return weir_refusal_set(refusal, "logprobs", "unsupported_parameter",
                                "logprobs together with tools is not supported");
    }
    if (uses_tools(g) && g->tool_choice != WEIR_TOOLS_AUTO && !model->grammars) {
        return weir_refusal_set(refusal, "tool_choice", "unsupported_parameter",
                                "this model supports tool_choice auto and none only");
    }
    if (g->want_logprobs && !(model->caps & WEIR_MODEL_CAN_LOGPROBS)) {
        return weir_refusal_set(refusal, "logprobs", "unsupported_parameter",
                                "this model's backend does not give log-probabilities");
    }
    if (g->want_logprobs && g->echo) {
        return weir_refusal_set(refusal, "echo", "unsupported_parameter",
                                "echo together with logprobs is not supported");
    }
    return 0;
}

static int check_token_ids(const struct weir_model_view *model, const weir_generation *g,
                           weir_refusal *refusal)
{
    uint32_t n_vocab = model->vocabulary->n_vocab;
    for (uint32_t i = 0; i < g->sampling.n_bias; i++) {
        int32_t token = g->sampling.bias[i].token;
        if (token < 0 || (uint32_t)token >= n_vocab) {
            return weir_refusal_set(refusal, "logit_bias", "",
                                    "logit_bias: token %d is outside the vocabulary (0 to %u)",
                                    (int)token, n_vocab - 1);
        }
    }
    for (uint32_t i = 0; g->prompt_tokens && i < g->n_prompt_tokens; i++) {
        int32_t token = g->prompt_tokens[i];
        if (token < 0 || (uint32_t)token >= n_vocab) {
            return weir_refusal_set(refusal, "prompt", "",
                                    "prompt[%u]: token %d is outside the vocabulary (0 to %u)", i,
                                    (int)token, n_vocab - 1);
        }
    }
    return 0;
}

static int refuse_length(const struct weir_model_view *model, const weir_generation *g,
                         uint64_t n_prompt, weir_refusal *refusal)
{
    if (model->is_bounded_by_tenant) {
        return weir_refusal_set(
            refusal, g->max_tokens > 0 && n_prompt < model->n_ctx ? "max_tokens" : prompt_param(g),
            "kv_memory_exceeded",
            "Your KV memory holds %u tokens of this model. However, you requested %llu tokens "
            "(%llu "
            "in the %s, %u in the completion). It would never fit.",
            model->n_ctx, (unsigned long long)n_prompt + g->max_tokens,
            (unsigned long long)n_prompt, prompt_param(g), g->max_tokens);
    }
    if (g->max_tokens > 0 && n_prompt < model->n_ctx) {
        return weir_refusal_set(
            refusal, "max_tokens", "context_length_exceeded",
            "This model's maximum context length is %u tokens. However, you requested "
            "%llu tokens (%llu in the %s, %u in the completion). Please reduce the "
            "length of the %s or of the completion.",
            model->n_ctx, (unsigned long long)n_prompt + g->max_tokens,
            (unsigned long long)n_prompt, prompt_param(g), g->max_tokens, prompt_param(g));
    }
    return weir_refusal_set(
        refusal, prompt_param(g), "context_length_exceeded",
        "This model's maximum context length is %u tokens. However, your %s resulted in "
        "%llu tokens. Please reduce the length of the %s.",
        model->n_ctx, prompt_param(g), (unsigned long long)n_prompt, prompt_param(g));
}

/* Stores the tokens when they fit the context. */
static int encode_text(const struct weir_model_view *model, const weir_generation *g, weir_str text,
                       uint32_t flags, struct weir_prompt *prompt, weir_refusal *refusal)
{
    const struct weir_vocabulary *v = model->vocabulary;
    /* Tokens are rarely shorter than a byte; when they are, the count says how many there are. */
    size_t cap = text.n < model->n_ctx ? text.n + 16 : model->n_ctx;
    int64_t n = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        prompt->tokens = weir_arena_array(&prompt->arena, cap, sizeof(*prompt->tokens));
        if (!prompt->tokens) {
            return WEIR_E_NOMEM;
        }
        n = v->encode(v->impl, text, flags, prompt->tokens, cap);
        if (n < 0) {
            return (int)n;
        }
        if (n >= model->n_ctx) {
            return refuse_length(model, g, (uint64_t)n, refusal);
        }
        if ((size_t)n <= cap) {
            break;
        }
        cap = (size_t)n;
    }
    prompt->n_tokens = (uint32_t)n;
    return 0;
}

static int copy_tokens(const struct weir_model_view *model, const weir_generation *g,
                       struct weir_prompt *prompt, weir_refusal *refusal)
{
    if (g->n_prompt_tokens >= model->n_ctx) {
        return refuse_length(model, g, g->n_prompt_tokens, refusal);
    }
    prompt->tokens = weir_arena_array(&prompt->arena, g->n_prompt_tokens, sizeof(int32_t));
    if (!prompt->tokens) {
        return WEIR_E_NOMEM;
    }
    memcpy(prompt->tokens, g->prompt_tokens, g->n_prompt_tokens * sizeof(int32_t));
    prompt->n_tokens = g->n_prompt_tokens;
    return 0;
}

static int encode_chat(const struct weir_model_view *model, const weir_generation *g,
                       struct weir_prompt *prompt, weir_refusal *refusal)
{
    struct weir_buf text;
    weir_buf_init(&text, MAX_TEXT_BYTES);
    uint32_t flags = 0;
    int r = weir_chat_render(model->chat, g, &text, &flags, refusal);
    if (r == 0) {
        r = encode_text(model, g, weir_buf_view(&text), flags, prompt, refusal);
    }
    weir_buf_finish(&text);
    return r;
}

static int make_tokens(const struct weir_model_view *model, const weir_generation *g,
                       struct weir_prompt *prompt, weir_refusal *refusal)
{
    int r;
    if (g->kind == WEIR_GENERATION_CHAT) {
        r = encode_chat(model, g, prompt, refusal);
    } else if (g->prompt_tokens) {
        r = copy_tokens(model, g, prompt, refusal);
    } else {
        r = encode_text(model, g, g->prompt, WEIR_TEXT_ADD_SPECIAL, prompt, refusal);
    }
    if (r == 0 && prompt->n_tokens == 0) {
        r = weir_refusal_set(refusal, prompt_param(g), "", "%s: must hold at least one token",
                             prompt_param(g));
    }
    return r;
}

static int set_limits(const struct weir_model_view *model, const weir_generation *g,
                      struct weir_prompt *prompt, weir_refusal *refusal)
{
    uint32_t room = model->n_ctx - prompt->n_tokens;
    if (g->max_tokens > room) {
        return refuse_length(model, g, prompt->n_tokens, refusal);
    }
    prompt->max_tokens = g->max_tokens > 0 ? g->max_tokens : room;
    return 0;
}

static int make_echo(const struct weir_model_view *model, const weir_generation *g,
                     struct weir_prompt *prompt)
{
    if (!g->echo) {
        return 0;
    }
    struct weir_buf bytes, text;
    weir_buf_init(&bytes, MAX_TEXT_BYTES);
    weir_buf_init(&text, MAX_TEXT_BYTES);
    if (g->prompt_tokens) {
        const struct weir_vocabulary *v = model->vocabulary;
        v->decode(v->impl, prompt->tokens, prompt->n_tokens, &bytes);
        weir_vocabulary_repair(&text, weir_buf_view(&bytes));
    } else {
        weir_vocabulary_repair(&text, g->prompt);
    }
    prompt->echo = weir_arena_copy(&prompt->arena, weir_buf_view(&text));
    int r = bytes.failed || text.failed || !prompt->echo.p ? WEIR_E_NOMEM : 0;
    weir_buf_finish(&bytes);
    weir_buf_finish(&text);
    return r;
}

static int set_tools(const struct weir_model_view *model, const weir_generation *g,
                     struct weir_prompt *prompt)
{
    if (!uses_tools(g)) {
        return 0;
    }
    prompt->tool_format = weir_chat_tool_format(model->chat);
    prompt->tools = yyjson_read(g->tools_json.p, g->tools_json.n, 0);
    return prompt->tools ? 0 : WEIR_E_NOMEM; /* the chat's rendering has parsed it before */
}

/* The form that the whole answer must have: a call, an object, a value of the schema. */
static int find_source(const weir_generation *g, const struct weir_prompt *prompt,
                       struct weir_tool_constraint *call, struct weir_grammar_source *ret_source,
                       struct weir_error *err)
{
    if (!prompt->tool_format) {
        *ret_source = (struct weir_grammar_source){
            .schema = g->format == WEIR_FORMAT_JSON_SCHEMA ? g->schema_json : (weir_str){NULL, 0}};
        return 0;
    }
    weir_str name = g->tool_choice == WEIR_TOOLS_NAMED ? g->tool_name : (weir_str){NULL, 0};
    int r = weir_tool_constraint_build(prompt->tool_format, yyjson_doc_get_root(prompt->tools),
                                       name, g->parallel_tool_calls != 0, call, err);
    *ret_source = (struct weir_grammar_source){
        .schema = weir_buf_view(&call->schema),
        .prefix = weir_buf_view(&call->prefix),
        .suffix = weir_buf_view(&call->suffix),
    };
    return r;
}

static int set_grammar(const struct weir_model_view *model, const weir_generation *g,
                       struct weir_prompt *prompt, weir_refusal *refusal)
{
    bool forced_call = prompt->tool_format && g->tool_choice != WEIR_TOOLS_AUTO;
    if (g->format == WEIR_FORMAT_TEXT && !forced_call) {
        return 0;
    }
    struct weir_tool_constraint call;
    struct weir_grammar_source source = {0};
    struct weir_error err = {0};
    weir_tool_constraint_init(&call, MAX_CALL_SCHEMA_BYTES);
    const char *param = forced_call ? "tools" : "response_format";
    int r = find_source(g, prompt, &call, &source, &err);
    if (r < 0) {
        param = "tool_choice";
    } else {
        r = weir_grammars_get(model->grammars, &source, &prompt->grammar, &err);
    }
    weir_tool_constraint_finish(&call);
    prompt->model_serial = model->serial;
    prompt->n_logits = model->n_logits;
    if (r == WEIR_E_ARG || r == WEIR_E_TOOBIG || r == WEIR_E_UNSUPPORTED) {
        return weir_refusal_set(refusal, param, "", "%s: %s", param, err.message);
    }
    return r;
}

/* Pages that the tenant may have; 0: no bound. */
static uint32_t tenant_pages(const struct weir_model_view *model, const weir_generation *g)
{
    if (g->tenant_kv_bytes == 0 || model->page_bytes == 0) {
        return 0;
    }
    uint64_t pages = g->tenant_kv_bytes / model->page_bytes;
    return pages == 0 ? 1 : pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
}

/* The model as this tenant has it: no sequence is longer than its own pages. */
static struct weir_model_view bound_view(const struct weir_model_view *model, uint32_t max_pages)
{
    struct weir_model_view bounded = *model;
    if (max_pages > 0 && (uint64_t)max_pages * WEIR_PAGE_TOKENS < model->n_ctx) {
        bounded.n_ctx = max_pages * WEIR_PAGE_TOKENS;
        bounded.is_bounded_by_tenant = true;
    }
    return bounded;
}

int weir_prepare(const struct weir_model_view *whole, const weir_generation *g,
                 struct weir_prompt **ret_prompt, weir_refusal *refusal)
{
    uint32_t max_pages = tenant_pages(whole, g);
    const struct weir_model_view view = bound_view(whole, max_pages), *model = &view;
    int r = check_features(model, g, refusal);
    if (r == 0) {
        r = check_token_ids(model, g, refusal);
    }
    if (r < 0) {
        return r;
    }
    struct weir_prompt *prompt = weir_prompt_create(MAX_TEXT_BYTES);
    if (!prompt) {
        return WEIR_E_NOMEM;
    }
    prompt->max_pages = max_pages;
    prompt->root = weir_page_key_root(model->secret, g->tenant);
    r = make_tokens(model, g, prompt, refusal);
    if (r == 0) {
        r = set_limits(model, g, prompt, refusal);
    }
    if (r == 0) {
        r = weir_stop_set_init(&prompt->stops, g->stop, g->n_stop, &prompt->arena);
    }
    if (r == 0) {
        r = make_echo(model, g, prompt);
    }
    if (r == 0) {
        r = set_tools(model, g, prompt);
    }
    if (r == 0) {
        r = set_grammar(model, g, prompt, refusal);
    }
    if (r < 0) {
        weir_prompt_destroy(prompt);
        return r;
    }
    *ret_prompt = prompt;
    return 0;
}
