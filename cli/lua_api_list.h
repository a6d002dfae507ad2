/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The names that a policy can use, read from the sandbox itself: globals ("ipairs", "weir.kv.get",
 * "string.find") and the fields of req, chunk and usage.
 * Ownership: the list owns its texts. Threads: one. */
#include <stdbool.h>
#include <stddef.h>

enum { LUA_API_LIST_MAX = 256, LUA_API_NAME_BYTES = 48 };

struct lua_api_list {
    char names[LUA_API_LIST_MAX][LUA_API_NAME_BYTES]; /* sorted */
    size_t n;
};

/* Of policies, or with `tests` of their test files. */
int lua_api_list_read(struct lua_api_list *list, bool tests);
bool lua_api_list_has(const struct lua_api_list *list, const char *name);
