/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a policy keeps with a request between its hooks: weir.ctx and the tags.
 *
 * Why not in Lua: a request outlives a state (budgets, versions), and must not keep one alive.
 * Ownership: the request's; made when first written. Threads: the request's loop.
 * Bounds: below; WEIR_E_TOOBIG beyond them. */
#include <stdbool.h>

#include "weir/types.h"

enum {
    LUA_NOTES_MAX = 16, /* of ctx */
    LUA_NOTES_MAX_TAGS = 8,
    LUA_NOTE_NAME_BYTES = 32, /* with the NUL */
    LUA_NOTE_TEXT_BYTES = 1024,
    LUA_TAG_BYTES = 64,
    LUA_TAGS_JSON_BYTES = LUA_NOTES_MAX_TAGS * (LUA_NOTE_NAME_BYTES + LUA_TAG_BYTES + 8) + 8,
};

struct lua_note {
    char name[LUA_NOTE_NAME_BYTES];
    enum { LUA_NOTE_NUMBER, LUA_NOTE_INTEGER, LUA_NOTE_BOOLEAN, LUA_NOTE_TEXT } type;
    double number;
    int64_t integer;
    char *text; /* owned */
    size_t n;
};

struct lua_tag {
    char name[LUA_NOTE_NAME_BYTES], value[LUA_TAG_BYTES + 1];
};

struct lua_notes {
    struct lua_note *list; /* of ctx: [LUA_NOTES_MAX]; NULL until the first */
    uint32_t n;
    uint32_t n_tags;
    struct lua_tag tags[LUA_NOTES_MAX_TAGS];
};

void lua_notes_destroy(struct lua_notes *notes);                                     /* NULL ok */
const struct lua_note *lua_notes_find(const struct lua_notes *notes, weir_str name); /* NULL ok */
/* note->text is copied; its name is ignored. */
int lua_notes_put(struct lua_notes **notes, weir_str name, const struct lua_note *note);
void lua_notes_remove(struct lua_notes *notes, weir_str name);
/* Name: [a-z][a-z0-9_]*, at most 31; value: printable, no quotes or backslashes, at most 64. */
int lua_notes_tag(struct lua_notes **notes, weir_str name, weir_str value);
weir_str lua_notes_tags_json(const struct lua_notes *notes, char out[LUA_TAGS_JSON_BYTES]);
