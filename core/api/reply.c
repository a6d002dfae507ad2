/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include <math.h>

#include "base/put.h"
#include "error_body.h"

enum {
    MAX_SPARE_BYTES = 4096,
    MAX_USAGE_BYTES = 256 /* four numbers, and a hundred bytes around them */
};

struct weir_reply_choice {
    bool opened;     /* streamed chat: the role went out */
    bool call_open;  /* a tool call's JSON object is being gathered */
    uint32_t finish; /* enum weir_finish */
    uint32_t n_calls;
    uint64_t n_characters;          /* completion: offset of the next token, in code points */
    struct weir_buf text;           /* gathered text */
    struct weir_buf calls;          /* gathered tool calls, JSON array items */
    struct weir_buf call_arguments; /* of the open call */
    struct weir_buf logprobs;       /* chat: JSON array items */
    struct weir_buf columns[4]; /* completion: tokens, token_logprobs, top_logprobs, text_offset */
};

const char *weir_finish_name(uint32_t finish)
{
    switch (finish) {
    case WEIR_FINISH_LENGTH: return "length";
    case WEIR_FINISH_TOOL_CALLS: return "tool_calls";
    case WEIR_FINISH_FILTER: return "content_filter";
    case WEIR_FINISH_CANCEL: return "cancelled";
    case WEIR_FINISH_ERROR: return "error";
    default: return "stop";
    }
}

int weir_reply_init(struct weir_reply *reply, struct weir_arena *arena)
{
    reply->choices = weir_arena_array(arena, reply->n_choices, sizeof(*reply->choices));
    if (!reply->choices) {
        return WEIR_E_NOMEM;
    }
    weir_buf_init(&reply->head, reply->max_bytes);
    reply->spare.max_bytes = reply->max_bytes;
    for (uint32_t i = 0; i < reply->n_choices; i++) {
        struct weir_reply_choice *c = &reply->choices[i];
        weir_buf_init(&c->text, reply->max_bytes);
        weir_buf_init(&c->calls, reply->max_bytes);
        weir_buf_init(&c->call_arguments, reply->max_bytes);
        weir_buf_init(&c->logprobs, reply->max_bytes * 8);
        for (size_t k = 0; k < 4; k++) {
            weir_buf_init(&c->columns[k], reply->max_bytes * 4);
        }
    }
    if (reply->n_choices > 0) {
        reply->choices[0].text = reply->spare;
        weir_buf_init(&reply->spare, 0);
    }
    return 0;
}

void weir_reply_recycle(struct weir_reply *reply)
{
    struct weir_buf text = reply->spare;
    if (reply->choices && reply->n_choices > 0) {
        text = reply->choices[0].text;
        weir_buf_init(&reply->choices[0].text, 0);
    }
    weir_buf_recycle(&text, MAX_SPARE_BYTES);
    weir_buf_init(&reply->spare, 0);
    weir_reply_finish(reply);
    reply->spare = text;
}

void weir_reply_finish(struct weir_reply *reply)
{
    weir_buf_finish(&reply->head);
    weir_buf_finish(&reply->spare);
    for (uint32_t i = 0; reply->choices && i < reply->n_choices; i++) {
        struct weir_reply_choice *c = &reply->choices[i];
        weir_buf_finish(&c->text);
        weir_buf_finish(&c->calls);
        weir_buf_finish(&c->call_arguments);
        weir_buf_finish(&c->logprobs);
        for (size_t k = 0; k < 4; k++) {
            weir_buf_finish(&c->columns[k]);
        }
    }
    reply->choices = NULL;
}

static void add_float(struct weir_buf *b, float v)
{
    if (isfinite(v)) {
        weir_buf_printf(b, "%.7g", (double)v);
    } else {
        weir_buf_add_text(b, "-9999.0"); /* the API's floor for "practically impossible" */
    }
}

static void add_token_object(struct weir_buf *b, const weir_logprob *lp)
{
    weir_buf_add_text(b, "{\"token\":");
    weir_buf_add_json_str(b, lp->bytes);
    weir_buf_add_text(b, ",\"logprob\":");
    add_float(b, lp->logprob);
    weir_buf_add_text(b, ",\"bytes\":[");
    for (size_t i = 0; i < lp->bytes.n; i++) {
        if (i) {
            weir_buf_add_char(b, ',');
        }
        weir_buf_add_u64(b, (unsigned char)lp->bytes.p[i]);
    }
    weir_buf_add_text(b, "]");
}

static void add_chat_logprobs(struct weir_buf *b, const weir_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->n_logprobs; i++) {
        const weir_token_logprobs *lp = &chunk->logprobs[i];
        if (b->len && b->data[b->len - 1] == '}') {
            weir_buf_add_char(b, ',');
        }
        add_token_object(b, &lp->chosen);
        weir_buf_add_text(b, ",\"top_logprobs\":[");
        for (uint32_t k = 0; k < lp->n_top; k++) {
            if (k) {
                weir_buf_add_char(b, ',');
            }
            add_token_object(b, &lp->top[k]);
            weir_buf_add_char(b, '}');
        }
        weir_buf_add_text(b, "]}");
    }
}

static void add_top_map(struct weir_buf *b, const weir_token_logprobs *lp)
{
    weir_buf_add_char(b, '{');
    for (uint32_t k = 0; k < lp->n_top; k++) {
        if (k) {
            weir_buf_add_char(b, ',');
        }
        weir_buf_add_json_str(b, lp->top[k].bytes);
        weir_buf_add_char(b, ':');
        add_float(b, lp->top[k].logprob);
    }
    weir_buf_add_char(b, '}');
}

static uint64_t count_characters(weir_str s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80; /* every byte that begins one */
    }
    return n;
}

static void add_completion_logprobs(struct weir_reply_choice *c, const weir_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->n_logprobs; i++) {
        const weir_token_logprobs *lp = &chunk->logprobs[i];
        for (size_t k = 0; k < 4 && c->columns[0].len; k++) {
            weir_buf_add_char(&c->columns[k], ',');
        }
        weir_buf_add_json_str(&c->columns[0], lp->chosen.bytes);
        add_float(&c->columns[1], lp->chosen.logprob);
        add_top_map(&c->columns[2], lp);
        weir_buf_add_u64(&c->columns[3], c->n_characters);
        c->n_characters += count_characters(lp->chosen.bytes);
    }
}

static void add_completion_columns(struct weir_buf *b, struct weir_reply_choice *c)
{
    static const char *const names[] = {"{\"tokens\":[", "],\"token_logprobs\":[",
                                        "],\"top_logprobs\":[", "],\"text_offset\":["};
    for (size_t k = 0; k < 4; k++) {
        weir_buf_add_text(b, names[k]);
        weir_buf_add_str(b, weir_buf_view(&c->columns[k]));
        weir_buf_reset(&c->columns[k]);
    }
    weir_buf_add_text(b, "]}");
}

static void write_behind_id(const struct weir_reply *reply, struct weir_buf *b)
{
    if (reply->kind != WEIR_GENERATION_CHAT) {
        weir_buf_add_text(b, "\",\"object\":\"text_completion\",\"created\":");
    } else if (reply->stream) {
        weir_buf_add_text(b, "\",\"object\":\"chat.completion.chunk\",\"created\":");
    } else {
        weir_buf_add_text(b, "\",\"object\":\"chat.completion\",\"created\":");
    }
    weir_buf_add_u64(b, reply->created_s);
    weir_buf_add_text(b, ",\"model\":");
    weir_buf_add_json_str(b, reply->model);
    weir_buf_add_text(b, ",\"choices\":[");
}

static bool is_of(const struct weir_reply_frame *f, const struct weir_reply *reply)
{
    return f->created_s == reply->created_s && f->kind == reply->kind &&
           f->stream == reply->stream && f->n_model == reply->model.n &&
           memcmp(f->model, reply->model.p, f->n_model) == 0;
}

static void make_frame(struct weir_reply_frame *f, const struct weir_reply *reply)
{
    struct weir_buf text;
    weir_buf_init_fixed(&text, f->text, sizeof(f->text));
    write_behind_id(reply, &text);
    f->created_s = 0;
    if (reply->model.n <= sizeof(f->model) && !text.failed) {
        memcpy(f->model, reply->model.p, reply->model.n);
        f->n_model = reply->model.n;
        f->n_text = text.len;
        f->kind = reply->kind;
        f->stream = reply->stream;
        f->created_s = reply->created_s;
    }
}

static void write_head(const struct weir_reply *reply, struct weir_buf *b)
{
    struct weir_reply_frame *f = reply->frame;
    weir_buf_add_text(b, "{\"id\":\"");
    weir_buf_add_str(b, reply->id);
    if (f && !is_of(f, reply)) {
        make_frame(f, reply);
    }
    if (f && f->created_s) {
        weir_buf_add(b, f->text, f->n_text);
    } else { /* too long to keep */
        write_behind_id(reply, b);
    }
}

/* All events of a stream begin alike; the text is made for the first. */
static void add_head(struct weir_reply *reply, struct weir_buf *b)
{
    if (!reply->stream) {
        write_head(reply, b);
        return;
    }
    if (reply->head.len == 0) {
        write_head(reply, &reply->head);
    }
    weir_buf_add_str(b, weir_buf_view(&reply->head));
    b->failed = b->failed || reply->head.failed;
}

static void add_finish(struct weir_buf *b, uint32_t finish)
{
    weir_buf_add_text(b, ",\"finish_reason\":");
    if (finish == WEIR_FINISH_NONE) {
        weir_buf_add_text(b, "null");
    } else {
        weir_buf_add_char(b, '"');
        weir_buf_add_text(b, weir_finish_name(finish));
        weir_buf_add_char(b, '"');
    }
}

static void add_event_tail(const struct weir_reply *reply, struct weir_buf *b)
{
    weir_buf_add_text(b, reply->include_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void add_tool_delta(struct weir_buf *b, const weir_chunk *chunk)
{
    weir_buf_add_text(b, "{\"tool_calls\":[{\"index\":");
    weir_buf_add_u64(b, chunk->tool_index);
    if (chunk->tool_name.n) {
        weir_buf_add_text(b, ",\"id\":");
        weir_buf_add_json_str(b, chunk->tool_id);
        weir_buf_add_text(b, ",\"type\":\"function\",\"function\":{\"name\":");
        weir_buf_add_json_str(b, chunk->tool_name);
        weir_buf_add_text(b, ",\"arguments\":");
    } else {
        weir_buf_add_text(b, ",\"function\":{\"arguments\":");
    }
    weir_buf_add_json_str(b, chunk->text);
    weir_buf_add_text(b, "}}]}");
}

static void add_chat_event(struct weir_reply *reply, struct weir_reply_choice *c,
                           const weir_chunk *chunk, struct weir_buf *b)
{
    if (!c->opened) {
        c->opened = true;
        weir_buf_add_text(b, "data: ");
        add_head(reply, b);
        weir_buf_add_text(b, "{\"index\":");
        weir_buf_add_u64(b, chunk->choice);
        weir_buf_add_text(b,
                          ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                          "\"finish_reason\":null");
        add_event_tail(reply, b);
    }
    if (chunk->kind == WEIR_CHUNK_TEXT && chunk->text.n == 0 && chunk->n_logprobs == 0) {
        return;
    }
    weir_buf_add_text(b, "data: ");
    add_head(reply, b);
    weir_buf_add_text(b, "{\"index\":");
    weir_buf_add_u64(b, chunk->choice);
    weir_buf_add_text(b, ",\"delta\":");
    if (chunk->kind == WEIR_CHUNK_TEXT) {
        weir_buf_add_text(b, "{\"content\":");
        weir_buf_add_json_str(b, chunk->text);
        weir_buf_add_char(b, '}');
    } else if (chunk->kind == WEIR_CHUNK_TOOL_CALL) {
        add_tool_delta(b, chunk);
    } else {
        weir_buf_add_text(b, "{}");
    }
    if (chunk->n_logprobs) {
        weir_buf_add_text(b, ",\"logprobs\":{\"content\":[");
        weir_buf_reset(&c->logprobs);
        add_chat_logprobs(&c->logprobs, chunk);
        weir_buf_add_str(b, weir_buf_view(&c->logprobs));
        weir_buf_add_text(b, "],\"refusal\":null}");
    } else {
        weir_buf_add_text(b, ",\"logprobs\":null");
    }
    add_finish(b, chunk->kind == WEIR_CHUNK_FINISH ? chunk->finish : WEIR_FINISH_NONE);
    add_event_tail(reply, b);
}

static void add_completion_event(struct weir_reply *reply, struct weir_reply_choice *c,
                                 const weir_chunk *chunk, struct weir_buf *b)
{
    if (chunk->kind == WEIR_CHUNK_TEXT && chunk->text.n == 0 && chunk->n_logprobs == 0) {
        return;
    }
    weir_buf_add_text(b, "data: ");
    add_head(reply, b);
    weir_buf_add_text(b, "{\"text\":");
    weir_buf_add_json_str(b, chunk->text);
    weir_buf_add_text(b, ",\"index\":");
    weir_buf_add_u64(b, chunk->choice);
    weir_buf_add_text(b, ",\"logprobs\":");
    if (chunk->n_logprobs) {
        add_completion_logprobs(c, chunk);
        add_completion_columns(b, c);
    } else {
        weir_buf_add_text(b, "null");
    }
    add_finish(b, chunk->kind == WEIR_CHUNK_FINISH ? chunk->finish : WEIR_FINISH_NONE);
    add_event_tail(reply, b);
}

/* Ends the JSON object of the call that is being gathered. */
static void close_call(struct weir_reply_choice *c)
{
    if (c->call_open) {
        weir_buf_add_json_str(&c->calls, weir_buf_view(&c->call_arguments));
        weir_buf_add_text(&c->calls, "}}");
        weir_buf_reset(&c->call_arguments);
        c->call_open = false;
    }
}

static void gather_call(struct weir_reply_choice *c, const weir_chunk *chunk)
{
    if (chunk->tool_name.n) {
        close_call(c);
        weir_buf_add_text(&c->calls, c->n_calls++ ? ",{\"id\":" : "{\"id\":");
        weir_buf_add_json_str(&c->calls, chunk->tool_id);
        weir_buf_add_text(&c->calls, ",\"type\":\"function\",\"function\":{\"name\":");
        weir_buf_add_json_str(&c->calls, chunk->tool_name);
        weir_buf_add_text(&c->calls, ",\"arguments\":");
        c->call_open = true;
    }
    weir_buf_add_str(&c->call_arguments, chunk->text);
}

static int gather(struct weir_reply *reply, struct weir_reply_choice *c, const weir_chunk *chunk)
{
    if (chunk->kind == WEIR_CHUNK_FINISH) {
        c->finish = chunk->finish;
    } else if (chunk->kind == WEIR_CHUNK_TOOL_CALL) {
        gather_call(c, chunk);
    } else {
        weir_buf_add_str(&c->text, chunk->text);
    }
    if (chunk->n_logprobs && reply->kind == WEIR_GENERATION_CHAT) {
        add_chat_logprobs(&c->logprobs, chunk);
    } else if (chunk->n_logprobs) {
        add_completion_logprobs(c, chunk);
    }
    bool failed = c->text.failed || c->calls.failed || c->call_arguments.failed ||
                  c->logprobs.failed || c->columns[0].failed || c->columns[1].failed ||
                  c->columns[2].failed || c->columns[3].failed;
    return failed ? WEIR_E_TOOBIG : 0;
}

int weir_reply_add(struct weir_reply *reply, const weir_chunk *chunk, struct weir_buf *out)
{
    if (chunk->choice >= reply->n_choices) {
        return WEIR_E_ARG;
    }
    struct weir_reply_choice *c = &reply->choices[chunk->choice];
    if (!reply->stream) {
        return gather(reply, c, chunk);
    }
    if (reply->kind == WEIR_GENERATION_CHAT) {
        add_chat_event(reply, c, chunk, out);
    } else {
        add_completion_event(reply, c, chunk, out);
    }
    return out->failed ? WEIR_E_NOMEM : 0;
}

static void add_usage(struct weir_buf *b, const weir_outcome *outcome)
{
    char text[MAX_USAGE_BYTES], *to = text;
    to = weir_put_u64(weir_put_text(to, "{\"prompt_tokens\":"), outcome->prompt_tokens);
    to = weir_put_u64(weir_put_text(to, ",\"completion_tokens\":"), outcome->completion_tokens);
    to = weir_put_u64(weir_put_text(to, ",\"total_tokens\":"),
                      outcome->prompt_tokens + outcome->completion_tokens);
    to = weir_put_u64(weir_put_text(to, ",\"prompt_tokens_details\":{\"cached_tokens\":"),
                      outcome->cached_tokens);
    to = weir_put_text(to, "}}");
    weir_buf_add(b, text, (size_t)(to - text));
}

static void add_chat_message(const struct weir_reply *reply, struct weir_reply_choice *c,
                             struct weir_buf *b)
{
    close_call(c);
    weir_buf_add_text(b, ",\"message\":{\"role\":\"assistant\",\"content\":");
    if (c->n_calls && c->text.len == 0) {
        weir_buf_add_text(b, "null");
    } else {
        weir_buf_add_json_str(b, weir_buf_view(&c->text));
    }
    weir_buf_add_text(b, ",\"refusal\":null");
    if (c->n_calls) {
        weir_buf_add_text(b, ",\"tool_calls\":[");
        weir_buf_add_str(b, weir_buf_view(&c->calls));
        weir_buf_add_char(b, ']');
    }
    weir_buf_add_text(b, "},\"logprobs\":");
    if (reply->want_logprobs) {
        weir_buf_add_text(b, "{\"content\":[");
        weir_buf_add_str(b, weir_buf_view(&c->logprobs));
        weir_buf_add_text(b, "],\"refusal\":null}");
    } else {
        weir_buf_add_text(b, "null");
    }
}

static void add_completion_text(const struct weir_reply *reply, struct weir_reply_choice *c,
                                struct weir_buf *b)
{
    weir_buf_add_text(b, ",\"text\":");
    weir_buf_add_json_str(b, weir_buf_view(&c->text));
    weir_buf_add_text(b, ",\"logprobs\":");
    if (reply->want_logprobs) {
        add_completion_columns(b, c);
    } else {
        weir_buf_add_text(b, "null");
    }
}

static void add_whole(struct weir_reply *reply, const weir_outcome *outcome, struct weir_buf *b)
{
    enum { ROUND_IT = 512 }; /* what is written beside one choice's text, about */
    size_t n = reply->n_choices * (size_t)ROUND_IT + reply->choices[0].text.len;
    if (n <= b->max_bytes - b->len) { /* at once, not doubling by doubling */
        (void)weir_buf_reserve(b, n);
    }
    add_head(reply, b);
    for (uint32_t i = 0; i < reply->n_choices; i++) {
        struct weir_reply_choice *c = &reply->choices[i];
        weir_buf_add_text(b, i ? ",{\"index\":" : "{\"index\":");
        weir_buf_add_u64(b, i);
        if (reply->kind == WEIR_GENERATION_CHAT) {
            add_chat_message(reply, c, b);
        } else {
            add_completion_text(reply, c, b);
        }
        add_finish(b, c->finish == WEIR_FINISH_NONE ? WEIR_FINISH_STOP : c->finish);
        weir_buf_add_char(b, '}');
    }
    weir_buf_add_text(b, "],\"usage\":");
    add_usage(b, outcome);
    weir_buf_add_char(b, '}');
}

static void add_embeddings(const struct weir_reply *reply, const weir_outcome *outcome,
                           struct weir_buf *b)
{
    weir_buf_add_text(b, "{\"object\":\"list\",\"data\":[");
    weir_buf_add_str(b, weir_buf_view(&reply->choices[0].text));
    weir_buf_add_text(b, "],\"model\":");
    weir_buf_add_json_str(b, reply->model);
    weir_buf_add_text(b, ",\"usage\":{\"prompt_tokens\":");
    weir_buf_add_u64(b, outcome->prompt_tokens);
    weir_buf_add_text(b, ",\"total_tokens\":");
    weir_buf_add_u64(b, outcome->prompt_tokens);
    weir_buf_add_text(b, "}}");
}

int weir_reply_end(struct weir_reply *reply, const weir_outcome *outcome, struct weir_buf *out)
{
    if (reply->kind == WEIR_GENERATION_EMBEDDING) {
        add_embeddings(reply, outcome, out);
        return out->failed ? WEIR_E_NOMEM : 0;
    }
    if (!reply->stream) {
        add_whole(reply, outcome, out);
        return out->failed ? WEIR_E_NOMEM : 0;
    }
    if (reply->include_usage) {
        weir_buf_add_text(out, "data: ");
        add_head(reply, out);
        weir_buf_add_text(out, "],\"usage\":");
        add_usage(out, outcome);
        weir_buf_add_text(out, "}\n\n");
    }
    weir_buf_add_text(out, "data: [DONE]\n\n");
    return out->failed ? WEIR_E_NOMEM : 0;
}

void weir_reply_error(const struct weir_reply *reply, weir_str message, weir_str code,
                      struct weir_buf *out)
{
    (void)reply;
    weir_buf_add_text(out, "data: ");
    weir_error_body_write(out, 500, message, (weir_str){NULL, 0}, code);
    weir_buf_add_text(out, "\n\n");
}
