/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/http_call.h"

#define DEFAULT_URL "http://127.0.0.1:8080"

enum { MAX_TALK_BYTES = 8 * 1024 * 1024, MAX_EVENT_BYTES = 4 * 1024 * 1024, MAX_URL_BYTES = 1024 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

struct chat {
    const char *model, *url, *token, *system;
    const char *temperature, *max_tokens;
    bool on_terminal;
    struct weir_buf messages; /* JSON objects, comma-separated */
    struct weir_buf events;   /* what came and is not a whole line yet */
    struct weir_buf answer;   /* text of the answer so far */
    bool failed;              /* the answer was an error, already shown */
};

static void add_message(struct chat *c, const char *role, weir_str content)
{
    if (c->messages.len) {
        weir_buf_add_char(&c->messages, ',');
    }
    weir_buf_printf(&c->messages, "{\"role\":\"%s\",\"content\":", role);
    weir_buf_add_json_str(&c->messages, content);
    weir_buf_add_char(&c->messages, '}');
}

static void start_over(struct chat *c)
{
    weir_buf_reset(&c->messages);
    if (c->system) {
        add_message(c, "system", weir_str_from(c->system));
    }
}

static void show_error(struct chat *c, yyjson_val *root)
{
    const char *message = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "error"), "message"));
    fprintf(stderr, "weir chat: %s\n", message ? message : "the server answered with an error");
    c->failed = true;
}

static void take_json(struct chat *c, weir_str text)
{
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_obj_get(root, "error")) {
        show_error(c, root);
    }
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    yyjson_val *content = yyjson_obj_get(yyjson_obj_get(choice, "delta"), "content");
    if (yyjson_is_str(content)) {
        weir_str piece = {yyjson_get_str(content), yyjson_get_len(content)};
        weir_buf_add_str(&c->answer, piece);
        (void)fwrite(piece.p, 1, piece.n, stdout);
        (void)fflush(stdout);
    }
    yyjson_doc_free(doc);
}

/* Server-sent events, or one JSON object when the server refused. */
static int take_piece(void *arg, weir_str piece)
{
    struct chat *c = arg;
    weir_buf_add_str(&c->events, piece);
    if (c->events.failed) {
        return WEIR_E_TOOBIG;
    }
    char *newline;
    while (c->events.len && (newline = memchr(c->events.data, '\n', c->events.len)) != NULL) {
        size_t n = (size_t)(newline - c->events.data);
        if (n > 6 && memcmp(c->events.data, "data: {", 7) == 0) {
            take_json(c, (weir_str){c->events.data + 6, n - 6});
        }
        weir_buf_consume(&c->events, n + 1);
    }
    return 0;
}

static void build_body(const struct chat *c, struct weir_buf *body)
{
    weir_buf_add_text(body, "{\"stream\":true,");
    if (c->model) {
        weir_buf_add_text(body, "\"model\":");
        weir_buf_add_json_str(body, weir_str_from(c->model));
        weir_buf_add_char(body, ',');
    }
    if (c->temperature) {
        weir_buf_printf(body, "\"temperature\":%s,", c->temperature);
    }
    if (c->max_tokens) {
        weir_buf_printf(body, "\"max_tokens\":%s,", c->max_tokens);
    }
    weir_buf_add_text(body, "\"messages\":[");
    weir_buf_add_str(body, weir_buf_view(&c->messages));
    weir_buf_add_text(body, "]}");
}

/* Sends the talk so far and prints the answer as it comes. */
static int ask(struct chat *c)
{
    char url[MAX_URL_BYTES];
    (void)snprintf(url, sizeof(url), "%s/v1/chat/completions", c->url);
    struct weir_buf body;
    weir_buf_init(&body, MAX_TALK_BYTES);
    build_body(c, &body);
    weir_buf_reset(&c->events);
    weir_buf_reset(&c->answer);
    c->failed = false;
    interrupted = 0;
    const struct weir_http_call post = {.url = url,
                                        .token = c->token,
                                        .body = weir_buf_view(&body),
                                        .on_body = take_piece,
                                        .arg = c,
                                        .stop = &interrupted};
    struct weir_error err = {0};
    int status = 0;
    int r = body.failed ? weir_error_set(&err, WEIR_E_TOOBIG, "the talk is too long; /clear it")
                        : weir_http_call(&post, &status, &err);
    weir_buf_finish(&body);
    if (c->answer.len) {
        putchar('\n');
    }
    if (r == 0 && c->events.len) { /* not an event stream: an error body */
        take_json(c, weir_buf_view(&c->events));
    }
    if (r == WEIR_E_CANCELLED) {
        fputs("(stopped)\n", stderr);
        r = 0;
    } else if (r < 0) {
        fprintf(stderr, "weir chat: %s\n", err.message);
    } else if (c->failed || status != 200) {
        r = WEIR_E_ARG;
    }
    add_message(c, "assistant", weir_buf_view(&c->answer));
    return r;
}

/* True when the line was a command; *ret_quit tells the end. */
static bool run_slash(struct chat *c, weir_str line, bool *ret_quit)
{
    if (weir_str_is(line, "/quit") || weir_str_is(line, "/exit")) {
        *ret_quit = true;
    } else if (weir_str_is(line, "/clear")) {
        start_over(c);
        fputs("(forgotten)\n", stderr);
    } else if (weir_str_is(line, "/help")) {
        fputs("/clear forgets the talk, /quit leaves; Ctrl-C stops an answer\n", stderr);
    } else {
        return false;
    }
    return true;
}

static int talk(struct chat *c)
{
    char *line = NULL;
    size_t cap = 0;
    int last = 0;
    bool quit = false;
    while (!quit) {
        if (c->on_terminal) {
            fputs("> ", stderr);
        }
        errno = 0;
        ssize_t n = getline(&line, &cap, stdin);
        if (n < 0 && errno == EINTR) {
            clearerr(stdin);
            fputc('\n', stderr);
            continue;
        }
        if (n < 0) {
            break;
        }
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
            n--;
        }
        weir_str text = {line, (size_t)n};
        if (n == 0 || run_slash(c, text, &quit)) {
            continue;
        }
        add_message(c, "user", text);
        last = ask(c);
        if (last < 0 && !c->on_terminal) {
            break;
        }
        if (last < 0) {
            start_over(c); /* what was refused would be refused again */
        }
    }
    free(line);
    return last;
}

static int run(const struct weir_args *args)
{
    struct chat c = {
        .model = args->n_operands ? args->operands[0] : NULL,
        .url = weir_args_value(args, "url"),
        .token = weir_args_value(args, "key"),
        .system = weir_args_value(args, "system"),
        .temperature = weir_args_value(args, "temperature"),
        .max_tokens = weir_args_value(args, "max-tokens"),
        .on_terminal = isatty(STDIN_FILENO),
    };
    c.url = c.url ? c.url : DEFAULT_URL;
    c.token = c.token ? c.token : getenv("WEIR_API_KEY");
    weir_buf_init(&c.messages, MAX_TALK_BYTES);
    weir_buf_init(&c.events, MAX_EVENT_BYTES);
    weir_buf_init(&c.answer, MAX_TALK_BYTES);
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    start_over(&c);
    if (c.on_terminal) {
        fprintf(stderr, "talking to %s at %s; /help for help, /quit to leave\n",
                c.model ? c.model : "the only model", c.url);
    }
    int r = talk(&c);
    if (r == WEIR_E_IO) {
        fprintf(stderr,
                "weir chat: is the daemon running? start it with: scripts/run, or weir serve "
                "-c FILE\n");
    }
    weir_buf_finish(&c.messages);
    weir_buf_finish(&c.events);
    weir_buf_finish(&c.answer);
    return r < 0 ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}

static const struct weir_option options[] = {
    {"url", 0, "URL", "the daemon's address; default " DEFAULT_URL},
    {"key", 0, "KEY", "API key; default $WEIR_API_KEY"},
    {"system", 0, "TEXT", "a system message to begin with"},
    {"temperature", 0, "N", "0 (always the likeliest token) to 2"},
    {"max-tokens", 0, "N", "longest answer"},
    {0},
};

extern const struct weir_command weir_cmd_chat;
const struct weir_command weir_cmd_chat = {
    .name = "chat",
    .summary = "Talk to a model of a running daemon in the terminal",
    .operands = "[MODEL]",
    .max_operands = 1,
    .options = options,
    .details = "Reads a message a line and prints the answer as it comes. Ctrl-C stops an answer,\n"
               "/clear forgets the talk, /quit or Ctrl-D leaves.\n",
    .examples = "  weir chat\n"
                "  weir chat smollm2 --system 'Answer in one sentence.'\n"
                "  echo 'Say hello.' | weir chat smollm2 --temperature 0\n",
    .run = run,
};
