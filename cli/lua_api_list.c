/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_api_list.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lua_test_api.h"

static void add(struct lua_api_list *list, const char *parent, const char *name)
{
    if (list->n < LUA_API_LIST_MAX) {
        (void)snprintf(list->names[list->n++], LUA_API_NAME_BYTES, "%s%s%s", parent,
                       *parent ? "." : "", name);
    }
}

/* What stands behind the read-only proxy on top, or the object's field table; else the table
 * itself. Leaves one value in its place. */
static void open_proxy(lua_State *L)
{
    if (lua_getmetatable(L, -1)) {
        lua_getfield(L, -1, "__index");
        if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1)) {
            lua_remove(L, -2);
        }
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
}

/* The fields of the table on top, and of the tables in it: two levels (weir.kv.get). */
static void walk(lua_State *L, struct lua_api_list *list, const char *parent, int depth)
{
    open_proxy(L);
    if (!lua_istable(L, -1)) {
        return;
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name = lua_tostring(L, -2);
        bool is_table = lua_istable(L, -1);
        char path[LUA_API_NAME_BYTES];
        (void)snprintf(path, sizeof(path), "%s%s%s", parent, *parent ? "." : "", name);
        if (!is_table) {
            add(list, parent, name);
        } else if (depth < 3) {
            lua_pushvalue(L, -1);
            walk(L, list, path, depth + 1);
            lua_pop(L, 1);
        }
    }
}

static int gather_tests(lua_State *L)
{
    struct lua_api_list *list = lua_sandbox_arg(L);
    lua_settop(L, 0);
    lua_environment_push(L);
    lua_test_api_setup(L);
    lua_settop(L, 1);
    walk(L, list, "", 0);
    return 0;
}

static int gather(lua_State *L)
{
    struct lua_api_list *list = lua_sandbox_arg(L);
    static const char *const objects[] = {"req", "chunk", "usage"};
    lua_settop(L, 0);
    lua_environment_push(L);
    lua_api_setup(L);
    lua_settop(L, 1);
    walk(L, list, "", 0);
    lua_settop(L, 0);
    for (size_t i = 0; i < 3; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "weir.%s", objects[i]);
        lua_getfield(L, LUA_REGISTRYINDEX, key);
        walk(L, list, objects[i], 1);
        lua_settop(L, 0);
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

int lua_api_list_read(struct lua_api_list *list, bool tests)
{
    static const struct lua_limits limits = {.instructions = 1000000,
                                             .cpu_us = 1000000,
                                             .live_bytes = 4 * 1024 * 1024,
                                             .allocated_bytes = 32 * 1024 * 1024};
    const struct lua_script_source source = {.name = "=api"};
    struct lua_sandbox *s = NULL;
    char error[LUA_SANDBOX_ERROR_BYTES];
    list->n = 0;
    int rc = lua_sandbox_create(&limits, &source, &s, error);
    rc = rc < 0 ? rc : lua_sandbox_protect(s, tests ? gather_tests : gather, list, error);
    lua_sandbox_destroy(s);
    qsort(list->names, list->n, sizeof(list->names[0]), compare);
    return rc;
}

bool lua_api_list_has(const struct lua_api_list *list, const char *name)
{
    return bsearch(name, list->names, list->n, sizeof(list->names[0]), compare) != NULL;
}
