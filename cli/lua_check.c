/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_check.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/lua_api_list.h"
#include "cli/lua_code.h"
#include "cli/lua_stage.h"
#include "core/config/nearest.h"

enum { MAX_CODE_BYTES = 4 * 1024 * 1024 };

struct check {
    const char *path;
    weir_str text;
    const struct lua_api_list *api;
    yyjson_mut_doc *json; /* NULL: print lines */
    uint32_t n_findings;
};

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Where a word stands in a line, from 1; 1 when it is not found. */
static int column_of(weir_str text, int line, weir_str word)
{
    const char *p = text.p, *end = text.p + text.n;
    for (int i = 1; i < line && p; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    const char *stop = p ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    stop = stop ? stop : end;
    for (const char *at = p; at && word.n && (size_t)(stop - at) >= word.n; at++) {
        bool begins = at == p || (!is_name_char(at[-1]) && at[-1] != '.' && at[-1] != ':');
        bool ends = at + word.n == stop || !is_name_char(at[word.n]) || !is_name_char(*word.p);
        if (begins && ends && memcmp(at, word.p, word.n) == 0) {
            return (int)(at - p) + 1;
        }
    }
    return 1;
}

static void report(struct check *c, int line, int column, const char *message)
{
    c->n_findings++;
    if (!c->json) {
        printf("%s:%d:%d: %s\n", c->path, line, column, message);
        return;
    }
    yyjson_mut_doc *d = c->json;
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, yyjson_mut_doc_get_root(d));
    (void)yyjson_mut_obj_add_strcpy(d, o, "file", c->path);
    (void)yyjson_mut_obj_add_int(d, o, "line", line);
    (void)yyjson_mut_obj_add_int(d, o, "column", column);
    (void)yyjson_mut_obj_add_strcpy(d, o, "message", message);
}

/* "FILE:12: what near 'x'", taken apart. */
static void report_error(struct check *c, const char *error)
{
    size_t n = strlen(c->path);
    const char *at = strncmp(error, c->path, n) == 0 && error[n] == ':' ? error + n + 1 : NULL;
    char *rest = NULL;
    int line = at ? (int)strtol(at, &rest, 10) : 1;
    const char *message = rest && *rest == ':' ? rest + 2 : error;
    const char *near = strstr(message, "near '");
    weir_str word = {near ? near + 6 : NULL, near ? strcspn(near + 6, "'") : 0};
    report(c, line, column_of(c->text, line, word), message);
}

/* ---- names ---- */

static void offer_all(const struct lua_api_list *api, const char *parent, struct weir_nearest *near)
{
    size_t n = strlen(parent);
    for (size_t i = 0; i < api->n; i++) {
        const char *name = api->names[i];
        if (strncmp(name, parent, n) == 0) {
            weir_nearest_offer(near, (weir_str){name + n, strcspn(name + n, ".")});
        }
    }
}

static bool is_set_somewhere(const struct lua_code_uses *uses, weir_str name)
{
    for (size_t i = 0; i < uses->n; i++) {
        if (uses->list[i].is_set && weir_str_eq(uses->list[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Is there a name that begins so? "weir" is no entry, "weir.deny" is. */
static bool is_known(const struct lua_api_list *api, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < api->n; i++) {
        if (strncmp(api->names[i], name, n) == 0 &&
            (api->names[i][n] == '\0' || api->names[i][n] == '.')) {
            return true;
        }
    }
    return false;
}

static void check_name(struct check *c, const struct lua_code_use *use, weir_str word,
                       const char *parent, const char *what)
{
    char message[320];
    struct weir_nearest near;
    weir_nearest_init(&near, word);
    offer_all(c->api, parent, &near);
    (void)snprintf(message, sizeof(message), "%s '%s%.*s'%s%.*s%s", what, parent, (int)word.n,
                   word.p, near.best.n ? ": did you mean '" : "", (int)near.best.n,
                   near.best.n ? near.best.p : "", near.best.n ? "'?" : "");
    report(c, use->line, column_of(c->text, use->line, use->name), message);
}

static void check_use(struct check *c, const struct lua_code_uses *uses,
                      const struct lua_code_use *use)
{
    char name[LUA_API_NAME_BYTES], path[2 * LUA_API_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%.*s", (int)use->name.n, use->name.p);
    (void)snprintf(path, sizeof(path), "%s.%.*s", name, (int)use->field.n,
                   use->field.p ? use->field.p : "");
    bool own = is_set_somewhere(uses, use->name);
    if (use->is_set && use->in_function) {
        char message[160];
        (void)snprintf(message, sizeof(message),
                       "global '%s' is set in a function: hooks cannot set globals, use local",
                       name);
        report(c, use->line, column_of(c->text, use->line, use->name), message);
    } else if (!use->is_set && !own && !is_known(c->api, name)) {
        check_name(c, use, use->name, "", "unknown global");
    } else if (!use->is_set && !own && use->field.p && !is_known(c->api, path)) {
        path[use->name.n + 1] = '\0';
        check_name(c, use, use->field, path, "there is no");
    }
}

/* A function at the top level whose name is almost that of a hook. */
static void check_hook_name(struct check *c, const struct lua_code_use *use)
{
    struct weir_nearest near;
    char message[160];
    weir_nearest_init(&near, use->name);
    for (int i = 0; i < LUA_HOOK__COUNT; i++) {
        weir_nearest_offer(&near, weir_str_from(lua_hook_names[i]));
        if (weir_str_is(use->name, lua_hook_names[i])) {
            return;
        }
    }
    if (use->is_set && near.best.n) {
        (void)snprintf(message, sizeof(message), "'%.*s' is not a hook: did you mean '%.*s'?",
                       (int)use->name.n, use->name.p, (int)near.best.n, near.best.p);
        report(c, use->line, column_of(c->text, use->line, use->name), message);
    }
}

static int compare_lines(const void *a, const void *b)
{
    const struct lua_code_use *x = a, *y = b;
    return (x->line > y->line) - (x->line < y->line);
}

static int append(lua_State *L, const void *p, size_t n, void *arg)
{
    (void)L;
    struct weir_buf *buf = arg;
    weir_buf_add_str(buf, (weir_str){p, n});
    return buf->failed;
}

/* The chunk is not run: only what the compiler made of it is read. */
static void check_names(struct check *c)
{
    struct weir_buf code;
    struct lua_code_uses uses;
    lua_State *L = luaL_newstate();
    weir_buf_init(&code, MAX_CODE_BYTES);
    if (L && luaL_loadbufferx(L, c->text.p, c->text.n, "=", "t") == LUA_OK &&
        lua_dump(L, append, &code, 0) == 0 && lua_code_read(weir_buf_view(&code), &uses) == 0) {
        if (uses.n) {
            qsort(uses.list, uses.n, sizeof(*uses.list), compare_lines);
        }
        for (size_t i = 0; i < uses.n; i++) {
            check_use(c, &uses, &uses.list[i]);
            check_hook_name(c, &uses.list[i]);
        }
        lua_code_uses_finish(&uses);
    }
    if (L) {
        lua_close(L);
    }
    weir_buf_finish(&code);
}

static bool is_test(const char *path)
{
    static const char end[] = "_test.lua";
    size_t n = strlen(path), m = sizeof(end) - 1;
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* Compiles it and, a policy, runs its top level. */
static int load(const struct check *c, const char *name, char error[LUA_SANDBOX_ERROR_BYTES])
{
    struct lua_stage stage;
    if (!is_test(c->path)) {
        int rc = lua_stage_init(&stage, c->text, name, error);
        lua_stage_finish(&stage);
        return rc;
    }
    lua_State *L = luaL_newstate();
    bool good = L && luaL_loadbufferx(L, c->text.p, c->text.n, name, "t") == LUA_OK;
    const char *why = L && !good ? lua_tostring(L, -1) : "";
    (void)snprintf(error, LUA_SANDBOX_ERROR_BYTES, "%s", why ? why : "out of memory");
    if (L) {
        lua_close(L);
    }
    return good ? 0 : WEIR_E_FORMAT;
}

static bool check_file(struct check *c)
{
    size_t n;
    char error[LUA_SANDBOX_ERROR_BYTES], name[1024];
    char *text = lua_stage_read_file(c->path, &n);
    if (!text) {
        return false;
    }
    c->text = (weir_str){text, n};
    (void)snprintf(name, sizeof(name), "@%s", c->path);
    int rc = load(c, name, error);
    uint32_t before = c->n_findings;
    check_names(c); /* nothing when it does not compile */
    if (rc < 0 && c->n_findings == before) {
        report_error(c, error);
    }
    free(text);
    return true;
}

int lua_check_files(char **paths, int n, bool json)
{
    struct lua_api_list *api = calloc(2, sizeof(*api)); /* of policies, of tests */
    yyjson_mut_doc *doc = json ? yyjson_mut_doc_new(NULL) : NULL;
    struct check c = {.json = doc};
    bool read =
        api && lua_api_list_read(&api[0], false) == 0 && lua_api_list_read(&api[1], true) == 0;
    if (doc) {
        yyjson_mut_doc_set_root(doc, yyjson_mut_arr(doc));
    }
    for (int i = 0; i < n && read; i++) {
        uint32_t before = c.n_findings;
        c.path = paths[i];
        c.api = &api[is_test(paths[i])];
        read = check_file(&c);
        if (read && !json && c.n_findings == before) {
            printf("%s: good\n", paths[i]);
        }
    }
    if (doc) {
        char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
        puts(text ? text : "[]");
        free(text);
        yyjson_mut_doc_free(doc);
    }
    free(api);
    return !read || c.n_findings ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}
