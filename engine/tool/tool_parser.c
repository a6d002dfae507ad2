/* SPDX-License-Identifier: Apache-2.0 */
#include "tool_parser.h"

enum { MAX_NAME_BYTES = 256, MAX_TEXT_BYTES = 16 << 20, MAX_DEPTH = 1000 };

enum field { FIELD_OTHER, FIELD_NAME, FIELD_ARGUMENTS };
enum expects { EXPECT_KEY, EXPECT_COLON, EXPECT_VALUE, EXPECT_IN_VALUE, EXPECT_COMMA };

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void weir_tool_parser_init(struct weir_tool_parser *p, const struct weir_tool_format *format,
                           yyjson_val *tools, uint64_t id_seed, struct weir_tool_sink sink)
{
    *p = (struct weir_tool_parser){
        .format = format, .sink = sink, .tools = tools, .id_seed = id_seed};
    weir_buf_init(&p->text, MAX_TEXT_BYTES);
    weir_buf_init(&p->held, WEIR_TOOL_MAX_HEAD_BYTES + 64);
    weir_buf_init(&p->name, MAX_NAME_BYTES);
}

void weir_tool_parser_finish(struct weir_tool_parser *p)
{
    weir_buf_finish(&p->text);
    weir_buf_finish(&p->held);
    weir_buf_finish(&p->name);
}

static void emit(struct weir_tool_parser *p, const struct weir_tool_event *event)
{
    if (p->text.failed || p->held.failed || p->name.failed) {
        p->code = p->code < 0 ? p->code : WEIR_E_NOMEM;
    }
    if (p->code == 0) {
        int r = p->sink.emit(p->sink.ctx, event);
        p->code = r < 0 ? r : 0;
    }
}

/* Emits the collected text as content or, inside a call, as arguments. */
static void flush(struct weir_tool_parser *p)
{
    if (p->text.len) {
        emit(p, &(struct weir_tool_event){.kind = p->in_arguments ? WEIR_TOOL_EVENT_ARGUMENTS
                                                                  : WEIR_TOOL_EVENT_CONTENT,
                                          .index = p->in_arguments ? p->n_calls - 1 : 0,
                                          .text = weir_buf_view(&p->text)});
        weir_buf_reset(&p->text);
    }
}

static void add_content(struct weir_tool_parser *p, const char *bytes, size_t n)
{
    if (n) {
        weir_buf_add(&p->text, bytes, n);
        p->said = true;
        p->after_call = false;
    }
}

static void feed_text(struct weir_tool_parser *p, char c);

/* What was held is no call: it becomes content. */
static void give_up(struct weir_tool_parser *p)
{
    if (p->held.data) {
        add_content(p, p->held.data, p->held.len);
    }
    weir_buf_reset(&p->held);
    weir_buf_reset(&p->name);
    p->mode = WEIR_TOOL_TEXT;
    p->in_array = false;
}

static bool is_known(const struct weir_tool_parser *p)
{
    size_t i, n;
    yyjson_val *tool;
    yyjson_arr_foreach(p->tools, i, n, tool)
    {
        yyjson_val *name = yyjson_obj_get(yyjson_obj_get(tool, "function"), "name");
        const char *text = yyjson_get_str(name);
        if (text && weir_str_eq((weir_str){text, yyjson_get_len(name)}, weir_buf_view(&p->name))) {
            return true;
        }
    }
    return false;
}

/* Letters and digits from a mix of seed, call and position (splitmix64 finaliser). */
static size_t make_id(const struct weir_tool_parser *p, char out[WEIR_TOOL_ID_BYTES])
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = 0, n_random = p->format->id_chars ? p->format->id_chars : 24;
    if (!p->format->id_chars) {
        memcpy(out, "call_", 5);
        n = 5;
    }
    uint64_t state = p->id_seed + (uint64_t)p->n_calls * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < n_random && n < WEIR_TOOL_ID_BYTES; i++) {
        state += 0x9E3779B97F4A7C15u;
        uint64_t x = state;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        x ^= x >> 31;
        out[n++] = alphabet[x % 62];
    }
    return n;
}

/* Announces the call; what is held from now on is not given out any more. */
static void start_call(struct weir_tool_parser *p)
{
    flush(p);
    char id[WEIR_TOOL_ID_BYTES];
    size_t n = make_id(p, id);
    emit(p, &(struct weir_tool_event){.kind = WEIR_TOOL_EVENT_START,
                                      .index = p->n_calls,
                                      .id = {id, n},
                                      .name = weir_buf_view(&p->name)});
    p->n_calls++;
    p->started = true;
    p->said = true;
}

static void end_call(struct weir_tool_parser *p)
{
    flush(p);
    p->in_arguments = false;
    emit(p, &(struct weir_tool_event){.kind = WEIR_TOOL_EVENT_END, .index = p->n_calls - 1});
    weir_buf_reset(&p->held);
    weir_buf_reset(&p->name);
    p->started = false;
    p->after_call = true;
    p->mode = p->in_array ? WEIR_TOOL_ELEMENTS : WEIR_TOOL_TEXT;
}

/* A started call broke: it stays as it is, the rest is content. */
static void break_off(struct weir_tool_parser *p)
{
    if (!p->started) {
        give_up(p);
        return;
    }
    flush(p);
    p->in_arguments = false;
    p->started = false;
    p->in_array = false;
    weir_buf_reset(&p->held);
    weir_buf_reset(&p->name);
    p->mode = WEIR_TOOL_TEXT;
}

static void give_arguments(struct weir_tool_parser *p, weir_str arguments)
{
    p->in_arguments = true;
    weir_buf_add_str(&p->text, arguments);
    flush(p);
    p->in_arguments = false;
}

static void begin_object(struct weir_tool_parser *p)
{
    p->mode = WEIR_TOOL_OBJECT;
    p->expects = EXPECT_KEY;
    p->depth = 0;
    p->in_string = p->escaped = false;
    p->args_n = 0;
    weir_buf_reset(&p->name);
}

/* Decodes the JSON string held from token_at on; false when it is none. */
static bool decode_string(struct weir_tool_parser *p, struct weir_buf *out)
{
    weir_buf_reset(out);
    yyjson_doc *doc = yyjson_read(p->held.data + p->token_at, p->held.len - p->token_at, 0);
    yyjson_val *v = doc ? yyjson_doc_get_root(doc) : NULL;
    bool ok = yyjson_is_str(v) && yyjson_get_len(v) > 0;
    if (ok) {
        weir_buf_add(out, yyjson_get_str(v), yyjson_get_len(v));
    }
    yyjson_doc_free(doc);
    return ok && !out->failed;
}

static enum field field_of(weir_str key)
{
    if (weir_str_is(key, "\"name\"")) {
        return FIELD_NAME;
    }
    return weir_str_is(key, "\"arguments\"") || weir_str_is(key, "\"parameters\"") ? FIELD_ARGUMENTS
                                                                                   : FIELD_OTHER;
}

/* Moves a string's state over c; true at its closing quote. */
static bool in_string(struct weir_tool_parser *p, char c)
{
    bool closing = c == '"' && !p->escaped;
    p->escaped = c == '\\' && !p->escaped;
    p->in_string = !closing;
    return closing;
}

/* The value that began at token_at is whole (its last byte is held). False: this is no call. */
static bool take_value(struct weir_tool_parser *p)
{
    weir_str value = {p->held.data + p->token_at, p->held.len - p->token_at};
    p->expects = EXPECT_COMMA;
    if (p->started || p->field == FIELD_OTHER) {
        return true;
    }
    if (p->field == FIELD_NAME) {
        return value.p[0] == '"' && decode_string(p, &p->name);
    }
    p->args_at = p->token_at;
    p->args_n = value.n;
    return value.p[0] == '{' || value.p[0] == '"';
}

/* The object is closed. False: this is no call. */
static bool take_object(struct weir_tool_parser *p)
{
    if (p->started) {
        end_call(p);
        return true;
    }
    if (p->name.len == 0 || (p->bare && !is_known(p))) {
        return false;
    }
    start_call(p);
    weir_str args = {p->held.data + p->args_at, p->args_n};
    if (p->args_n == 0) {
        give_arguments(p, (weir_str)WEIR_STR_INIT("{}"));
    } else if (args.p[0] == '{') {
        give_arguments(p, args);
    } else { /* arguments as a JSON text inside a string */
        yyjson_doc *doc = yyjson_read(args.p, args.n, 0);
        weir_str text = {NULL, 0};
        if (doc) {
            yyjson_val *v = yyjson_doc_get_root(doc);
            const char *string = yyjson_get_str(v);
            text = (weir_str){string, string ? yyjson_get_len(v) : 0};
        }
        give_arguments(p, text);
        yyjson_doc_free(doc);
    }
    end_call(p);
    return true;
}

/* The first byte of a field's value. */
static bool open_value(struct weir_tool_parser *p, char c)
{
    p->token_at = p->held.len - 1;
    p->expects = EXPECT_IN_VALUE;
    bool announces = c == '{' && p->field == FIELD_ARGUMENTS && p->name.len && !p->started &&
                     (!p->bare || is_known(p));
    if (announces) {
        start_call(p);
        p->in_arguments = true;
        p->mode = WEIR_TOOL_ARGUMENTS;
        p->depth = 1;
        weir_buf_reset(&p->held);
        weir_buf_add_char(&p->text, c);
        return true;
    }
    if (c == '{' || c == '[') {
        p->depth++;
    } else if (c == '"') {
        p->in_string = true;
    } else {
        return c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n';
    }
    return true;
}

/* A byte inside a value that is not given out; depth counts from 1, the object itself. */
static bool in_value(struct weir_tool_parser *p, char c)
{
    if (p->in_string) {
        return in_string(p, c) && p->depth == 1 ? take_value(p) : true;
    }
    if (c == '"') {
        p->in_string = true;
    } else if (c == '{' || c == '[') {
        return ++p->depth < MAX_DEPTH;
    } else if (c == '}' || c == ']') {
        if (p->depth > 1) {
            return --p->depth > 1 || take_value(p);
        }
        p->held.len--; /* a number or a word ends where the object does */
        bool ok = take_value(p);
        p->held.len++;
        return ok && c == '}' && take_object(p);
    } else if (p->depth == 1 && (c == ',' || is_space(c))) {
        p->held.len--;
        bool ok = take_value(p);
        p->held.len++;
        p->expects = c == ',' ? EXPECT_KEY : EXPECT_COMMA;
        return ok;
    }
    return true;
}

/* One byte of a call's object, held already. False: this is no call. */
static bool scan_object(struct weir_tool_parser *p, char c)
{
    if (p->expects == EXPECT_IN_VALUE) {
        return in_value(p, c);
    }
    if (p->in_string) { /* a key */
        if (in_string(p, c)) {
            p->field = field_of((weir_str){p->held.data + p->token_at, p->held.len - p->token_at});
            p->expects = EXPECT_COLON;
        }
        return true;
    }
    if (is_space(c)) {
        return true;
    }
    switch (p->expects) {
    case EXPECT_KEY:
        if (p->depth == 0) {
            p->depth = 1;
            return c == '{';
        }
        p->token_at = p->held.len - 1;
        p->in_string = c == '"';
        return c == '"';
    case EXPECT_COLON: p->expects = EXPECT_VALUE; return c == ':';
    case EXPECT_VALUE: return open_value(p, c);
    default: p->expects = EXPECT_KEY; return c == ',' || (c == '}' && take_object(p));
    }
}

static void feed_object(struct weir_tool_parser *p, char c)
{
    bool fits = p->held.len < WEIR_TOOL_MAX_HEAD_BYTES;
    weir_buf_add_char(&p->held, c);
    if (p->held.failed || (fits && scan_object(p, c))) {
        return;
    }
    p->held.len--;
    break_off(p);
    feed_text(p, c); /* it may begin a marker */
}

static void feed_arguments(struct weir_tool_parser *p, char c)
{
    weir_buf_add_char(&p->text, c);
    if (p->in_string) {
        (void)in_string(p, c);
    } else if (c == '"') {
        p->in_string = true;
    } else if (c == '{' || c == '[') {
        p->depth++;
    } else if ((c == '}' || c == ']') && --p->depth == 0) {
        flush(p);
        p->in_arguments = false;
        if (p->expects == EXPECT_IN_VALUE) { /* other fields may follow in the call's object */
            p->mode = WEIR_TOOL_OBJECT;
            p->expects = EXPECT_COMMA;
            p->depth = 1;
        } else {
            end_call(p); /* name[ARGS]{...}: no object around */
        }
    }
}

/* The name of name[ARGS]{ or name[CALL_ID]id[ARGS]{, held behind the marker up to the brace. */
static bool take_name_text(struct weir_tool_parser *p)
{
    size_t at = p->token_at, end;
    while (at < p->held.len && is_space(p->held.data[at])) {
        at++;
    }
    for (end = at; end < p->held.len; end++) {
        char c = p->held.data[end];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-' || c == '.';
        if (!word) {
            break;
        }
    }
    weir_buf_reset(&p->name);
    weir_buf_add(&p->name, p->held.data + at, end - at);
    return end > at && end - at < MAX_NAME_BYTES;
}

static void feed_name_text(struct weir_tool_parser *p, char c)
{
    if (c != '{') {
        if (c == '\n' || p->held.len > MAX_NAME_BYTES) {
            give_up(p);
            feed_text(p, c);
        } else {
            weir_buf_add_char(&p->held, c);
        }
        return;
    }
    if (!take_name_text(p)) {
        give_up(p);
        feed_text(p, c);
        return;
    }
    start_call(p);
    weir_buf_reset(&p->held);
    p->in_arguments = true;
    p->in_string = p->escaped = false;
    p->expects = EXPECT_KEY;
    p->mode = WEIR_TOOL_ARGUMENTS;
    p->depth = 1;
    weir_buf_add_char(&p->text, c);
}

/* Behind a marker or a separator: white space, then a call. */
static void feed_begun(struct weir_tool_parser *p, char c)
{
    const struct weir_tool_format *f = p->format;
    if (c == '{') {
        begin_object(p);
        feed_object(p, c);
    } else if (is_space(c) && p->held.len < MAX_NAME_BYTES) {
        weir_buf_add_char(&p->held, c);
    } else if (c == '[' && !p->in_array && (f->array || f->bare)) {
        weir_buf_add_char(&p->held, c);
        p->in_array = true;
    } else if (f->named && !p->in_array) {
        p->mode = WEIR_TOOL_NAME_TEXT;
        feed_name_text(p, c);
    } else {
        give_up(p);
        feed_text(p, c);
    }
}

/* Behind a call in an array. */
static void feed_elements(struct weir_tool_parser *p, char c)
{
    if (is_space(c)) {
        return;
    }
    if (c == ',') {
        weir_buf_add_char(&p->held, c);
        p->mode = WEIR_TOOL_BEGUN;
        return;
    }
    p->in_array = false;
    p->mode = WEIR_TOOL_TEXT;
    if (c != ']') {
        feed_text(p, c);
    }
}

/* White space (and separators) at the start and behind calls is dropped when a call follows. */
static size_t leading_filler(const struct weir_tool_parser *p)
{
    size_t n = 0;
    if (p->said && !p->after_call) {
        return 0;
    }
    bool separators = p->after_call && p->format->separated;
    while (n < p->held.len &&
           (is_space(p->held.data[n]) || (separators && p->held.data[n] == ';'))) {
        n++;
    }
    return n;
}

static bool is_prefix(weir_str s, const char *marker)
{
    return s.n < strlen(marker) && memcmp(s.p, marker, s.n) == 0;
}

/* Decides about what is held, `filler` bytes of it filler. False: its first byte is content. */
static bool settle(struct weir_tool_parser *p, size_t filler)
{
    const struct weir_tool_format *f = p->format;
    weir_str rest = {p->held.data + filler, p->held.len - filler};
    if (rest.n == 0) {
        return true;
    }
    if (p->after_call && weir_str_is(rest, f->end)) {
        weir_buf_reset(&p->held);
        return true;
    }
    if (weir_str_is(rest, f->begin)) {
        p->bare = false;
        p->mode = WEIR_TOOL_BEGUN;
        p->token_at = p->held.len;
        return true;
    }
    bool first_call = !p->said, next_call = p->after_call && f->separated;
    if (f->bare && (first_call || next_call) && (rest.p[0] == '{' || rest.p[0] == '[')) {
        char c = rest.p[0];
        p->held.len--; /* the bracket is all that rest holds */
        p->bare = true;
        p->mode = WEIR_TOOL_BEGUN;
        feed_begun(p, c);
        return true;
    }
    return is_prefix(rest, f->begin) || (p->after_call && is_prefix(rest, f->end));
}

static void feed_text(struct weir_tool_parser *p, char c)
{
    weir_buf_add_char(&p->held, c);
    while (p->held.len && p->mode == WEIR_TOOL_TEXT && !p->held.failed) {
        size_t filler = leading_filler(p);
        if (settle(p, filler)) {
            break;
        }
        size_t n = filler ? filler : 1;
        add_content(p, p->held.data, n);
        weir_buf_consume(&p->held, n);
    }
}

int weir_tool_parser_feed(struct weir_tool_parser *p, weir_str piece)
{
    for (size_t i = 0; i < piece.n && p->code == 0; i++) {
        char c = piece.p[i];
        switch (p->mode) {
        case WEIR_TOOL_TEXT: feed_text(p, c); break;
        case WEIR_TOOL_BEGUN: feed_begun(p, c); break;
        case WEIR_TOOL_NAME_TEXT: feed_name_text(p, c); break;
        case WEIR_TOOL_OBJECT: feed_object(p, c); break;
        case WEIR_TOOL_ARGUMENTS: feed_arguments(p, c); break;
        case WEIR_TOOL_ELEMENTS: feed_elements(p, c); break;
        }
        if (p->text.failed || p->held.failed || p->name.failed) {
            p->code = WEIR_E_NOMEM;
        }
    }
    flush(p);
    return p->code;
}

int weir_tool_parser_end(struct weir_tool_parser *p)
{
    size_t filler = leading_filler(p);
    weir_str rest = {NULL, 0};
    if (p->held.data) {
        rest = (weir_str){p->held.data + filler, p->held.len - filler};
    }
    bool behind_call = p->mode == WEIR_TOOL_TEXT && p->after_call &&
                       (rest.n == 0 || is_prefix(rest, p->format->end));
    if (p->started) {
        break_off(p);
    } else if (behind_call) {
        weir_buf_reset(&p->held); /* cut off inside the end marker */
    } else {
        give_up(p);
    }
    flush(p);
    return p->code;
}
