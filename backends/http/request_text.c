/* SPDX-License-Identifier: Apache-2.0 */
#include "request_text.h"

#include <math.h>

#include "base/put.h"

/* A member's key with all that stands around it. */
#define KEY(name) ((weir_str)WEIR_STR_INIT(",\"" name "\":"))

static void add_raw(struct weir_buf *b, weir_str key, weir_str json)
{
    if (json.n) {
        weir_buf_add_str(b, key);
        weir_buf_add_str(b, json);
    }
}

static void add_number(struct weir_buf *b, weir_str key, uint64_t value)
{
    weir_buf_add_str(b, key);
    weir_buf_add_u64(b, value);
}

static void write_float(struct weir_buf *b, weir_str key, float value)
{
    weir_buf_add_str(b, key);
    if (value >= 0 && value < 1e6f && value == (float)(uint32_t)value) {
        weir_buf_add_u64(b, (uint32_t)value); /* most are whole, and printf is slow */
    } else {
        weir_buf_printf(b, "%.7g", (double)value);
    }
}

static void add_float(struct weir_buf *b, weir_str key, float value, float otherwise, bool is_given)
{
    if ((value != otherwise || is_given) && isfinite(value)) {
        write_float(b, key, value);
    }
}

static void add_prompt(struct weir_buf *b, const weir_generation *g)
{
    if (!g->prompt_tokens) {
        weir_buf_add_json_str(b, g->prompt);
        return;
    }
    weir_buf_add_char(b, '[');
    for (uint32_t i = 0; i < g->n_prompt_tokens; i++) {
        if (i) {
            weir_buf_add_char(b, ',');
        }
        weir_buf_add_u64(b, (uint64_t)g->prompt_tokens[i]);
    }
    weir_buf_add_char(b, ']');
}

static void add_sampling(struct weir_buf *b, const weir_generation *g)
{
    const weir_sampling *s = &g->sampling;
    const uint32_t given = g->sampling_given;
    add_float(b, KEY("temperature"), s->temperature, 1, given & WEIR_SAMPLING_TEMPERATURE);
    add_float(b, KEY("top_p"), s->top_p, 1, given & WEIR_SAMPLING_TOP_P);
    add_float(b, KEY("typical_p"), s->typical_p, 1, given & WEIR_SAMPLING_TYPICAL_P);
    add_float(b, KEY("min_p"), s->min_p, 0, given & WEIR_SAMPLING_MIN_P);
    add_float(b, KEY("repetition_penalty"), s->repetition_penalty, 1,
              given & WEIR_SAMPLING_REPETITION_PENALTY);
    add_float(b, KEY("presence_penalty"), s->presence_penalty, 0,
              given & WEIR_SAMPLING_PRESENCE_PENALTY);
    add_float(b, KEY("frequency_penalty"), s->frequency_penalty, 0,
              given & WEIR_SAMPLING_FREQUENCY_PENALTY);
    if (s->top_k > 0 || given & WEIR_SAMPLING_TOP_K) {
        add_number(b, KEY("top_k"), (uint64_t)s->top_k);
    }
    if (g->seed_given) { /* read as signed elsewhere */
        add_number(b, KEY("seed"), s->seed & INT64_MAX);
    }
    for (uint32_t i = 0; i < s->n_bias; i++) {
        weir_buf_printf(b, "%s\"%d\":%.7g", i ? "," : ",\"logit_bias\":{", s->bias[i].token,
                        (double)s->bias[i].bias);
    }
    if (s->n_bias) {
        weir_buf_add_char(b, '}');
    }
}

static void add_stops(struct weir_buf *b, const weir_generation *g)
{
    for (uint32_t i = 0; i < g->n_stop && i < WEIR_MAX_STOPS; i++) {
        weir_buf_add_text(b, i ? "," : ",\"stop\":[");
        weir_buf_add_json_str(b, g->stop[i]);
    }
    if (g->n_stop) {
        weir_buf_add_char(b, ']');
    }
}

static void add_tools(struct weir_buf *b, const weir_generation *g)
{
    if (!g->tools_json.n) {
        return;
    }
    add_raw(b, KEY("tools"), g->tools_json);
    if (g->tool_choice == WEIR_TOOLS_NONE) {
        weir_buf_add_text(b, ",\"tool_choice\":\"none\"");
    } else if (g->tool_choice == WEIR_TOOLS_REQUIRED) {
        weir_buf_add_text(b, ",\"tool_choice\":\"required\"");
    } else if (g->tool_choice == WEIR_TOOLS_NAMED) {
        weir_buf_add_text(b, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":");
        weir_buf_add_json_str(b, g->tool_name);
        weir_buf_add_text(b, "}}");
    }
    if (!g->parallel_tool_calls) {
        weir_buf_add_text(b, ",\"parallel_tool_calls\":false");
    }
}

static void add_format(struct weir_buf *b, const weir_generation *g)
{
    if (g->format == WEIR_FORMAT_JSON) {
        weir_buf_add_text(b, ",\"response_format\":{\"type\":\"json_object\"}");
    } else if (g->format == WEIR_FORMAT_JSON_SCHEMA) {
        weir_buf_add_text(b, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                             "\"name\":\"answer\",\"strict\":true,\"schema\":");
        weir_buf_add_str(b, g->schema_json);
        weir_buf_add_text(b, "}}");
    }
}

static void add_logprobs(struct weir_buf *b, const weir_generation *g)
{
    if (!g->want_logprobs) {
        return;
    }
    if (g->kind == WEIR_GENERATION_COMPLETION) {
        add_number(b, KEY("logprobs"), g->n_top);
        return;
    }
    weir_buf_add_text(b, ",\"logprobs\":true");
    if (g->n_top) {
        add_number(b, KEY("top_logprobs"), g->n_top);
    }
}

static void add_input(struct weir_buf *b, const weir_generation *g)
{
    add_raw(b, KEY("input"), g->input_json);
    if (g->is_base64) {
        weir_buf_add_text(b, ",\"encoding_format\":\"base64\"");
    }
    if (g->dimensions) {
        add_number(b, KEY("dimensions"), g->dimensions);
    }
    if (g->user.n) {
        weir_buf_add_str(b, KEY("user"));
        weir_buf_add_json_str(b, g->user);
    }
    weir_buf_add_char(b, '}');
}

void weir_upstream_write_body(struct weir_buf *b, const struct weir_upstream_settings *s,
                              const weir_generation *g, uint32_t max_tokens)
{
    weir_buf_add_text(b, "{\"model\":");
    weir_buf_add_str(b, weir_buf_view(&s->model_json));
    if (g->kind == WEIR_GENERATION_EMBEDDING) {
        add_input(b, g);
        return;
    }
    if (g->kind == WEIR_GENERATION_CHAT) {
        add_raw(b, KEY("messages"), g->messages_json);
        add_tools(b, g);
        add_format(b, g);
        add_raw(b, KEY("chat_template_kwargs"), g->template_args_json);
    } else {
        weir_buf_add_str(b, KEY("prompt"));
        add_prompt(b, g);
        if (g->echo) {
            weir_buf_add_text(b, ",\"echo\":true");
        }
    }
    if (max_tokens) {
        add_number(b, KEY("max_tokens"), max_tokens);
    }
    if (g->n > 1) {
        add_number(b, KEY("n"), g->n);
    }
    add_sampling(b, g);
    add_stops(b, g);
    add_logprobs(b, g);
    if (g->ignore_eos) {
        weir_buf_add_text(b, ",\"ignore_eos\":true");
    }
    if (g->user.n) {
        weir_buf_add_str(b, KEY("user"));
        weir_buf_add_json_str(b, g->user);
    }
    weir_buf_add_text(b, g->stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"
                                   : "}");
}

/* Texts in front of each other, the last one first. */
static char *put_before(char *at, weir_str text)
{
    at -= text.n;
    memcpy(at, text.p, text.n);
    return at;
}

static char *put_field_before(char *at, weir_str name, weir_str value)
{
    static const weir_str end = WEIR_STR_INIT("\r\n");
    return value.n ? put_before(put_before(put_before(at, end), value), name) : at;
}

static char *put_head_before(char *at, const struct weir_upstream_settings *s,
                             const weir_generation *g, uint64_t n_body)
{
    static const weir_str end = WEIR_STR_INIT("\r\n\r\n"), id = WEIR_STR_INIT("x-request-id: "),
                          trace = WEIR_STR_INIT("traceparent: "),
                          events = WEIR_STR_INIT("Accept: text/event-stream\r\nContent-Length: "),
                          json = WEIR_STR_INIT("Accept: application/json\r\nContent-Length: ");
    char digits[WEIR_PUT_U64_BYTES];
    size_t n_digits = (size_t)(weir_put_u64(digits, n_body) - digits);
    at = put_before(put_before(at, end), (weir_str){digits, n_digits});
    at = put_before(at, g->stream ? events : json);
    at = put_field_before(at, trace, g->traceparent);
    at = put_field_before(at, id, g->request_id);
    return put_before(at, weir_buf_view(&s->heads[g->kind]));
}

void weir_upstream_write_request(struct weir_buf *b, const struct weir_upstream_settings *s,
                                 const weir_generation *g, uint32_t max_tokens,
                                 size_t *ret_n_before)
{
    enum { OWN_BYTES = 128 }; /* at most, of what put_head_before() has in its text */
    size_t n = s->heads[g->kind].len + g->request_id.n + g->traceparent.n + OWN_BYTES;
    *ret_n_before = 0;
    if (!weir_buf_reserve(b, n)) {
        return;
    }
    weir_buf_commit(b, n);
    weir_upstream_write_body(b, s, g, max_tokens);
    if (!b->failed) {
        *ret_n_before = (size_t)(put_head_before(b->data + n, s, g, b->len - n) - b->data);
    }
}
