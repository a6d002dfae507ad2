/* SPDX-License-Identifier: Apache-2.0 */
#include "request_params.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "embedding_input.h"
#include "json_arena.h"
#include "messages.h"
#include "param.h"
#include "response_format.h"
#include "tools.h"

enum {
    FOR_CHAT = 1u << WEIR_GENERATION_CHAT,
    FOR_COMPLETION = 1u << WEIR_GENERATION_COMPLETION,
    FOR_BOTH = FOR_CHAT | FOR_COMPLETION,
    FOR_EMBEDDING = 1u << WEIR_GENERATION_EMBEDDING,
    FOR_ALL = FOR_BOTH | FOR_EMBEDDING,
    MAX_DIMENSIONS = 65536,
    MAX_BIAS = 1024,
    MAX_STOP_BYTES = 1024,
    MAX_NAME_BYTES = 256
};

typedef int (*read_fn)(struct weir_request_reading *rd, const char *name, yyjson_val *v);

static int no_memory(struct weir_request_reading *rd, const char *name)
{
    return weir_refuse(rd->refusal, 413, name, "request_too_large",
                       "'%s' needs more memory than one request may use.", name);
}

static int unsupported(struct weir_request_reading *rd, const char *name, const char *what)
{
    return weir_refuse(rd->refusal, 400, name, "unsupported_parameter",
                       "Unsupported parameter: '%s' %s.", name, what);
}

static int read_sampling(struct weir_request_reading *rd, const char *name, yyjson_val *v,
                         double min, double max, enum weir_sampling_parameter which, float *ret)
{
    rd->out->generation.sampling_given |= which;
    return weir_param_number(v, name, min, max, ret, rd->refusal);
}

static int read_temperature(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, 0, 2, WEIR_SAMPLING_TEMPERATURE,
                         &rd->out->generation.sampling.temperature);
}

static int read_top_p(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, 0, 1, WEIR_SAMPLING_TOP_P,
                         &rd->out->generation.sampling.top_p);
}

static int read_min_p(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, 0, 1, WEIR_SAMPLING_MIN_P,
                         &rd->out->generation.sampling.min_p);
}

static int read_typical_p(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, 0, 1, WEIR_SAMPLING_TYPICAL_P,
                         &rd->out->generation.sampling.typical_p);
}

static int read_repetition_penalty(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, 0.01, 10, WEIR_SAMPLING_REPETITION_PENALTY,
                         &rd->out->generation.sampling.repetition_penalty);
}

static int read_presence_penalty(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, -2, 2, WEIR_SAMPLING_PRESENCE_PENALTY,
                         &rd->out->generation.sampling.presence_penalty);
}

static int read_frequency_penalty(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_sampling(rd, name, v, -2, 2, WEIR_SAMPLING_FREQUENCY_PENALTY,
                         &rd->out->generation.sampling.frequency_penalty);
}

static int read_top_k(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    rd->out->generation.sampling_given |= WEIR_SAMPLING_TOP_K;
    if (yyjson_is_sint(v) && yyjson_get_sint(v) == -1) { /* other servers' word for "off" */
        rd->out->generation.sampling.top_k = 0;
        return 0;
    }
    uint32_t k = 0;
    int r = weir_param_uint(v, name, 0, 1000000, &k, rd->refusal);
    rd->out->generation.sampling.top_k = (int32_t)k;
    return r;
}

static int read_seed(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    if (!yyjson_is_int(v)) {
        return weir_param_wrong_type(v, name, "an integer", rd->refusal);
    }
    rd->out->generation.sampling.seed =
        yyjson_is_uint(v) ? yyjson_get_uint(v) : (uint64_t)yyjson_get_sint(v);
    rd->out->seed_given = true;
    return 0;
}

static int read_n(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_uint(v, name, 1, WEIR_MAX_CHOICES, &rd->out->generation.n, rd->refusal);
}

static int read_max_tokens(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_uint(v, name, 1, INT32_MAX, &rd->max_tokens, rd->refusal);
}

static int read_max_completion_tokens(struct weir_request_reading *rd, const char *name,
                                      yyjson_val *v)
{
    return weir_param_uint(v, name, 1, INT32_MAX, &rd->max_completion_tokens, rd->refusal);
}

static int read_flag(struct weir_request_reading *rd, const char *name, yyjson_val *v,
                     uint32_t *ret)
{
    bool value = false;
    int r = weir_param_bool(v, name, &value, rd->refusal);
    *ret = value;
    return r;
}

static int read_stream(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_bool(v, name, &rd->out->stream, rd->refusal);
}

static int read_stream_options(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    static const weir_str known[] = {
        WEIR_STR_INIT("include_usage"), WEIR_STR_INIT("include_obfuscation"), {NULL, 0}};
    rd->stream_options_given = true;
    if (!yyjson_is_obj(v)) {
        return weir_param_wrong_type(v, name, "an object", rd->refusal);
    }
    int r = weir_param_known_keys(v, name, known, rd->refusal);
    yyjson_val *obfuscation = yyjson_obj_get(v, "include_obfuscation");
    if (r == 0 && obfuscation && !yyjson_is_false(obfuscation)) {
        return unsupported(rd, "stream_options.include_obfuscation", "must be false");
    }
    yyjson_val *usage = yyjson_obj_get(v, "include_usage");
    if (r == 0 && usage && !yyjson_is_null(usage)) {
        r = weir_param_bool(usage, "stream_options.include_usage", &rd->out->include_usage,
                            rd->refusal);
    }
    return r;
}

static int add_stop(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    weir_generation *g = &rd->out->generation;
    weir_str stop;
    int r = weir_param_str(v, name, MAX_STOP_BYTES, &stop, rd->refusal);
    if (r < 0) {
        return r;
    }
    if (stop.n == 0) {
        return weir_refuse(rd->refusal, 400, name, "invalid_value",
                           "Invalid '%s': a stop string must not be empty.", name);
    }
    g->stop[g->n_stop++] = stop;
    return 0;
}

static int read_stop(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    if (yyjson_is_str(v)) {
        return add_stop(rd, name, v);
    }
    if (!yyjson_is_arr(v)) {
        return weir_param_wrong_type(v, name, "a string or an array of strings", rd->refusal);
    }
    if (yyjson_arr_size(v) > WEIR_MAX_STOPS) {
        return weir_refuse(rd->refusal, 400, name, "array_above_max_length",
                           "Invalid '%s': at most %d stop strings.", name, WEIR_MAX_STOPS);
    }
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(v, i, n, one)
    {
        int r = add_stop(rd, name, one);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int read_bias_entry(yyjson_val *key, yyjson_val *value, weir_logit_bias *ret,
                           weir_refusal *refusal)
{
    const char *text = yyjson_get_str(key);
    char *end = NULL;
    errno = 0;
    long token = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || token > INT32_MAX) {
        return weir_refuse(refusal, 400, "logit_bias", "invalid_value",
                           "Invalid key in 'logit_bias': '%.40s' is not a token id.", text);
    }
    ret->token = (int32_t)token;
    return weir_param_number(value, "logit_bias", -100, 100, &ret->bias, refusal);
}

static int read_logit_bias(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    if (!yyjson_is_obj(v)) {
        return weir_param_wrong_type(v, name, "an object of token ids to numbers", rd->refusal);
    }
    size_t n = yyjson_obj_size(v);
    if (n > MAX_BIAS) {
        return weir_refuse(rd->refusal, 400, name, "object_above_max_length",
                           "Invalid '%s': at most %d entries.", name, MAX_BIAS);
    }
    weir_logit_bias *bias = weir_arena_array(rd->arena, n, sizeof(*bias));
    if (!bias) {
        return no_memory(rd, name);
    }
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(v, i, max, key, value)
    {
        int r = read_bias_entry(key, value, &bias[i], rd->refusal);
        if (r < 0) {
            return r;
        }
    }
    rd->out->generation.sampling.bias = bias;
    rd->out->generation.sampling.n_bias = (uint32_t)n;
    return 0;
}

static int read_chat_logprobs(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_flag(rd, name, v, &rd->out->generation.want_logprobs);
}

static int read_top_logprobs(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    rd->top_logprobs_given = true;
    return weir_param_uint(v, name, 0, 20, &rd->out->generation.n_top, rd->refusal);
}

static int read_completion_logprobs(struct weir_request_reading *rd, const char *name,
                                    yyjson_val *v)
{
    rd->out->generation.want_logprobs = 1;
    return weir_param_uint(v, name, 0, 20, &rd->out->generation.n_top, rd->refusal);
}

static int read_model(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_str(v, name, MAX_NAME_BYTES, &rd->out->model, rd->refusal);
}

static int read_user(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_str(v, name, MAX_NAME_BYTES, &rd->out->user, rd->refusal);
}

static int read_messages(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    (void)name;
    rd->input_given = true;
    return weir_messages_read(v, rd->arena, &rd->out->generation.messages_json, rd->refusal);
}

static int read_prompt_tokens(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    size_t n = yyjson_arr_size(v);
    int32_t *tokens = weir_arena_array(rd->arena, n, sizeof(*tokens));
    if (!tokens || n > INT32_MAX) {
        return no_memory(rd, name);
    }
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(v, i, max, one)
    {
        uint32_t token = 0;
        int r = weir_param_uint(one, name, 0, INT32_MAX, &token, rd->refusal);
        if (r < 0) {
            return r;
        }
        tokens[i] = (int32_t)token;
    }
    rd->out->generation.prompt_tokens = tokens;
    rd->out->generation.n_prompt_tokens = (uint32_t)n;
    return 0;
}

static int read_prompt(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    rd->input_given = true;
    /* A list with one prompt means that prompt; several prompts are several requests. */
    if (yyjson_is_arr(v) && yyjson_arr_size(v) == 1 && !yyjson_is_int(yyjson_arr_get_first(v))) {
        v = yyjson_arr_get_first(v);
    }
    if (yyjson_is_arr(v) && yyjson_arr_size(v) > 0) {
        if (yyjson_is_int(yyjson_arr_get_first(v))) {
            return read_prompt_tokens(rd, name, v);
        }
        return weir_refuse(rd->refusal, 400, name, "unsupported_value",
                           "Invalid 'prompt': send one prompt per request (a string or an array of "
                           "token ids).");
    }
    return weir_param_str(v, name, SIZE_MAX, &rd->out->generation.prompt, rd->refusal);
}

static int read_echo(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_flag(rd, name, v, &rd->out->generation.echo);
}

static int read_ignore_eos(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return read_flag(rd, name, v, &rd->out->generation.ignore_eos);
}

static int copy_json(struct weir_request_reading *rd, const char *name, yyjson_val *v,
                     weir_str *ret)
{
    return weir_json_write(v, rd->arena, ret) == 0 ? 0 : no_memory(rd, name);
}

static int read_template_args(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    if (!yyjson_is_obj(v)) {
        return weir_param_wrong_type(v, name, "an object", rd->refusal);
    }
    return copy_json(rd, name, v, &rd->out->generation.template_args_json);
}

static int read_tools(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    int r = weir_tools_check(v, rd->refusal);
    return r < 0 ? r : copy_json(rd, name, v, &rd->out->generation.tools_json);
}

static int read_tool_choice(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    (void)name;
    weir_generation *g = &rd->out->generation;
    return weir_tool_choice_read(v, &g->tool_choice, &g->tool_name, rd->refusal);
}

static int read_response_format(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    weir_generation *g = &rd->out->generation;
    yyjson_val *schema = NULL;
    int r = weir_response_format_read(v, &g->format, &schema, rd->refusal);
    return r < 0 || !schema ? r : copy_json(rd, name, schema, &g->schema_json);
}

static int read_parallel_tool_calls(struct weir_request_reading *rd, const char *name,
                                    yyjson_val *v)
{
    return read_flag(rd, name, v, &rd->out->generation.parallel_tool_calls);
}

static int read_input(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    weir_generation *g = &rd->out->generation;
    rd->input_given = true;
    int r = weir_embedding_input_check(v, &g->n_inputs, rd->refusal);
    return r < 0 ? r : copy_json(rd, name, v, &g->input_json);
}

static int read_dimensions(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return weir_param_uint(v, name, 1, MAX_DIMENSIONS, &rd->out->generation.dimensions,
                           rd->refusal);
}

static int read_encoding(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    rd->out->generation.is_base64 = yyjson_equals_str(v, "base64");
    return rd->out->generation.is_base64 || yyjson_equals_str(v, "float")
               ? 0
               : weir_refuse(rd->refusal, 400, name, "invalid_value",
                             "Invalid '%s': it is 'float' or 'base64'.", name);
}

/* Parameters that describe the request to its sender and cannot change the answer. */
static int accept_note(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    (void)rd, (void)name, (void)v;
    return 0;
}

static int only_false(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return yyjson_is_false(v) ? 0 : unsupported(rd, name, "can only be false here");
}

static int only_one(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return yyjson_is_int(v) && yyjson_get_num(v) == 1 ? 0 : unsupported(rd, name, "can only be 1");
}

static int only_default_tier(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return yyjson_equals_str(v, "auto") || yyjson_equals_str(v, "default")
               ? 0
               : unsupported(rd, name, "can only be 'auto' or 'default'");
}

static int only_text(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    return yyjson_arr_size(v) == 1 && yyjson_equals_str(yyjson_arr_get_first(v), "text")
               ? 0
               : unsupported(rd, name, "can only be [\"text\"]");
}

static int refuse_always(struct weir_request_reading *rd, const char *name, yyjson_val *v)
{
    (void)v;
    return unsupported(rd, name, "is not supported with this model");
}

struct param {
    weir_str name;
    uint32_t kinds;
    read_fn read;
};

#define PARAMS(...) ((const struct param[]){__VA_ARGS__, {.kinds = 0}})

/* By first letter; what most requests have comes first. */
static const struct param *const params[26] = {
    ['a' - 'a'] = PARAMS({WEIR_STR_INIT("audio"), FOR_CHAT, refuse_always}),
    ['b' - 'a'] = PARAMS({WEIR_STR_INIT("best_of"), FOR_COMPLETION, only_one}),
    ['c' - 'a'] = PARAMS({WEIR_STR_INIT("chat_template_kwargs"), FOR_CHAT, read_template_args}),
    ['d' - 'a'] = PARAMS({WEIR_STR_INIT("dimensions"), FOR_EMBEDDING, read_dimensions}),
    ['e' - 'a'] = PARAMS({WEIR_STR_INIT("echo"), FOR_COMPLETION, read_echo},
                         {WEIR_STR_INIT("encoding_format"), FOR_EMBEDDING, read_encoding}),
    ['f' - 'a'] = PARAMS({WEIR_STR_INIT("frequency_penalty"), FOR_BOTH, read_frequency_penalty},
                         {WEIR_STR_INIT("function_call"), FOR_CHAT, refuse_always},
                         {WEIR_STR_INIT("functions"), FOR_CHAT, refuse_always}),
    ['i' - 'a'] = PARAMS({WEIR_STR_INIT("ignore_eos"), FOR_BOTH, read_ignore_eos},
                         {WEIR_STR_INIT("input"), FOR_EMBEDDING, read_input}),
    ['l' - 'a'] = PARAMS({WEIR_STR_INIT("logit_bias"), FOR_BOTH, read_logit_bias},
                         {WEIR_STR_INIT("logprobs"), FOR_CHAT, read_chat_logprobs},
                         {WEIR_STR_INIT("logprobs"), FOR_COMPLETION, read_completion_logprobs}),
    ['m' - 'a'] =
        PARAMS({WEIR_STR_INIT("messages"), FOR_CHAT, read_messages},
               {WEIR_STR_INIT("model"), FOR_ALL, read_model},
               {WEIR_STR_INIT("max_tokens"), FOR_BOTH, read_max_tokens},
               {WEIR_STR_INIT("max_completion_tokens"), FOR_CHAT, read_max_completion_tokens},
               {WEIR_STR_INIT("metadata"), FOR_CHAT, accept_note},
               {WEIR_STR_INIT("min_p"), FOR_BOTH, read_min_p},
               {WEIR_STR_INIT("modalities"), FOR_CHAT, only_text}),
    ['n' - 'a'] = PARAMS({WEIR_STR_INIT("n"), FOR_BOTH, read_n}),
    ['p' - 'a'] = PARAMS({WEIR_STR_INIT("parallel_tool_calls"), FOR_CHAT, read_parallel_tool_calls},
                         {WEIR_STR_INIT("prediction"), FOR_CHAT, refuse_always},
                         {WEIR_STR_INIT("presence_penalty"), FOR_BOTH, read_presence_penalty},
                         {WEIR_STR_INIT("prompt"), FOR_COMPLETION, read_prompt},
                         {WEIR_STR_INIT("prompt_cache_key"), FOR_CHAT, accept_note}),
    ['r' - 'a'] = PARAMS({WEIR_STR_INIT("reasoning_effort"), FOR_CHAT, refuse_always},
                         {WEIR_STR_INIT("repetition_penalty"), FOR_BOTH, read_repetition_penalty},
                         {WEIR_STR_INIT("response_format"), FOR_CHAT, read_response_format}),
    ['s' - 'a'] = PARAMS({WEIR_STR_INIT("stream"), FOR_BOTH, read_stream},
                         {WEIR_STR_INIT("safety_identifier"), FOR_CHAT, accept_note},
                         {WEIR_STR_INIT("seed"), FOR_BOTH, read_seed},
                         {WEIR_STR_INIT("service_tier"), FOR_CHAT, only_default_tier},
                         {WEIR_STR_INIT("stop"), FOR_BOTH, read_stop},
                         {WEIR_STR_INIT("store"), FOR_CHAT, only_false},
                         {WEIR_STR_INIT("stream_options"), FOR_BOTH, read_stream_options},
                         {WEIR_STR_INIT("suffix"), FOR_COMPLETION, refuse_always}),
    ['t' - 'a'] = PARAMS({WEIR_STR_INIT("temperature"), FOR_BOTH, read_temperature},
                         {WEIR_STR_INIT("tool_choice"), FOR_CHAT, read_tool_choice},
                         {WEIR_STR_INIT("tools"), FOR_CHAT, read_tools},
                         {WEIR_STR_INIT("top_k"), FOR_BOTH, read_top_k},
                         {WEIR_STR_INIT("top_logprobs"), FOR_CHAT, read_top_logprobs},
                         {WEIR_STR_INIT("top_p"), FOR_BOTH, read_top_p},
                         {WEIR_STR_INIT("typical_p"), FOR_BOTH, read_typical_p}),
    ['u' - 'a'] = PARAMS({WEIR_STR_INIT("user"), FOR_ALL, read_user}),
    ['v' - 'a'] = PARAMS({WEIR_STR_INIT("verbosity"), FOR_CHAT, refuse_always}),
    ['w' - 'a'] = PARAMS({WEIR_STR_INIT("web_search_options"), FOR_CHAT, refuse_always}),
};

static const struct param *find_param(yyjson_val *key, uint32_t kind)
{
    weir_str name = {yyjson_get_str(key), yyjson_get_len(key)};
    assert(name.p); /* keys are texts, NUL-ended */
    unsigned letter = (unsigned)(unsigned char)name.p[0] - 'a';
    const struct param *p = letter < sizeof(params) / sizeof(params[0]) ? params[letter] : NULL;
    for (; p && p->kinds; p++) {
        if ((p->kinds & 1u << kind) && weir_str_eq(name, p->name)) {
            return p;
        }
    }
    return NULL;
}

int weir_request_params_read(struct weir_request_reading *rd, yyjson_val *key, yyjson_val *value)
{
    const struct param *p = find_param(key, rd->out->generation.kind);
    if (!p) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s", yyjson_get_str(key));
        return weir_refuse(rd->refusal, 400, name, "unknown_parameter", "Unknown parameter: '%s'.",
                           name);
    }
    rd->tool_choice_given |= p->read == read_tool_choice;
    /* null is the API's word for "left out" */
    return yyjson_is_null(value) ? 0 : p->read(rd, p->name.p, value);
}
