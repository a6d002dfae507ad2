/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include "embeddings.h"
#include "logprobs.h"

static int bad(struct weir_upstream_answer *a, const char *what)
{
    weir_upstream_fail_protocol(a->failure, "The model's server sent %s.", what);
    return WEIR_E_FORMAT;
}

static bool is_absent(yyjson_val *v)
{
    return !v || yyjson_is_null(v);
}

/* Of an object's members the first of each name, in one walk; NULL where there is none. */
static inline void find_members(yyjson_val *object, const weir_str *names, yyjson_val **found,
                                size_t n)
{
    for (size_t k = 0; k < n; k++) {
        found[k] = NULL;
    }
    if (!yyjson_is_obj(object)) {
        return;
    }
    yyjson_val *key = unsafe_yyjson_get_first(object);
    for (size_t left = unsafe_yyjson_get_len(object); left > 0; left--) {
        weir_str name = {unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key)};
        for (size_t k = 0; k < n; k++) {
            if (name.n == names[k].n && memcmp(name.p, names[k].p, names[k].n) == 0) {
                found[k] = found[k] ? found[k] : key + 1;
            }
        }
        key = unsafe_yyjson_get_next(key + 1);
    }
}

static int emit(struct weir_upstream_answer *a, weir_chunk *chunk)
{
    if (a->n_given < a->n_skip) {
        a->n_given++;
        return 0;
    }
    chunk->struct_size = sizeof(*chunk);
    chunk->seq = a->seq[chunk->choice];
    int r = a->emit(a->arg, chunk);
    if (r == 0) {
        a->n_given++;
        a->seq[chunk->choice]++;
        a->n_counted += chunk->n_tokens;
    }
    return r;
}

/* ---- usage ---- */

static bool read_count(yyjson_val *v, uint64_t *ret)
{
    if (is_absent(v)) {
        return true;
    }
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT32_MAX) {
        return false;
    }
    *ret = yyjson_get_uint(v);
    return true;
}

static int read_usage(struct weir_upstream_answer *a, yyjson_val *usage)
{
    if (is_absent(usage)) {
        return 0;
    }
    enum { PROMPT, COMPLETION, DETAILS, N };
    static const weir_str names[N] = {
        [PROMPT] = WEIR_STR_INIT("prompt_tokens"),
        [COMPLETION] = WEIR_STR_INIT("completion_tokens"),
        [DETAILS] = WEIR_STR_INIT("prompt_tokens_details"),
    };
    yyjson_val *found[N];
    find_members(usage, names, found, N);
    yyjson_val *details = found[DETAILS];
    if (!yyjson_is_obj(usage) || (!is_absent(details) && !yyjson_is_obj(details)) ||
        !read_count(found[PROMPT], &a->prompt_tokens) ||
        !read_count(found[COMPLETION], &a->completion_tokens) ||
        !read_count(yyjson_obj_get(details, "cached_tokens"), &a->cached_tokens)) {
        return bad(a, "a usage that is none");
    }
    a->has_usage = true;
    return 0;
}

/* ---- pieces of a choice ---- */

/* Tokens that a piece stands for, as far as one can know. */
static uint32_t count_tokens(const struct weir_upstream_answer *a, size_t n_bytes,
                             uint32_t n_logprobs)
{
    if (n_logprobs) {
        return n_logprobs;
    }
    if (a->stream) {
        return 1; /* servers send an event for a token */
    }
    if (a->has_usage && a->n_choices == 1) {
        return (uint32_t)a->completion_tokens;
    }
    size_t n = (n_bytes + 3) / 4;
    return n < INT32_MAX ? (uint32_t)n : INT32_MAX;
}

static int emit_text(struct weir_upstream_answer *a, uint32_t choice, yyjson_val *text,
                     yyjson_val *logprobs)
{
    weir_chunk chunk = {.kind = WEIR_CHUNK_TEXT, .choice = choice};
    if (!is_absent(text)) {
        if (!yyjson_is_str(text)) {
            return bad(a, "a content that is no text");
        }
        chunk.text = (weir_str){yyjson_get_str(text), yyjson_get_len(text)};
    }
    int r = is_absent(logprobs) ? 0
                                : weir_upstream_read_logprobs(logprobs, a->arena, &chunk.logprobs,
                                                              &chunk.n_logprobs);
    if (r < 0) {
        return r == WEIR_E_FORMAT ? bad(a, "logprobs that are none") : r;
    }
    if (chunk.text.n == 0 && chunk.n_logprobs == 0) {
        return 0;
    }
    chunk.n_tokens = count_tokens(a, chunk.text.n, chunk.n_logprobs);
    return emit(a, &chunk);
}

static weir_str text_of(yyjson_val *v)
{
    return (weir_str){yyjson_get_str(v), yyjson_get_len(v)};
}

static int emit_call(struct weir_upstream_answer *a, uint32_t choice, yyjson_val *call,
                     uint32_t position, uint32_t n_tokens)
{
    yyjson_val *index = yyjson_obj_get(call, "index"), *id = yyjson_obj_get(call, "id");
    yyjson_val *function = yyjson_obj_get(call, "function");
    yyjson_val *name = yyjson_obj_get(function, "name");
    yyjson_val *arguments = yyjson_obj_get(function, "arguments");
    bool good = yyjson_is_obj(call) && (is_absent(function) || yyjson_is_obj(function)) &&
                (is_absent(index) || yyjson_is_uint(index)) &&
                (is_absent(id) || yyjson_is_str(id)) && (is_absent(name) || yyjson_is_str(name)) &&
                (is_absent(arguments) || yyjson_is_str(arguments));
    uint64_t number = yyjson_is_uint(index) ? yyjson_get_uint(index) : position;
    if (!good || number >= WEIR_UPSTREAM_MAX_CALLS) {
        return bad(a, "a tool call that is none");
    }
    weir_chunk chunk = {.kind = WEIR_CHUNK_TOOL_CALL,
                        .choice = choice,
                        .tool_index = (uint32_t)number,
                        .n_tokens = n_tokens,
                        .text = text_of(arguments),
                        .tool_id = text_of(id),
                        .tool_name = text_of(name)};
    if (chunk.text.n == 0 && chunk.tool_name.n == 0) {
        return 0;
    }
    return emit(a, &chunk);
}

static int emit_calls(struct weir_upstream_answer *a, uint32_t choice, yyjson_val *calls)
{
    if (is_absent(calls)) {
        return 0;
    }
    if (!yyjson_is_arr(calls)) {
        return bad(a, "tool calls that are no array");
    }
    size_t i, n;
    yyjson_val *call;
    yyjson_arr_foreach(calls, i, n, call)
    {
        size_t n_arguments =
            yyjson_get_len(yyjson_obj_get(yyjson_obj_get(call, "function"), "arguments"));
        bool counts = i == 0 || !(a->has_usage && !a->stream);
        int r =
            emit_call(a, choice, call, (uint32_t)i, counts ? count_tokens(a, n_arguments, 0) : 0);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int read_finish(yyjson_val *v, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t finish;
    } names[] = {{"stop", WEIR_FINISH_STOP},
                 {"length", WEIR_FINISH_LENGTH},
                 {"tool_calls", WEIR_FINISH_TOOL_CALLS},
                 {"function_call", WEIR_FINISH_TOOL_CALLS},
                 {"content_filter", WEIR_FINISH_FILTER}};
    *ret = WEIR_FINISH_NONE;
    if (is_absent(v)) {
        return 0;
    }
    if (!yyjson_is_str(v)) {
        return WEIR_E_FORMAT;
    }
    *ret = WEIR_FINISH_STOP; /* servers have words of their own for it */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (yyjson_equals_str(v, names[i].name)) {
            *ret = names[i].finish;
            break;
        }
    }
    return 0;
}

static int emit_finish(struct weir_upstream_answer *a, uint32_t choice, yyjson_val *reason)
{
    uint32_t finish = 0;
    if (read_finish(reason, &finish) < 0) {
        return bad(a, "a finish_reason that is no text");
    }
    if (finish == WEIR_FINISH_NONE && !a->stream) {
        finish = WEIR_FINISH_STOP;
    }
    if (finish == WEIR_FINISH_NONE || (a->ended & UINT64_C(1) << choice)) {
        return 0;
    }
    weir_chunk chunk = {.kind = WEIR_CHUNK_FINISH, .choice = choice, .finish = finish};
    int r = emit(a, &chunk);
    if (r == 0) {
        a->ended |= UINT64_C(1) << choice;
    }
    return r;
}

static int read_choice(struct weir_upstream_answer *a, yyjson_val *choice)
{
    enum { INDEX, DELTA, MESSAGE, LOGPROBS, FINISH, N };
    static const weir_str names[N] = {
        [INDEX] = WEIR_STR_INIT("index"),          [DELTA] = WEIR_STR_INIT("delta"),
        [MESSAGE] = WEIR_STR_INIT("message"),      [LOGPROBS] = WEIR_STR_INIT("logprobs"),
        [FINISH] = WEIR_STR_INIT("finish_reason"),
    };
    yyjson_val *found[N];
    find_members(choice, names, found, N);
    yyjson_val *index = found[INDEX];
    bool is_chat = a->kind == WEIR_GENERATION_CHAT;
    yyjson_val *from = !is_chat ? choice : found[a->stream ? DELTA : MESSAGE];
    uint64_t number = is_absent(index) ? 0 : yyjson_get_uint(index);
    if (!yyjson_is_obj(choice) || (!is_absent(index) && !yyjson_is_uint(index)) ||
        number >= a->n_choices) {
        return bad(a, "a choice that nobody asked for");
    }
    if (is_chat && !is_absent(from) && !yyjson_is_obj(from)) {
        return bad(a, "a message that is no object");
    }
    if (is_chat && !a->stream && is_absent(from)) {
        return bad(a, "a choice without a message");
    }
    int r = emit_text(a, (uint32_t)number, yyjson_obj_get(from, is_chat ? "content" : "text"),
                      found[LOGPROBS]);
    r = r < 0 || !is_chat ? r : emit_calls(a, (uint32_t)number, yyjson_obj_get(from, "tool_calls"));
    return r < 0 ? r : emit_finish(a, (uint32_t)number, found[FINISH]);
}

static int read_embeddings(struct weir_upstream_answer *a, yyjson_val *data)
{
    const char *what = NULL;
    int r = weir_upstream_read_embeddings(a, data, emit, &what);
    if (r < 0) {
        return r == WEIR_E_FORMAT ? bad(a, what) : r;
    }
    weir_chunk end = {.kind = WEIR_CHUNK_FINISH, .finish = WEIR_FINISH_STOP};
    r = emit(a, &end);
    a->ended |= r == 0;
    return r;
}

/* ---- the whole text ---- */

static int read_object(struct weir_upstream_answer *a, yyjson_val *root, weir_str json)
{
    enum { ERROR, OBJECT, CHOICES, USAGE, DATA, N };
    static const weir_str names[N] = {
        [ERROR] = WEIR_STR_INIT("error"),     [OBJECT] = WEIR_STR_INIT("object"),
        [CHOICES] = WEIR_STR_INIT("choices"), [USAGE] = WEIR_STR_INIT("usage"),
        [DATA] = WEIR_STR_INIT("data"),
    };
    yyjson_val *found[N];
    find_members(root, names, found, N);
    yyjson_val *error = found[ERROR];
    yyjson_val *choices = found[CHOICES];
    if (!is_absent(error) || yyjson_equals_str(found[OBJECT], "error")) {
        yyjson_val *code = yyjson_obj_get(yyjson_is_obj(error) ? error : root, "code");
        uint64_t status = yyjson_is_uint(code) ? yyjson_get_uint(code) : 500;
        weir_upstream_fail_status(a->failure,
                                  status >= 400 && status < 600 ? (uint32_t)status : 500, 0, json);
        return WEIR_E_FORMAT;
    }
    if (a->kind == WEIR_GENERATION_EMBEDDING) {
        int r = read_usage(a, found[USAGE]);
        return r < 0 ? r : read_embeddings(a, found[DATA]);
    }
    if (!yyjson_is_arr(choices)) {
        return bad(a, "an answer without choices");
    }
    int r = read_usage(a, found[USAGE]);
    size_t i, n;
    yyjson_val *choice;
    yyjson_arr_foreach(choices, i, n, choice)
    {
        r = r < 0 ? r : read_choice(a, choice);
    }
    if (r == 0 && !a->stream && !weir_upstream_answer_is_whole(a)) {
        return bad(a, "fewer choices than asked for");
    }
    return r;
}

int weir_upstream_answer_read(struct weir_upstream_answer *a, weir_str json)
{
    yyjson_read_err err;
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)json.p, json.n, YYJSON_READ_NOFLAG, a->alc, &err);
    if (!doc && a->alc) { /* too long for the pool, or no JSON */
        doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, YYJSON_READ_NOFLAG, NULL, &err);
    }
    if (!doc) {
        return err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION
                   ? WEIR_E_NOMEM
                   : bad(a, "something that is no JSON");
    }
    a->n_given = 0;
    int r = yyjson_is_obj(yyjson_doc_get_root(doc)) ? read_object(a, yyjson_doc_get_root(doc), json)
                                                    : bad(a, "JSON that is no object");
    a->n_skip = r == WEIR_E_BUSY ? a->n_given : 0;
    weir_arena_reset(a->arena);
    yyjson_doc_free(doc);
    return r;
}

bool weir_upstream_answer_is_whole(const struct weir_upstream_answer *a)
{
    uint64_t all = a->n_choices >= 64 ? UINT64_MAX : (UINT64_C(1) << a->n_choices) - 1;
    return (a->ended & all) == all;
}
