/* SPDX-License-Identifier: Apache-2.0 */
#include "api_request.h"

#include "request_params.h"
#include "tools.h"

enum { COMPLETION_MAX_TOKENS = 16 }; /* the API's default; chat goes on to the context's end */

static int check_tools(struct weir_request_reading *rd)
{
    weir_generation *g = &rd->out->generation;
    if (g->tools_json.n == 0) {
        if (rd->tool_choice_given && g->tool_choice != WEIR_TOOLS_NONE) {
            return weir_refuse(rd->refusal, 400, "tool_choice", "invalid_value",
                               "'tool_choice' is only allowed when 'tools' are specified.");
        }
        g->tool_choice = WEIR_TOOLS_NONE;
        return 0;
    }
    if (g->tool_choice == WEIR_TOOLS_NAMED && !weir_tools_name_one(g->tools_json, g->tool_name)) {
        return weir_refuse(rd->refusal, 400, "tool_choice", "invalid_value",
                           "'tool_choice' names '%.*s', which is not in 'tools'.",
                           (int)g->tool_name.n, g->tool_name.p);
    }
    return 0;
}

/* What only shows once all parameters are known. */
static int check_together(struct weir_request_reading *rd)
{
    weir_generation *g = &rd->out->generation;
    if (!rd->input_given) {
        const char *input = g->kind == WEIR_GENERATION_CHAT        ? "messages"
                            : g->kind == WEIR_GENERATION_EMBEDDING ? "input"
                                                                   : "prompt";
        return weir_refuse(rd->refusal, 400, input, "missing_required_parameter",
                           "Missing required parameter: '%s'.", input);
    }
    if (rd->max_tokens && rd->max_completion_tokens &&
        rd->max_tokens != rd->max_completion_tokens) {
        return weir_refuse(rd->refusal, 400, "max_tokens", "invalid_value",
                           "'max_tokens' and 'max_completion_tokens' differ; send only "
                           "'max_completion_tokens'.");
    }
    g->max_tokens = rd->max_tokens ? rd->max_tokens : rd->max_completion_tokens;
    if (g->max_tokens == 0 && g->kind == WEIR_GENERATION_COMPLETION) {
        g->max_tokens = COMPLETION_MAX_TOKENS;
    }
    if (rd->stream_options_given && !rd->out->stream) {
        return weir_refuse(rd->refusal, 400, "stream_options", "invalid_value",
                           "'stream_options' is only allowed when 'stream' is enabled.");
    }
    if (rd->top_logprobs_given && !g->want_logprobs) {
        return weir_refuse(rd->refusal, 400, "top_logprobs", "invalid_value",
                           "'top_logprobs' is only allowed when 'logprobs' is enabled.");
    }
    return check_tools(rd);
}

static void set_defaults(struct weir_api_request *out, uint32_t kind)
{
    weir_generation *g = &out->generation;
    g->struct_size = sizeof(*g);
    g->kind = kind;
    g->n = 1;
    g->tool_choice = WEIR_TOOLS_AUTO;
    g->parallel_tool_calls = 1;
    g->class_rank = 1;
    g->sampling = (weir_sampling){.struct_size = sizeof(weir_sampling),
                                  .temperature = 1,
                                  .top_p = 1,
                                  .typical_p = 1,
                                  .repetition_penalty = 1};
}

weir_sampling weir_api_request_sampling(const struct weir_api_request *request,
                                        const weir_sampling *models)
{
    weir_sampling s = request->generation.sampling;
    const uint32_t given = request->generation.sampling_given;
    s.temperature = given & WEIR_SAMPLING_TEMPERATURE ? s.temperature : models->temperature;
    s.top_p = given & WEIR_SAMPLING_TOP_P ? s.top_p : models->top_p;
    s.top_k = given & WEIR_SAMPLING_TOP_K ? s.top_k : models->top_k;
    s.min_p = given & WEIR_SAMPLING_MIN_P ? s.min_p : models->min_p;
    s.typical_p = given & WEIR_SAMPLING_TYPICAL_P ? s.typical_p : models->typical_p;
    s.repetition_penalty = given & WEIR_SAMPLING_REPETITION_PENALTY ? s.repetition_penalty
                                                                    : models->repetition_penalty;
    s.presence_penalty =
        given & WEIR_SAMPLING_PRESENCE_PENALTY ? s.presence_penalty : models->presence_penalty;
    s.frequency_penalty =
        given & WEIR_SAMPLING_FREQUENCY_PENALTY ? s.frequency_penalty : models->frequency_penalty;
    return s;
}

int weir_api_request_parse(yyjson_val *body, uint32_t kind, struct weir_arena *arena,
                           struct weir_api_request *ret_request, weir_refusal *refusal)
{
    struct weir_request_reading rd = {.out = ret_request, .arena = arena, .refusal = refusal};
    set_defaults(ret_request, kind);
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(body, i, n, key, value)
    {
        int r = weir_request_params_read(&rd, key, value);
        if (r < 0) {
            return r;
        }
    }
    int r = check_together(&rd);
    ret_request->generation.seed_given = ret_request->seed_given;
    return r;
}
