/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_repl.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/lua_stage.h"

enum { MAX_INPUT_BYTES = LUA_SANDBOX_MAX_SCRIPT_BYTES, MAX_OUTPUT_BYTES = 4096 };

static void set_globals(lua_State *L)
{
    lua_api_setup(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "weir.req");
    lua_setfield(L, -2, "req");
}

static int make_sandbox(weir_str text, const char *name, const struct lua_limits *limits,
                        struct lua_sandbox **ret_sandbox)
{
    const struct lua_script_source source = {.text = text, .name = name, .setup = set_globals};
    char error[LUA_SANDBOX_ERROR_BYTES];
    int rc = lua_sandbox_create(limits, &source, ret_sandbox, error);
    if (rc < 0) {
        fprintf(stderr, "weir lua: %s\n", error);
    }
    return rc;
}

/* One input of one or more lines. False: it goes on. */
static bool evaluate(struct lua_stage *s, struct lua_sandbox **sandbox, weir_str input)
{
    struct lua_call call = {.services = &s->services,
                            .sandbox = *sandbox,
                            .hook = LUA_ON_REQUEST,
                            .never_waits = true,
                            .req = (weir_req *)s,
                            .notes = &s->notes,
                            .tenant = s->fields[WEIR_FIELD_TENANT]};
    char out[MAX_OUTPUT_BYTES], error[LUA_SANDBOX_ERROR_BYTES];
    bool incomplete = false;
    int rc = lua_sandbox_evaluate(*sandbox, input, &call, out, sizeof(out), &incomplete, error);
    lua_operation_finish(&call.op);
    if (rc < 0 && incomplete) {
        return false;
    }
    if (rc < 0) {
        printf("%s\n", error);
    } else if (*out) {
        puts(out);
    }
    if (lua_sandbox_is_spent(*sandbox)) {
        puts("(the state is spent: begin again)");
    }
    return true;
}

static void read_lines(struct lua_stage *s, struct lua_sandbox **sandbox, bool asks)
{
    char *input = malloc(MAX_INPUT_BYTES);
    size_t n = 0;
    while (input) {
        if (asks) {
            fputs(n ? ">> " : "> ", stdout);
            (void)fflush(stdout);
        }
        if (!fgets(input + n, (int)(MAX_INPUT_BYTES - n), stdin)) {
            break;
        }
        n += strlen(input + n);
        if (evaluate(s, sandbox, (weir_str){input, n}) || n + 2 >= MAX_INPUT_BYTES) {
            n = 0;
        }
        if (lua_sandbox_is_spent(*sandbox)) {
            break;
        }
    }
    if (n) { /* incomplete at the end */
        printf("%.*s: unfinished\n", (int)strcspn(input, "\n"), input);
    }
    free(input);
}

int lua_repl_run(const char *path)
{
    static const char nothing[] = "function on_request() end";
    size_t n = sizeof(nothing) - 1;
    char *text = path ? lua_stage_read_file(path, &n) : strdup(nothing);
    char error[LUA_SANDBOX_ERROR_BYTES], name[1024];
    struct lua_stage stage;
    struct lua_sandbox *sandbox = NULL;
    if (!text) {
        return WEIR_EXIT_BAD;
    }
    (void)snprintf(name, sizeof(name), "@%s", path ? path : "repl");
    int rc = lua_stage_init(&stage, (weir_str){text, n}, name, error);
    if (rc < 0) {
        fprintf(stderr, "weir lua: %s\n", error);
    } else {
        stage.prints_logs = true;
        rc = make_sandbox((weir_str){text, n}, name, &stage.version->limits, &sandbox);
    }
    if (rc == 0) {
        bool asks = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        if (asks) {
            puts("req is a chat of tenant \"test\". End with Ctrl-D.");
        }
        read_lines(&stage, &sandbox, asks);
        if (asks) {
            putchar('\n');
        }
    }
    lua_sandbox_destroy(sandbox);
    lua_stage_finish(&stage);
    free(text);
    return rc < 0 ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}
