/* SPDX-License-Identifier: Apache-2.0 */
#include "notes.h"

#include <stdlib.h>

void lua_notes_destroy(struct lua_notes *notes)
{
    for (uint32_t i = 0; notes && i < notes->n; i++) {
        free(notes->list[i].text);
    }
    if (notes) {
        free(notes->list);
    }
    free(notes);
}

static struct lua_note *find(struct lua_notes *notes, weir_str name)
{
    for (uint32_t i = 0; notes && i < notes->n; i++) {
        if (weir_str_is(name, notes->list[i].name)) {
            return &notes->list[i];
        }
    }
    return NULL;
}

const struct lua_note *lua_notes_find(const struct lua_notes *notes, weir_str name)
{
    return find((struct lua_notes *)notes, name);
}

/* Without clearing what is not counted: every tagged request pays for it. */
static bool make(struct lua_notes **notes)
{
    if (!*notes && (*notes = malloc(sizeof(**notes)))) {
        (*notes)->list = NULL;
        (*notes)->n = (*notes)->n_tags = 0;
    }
    return *notes != NULL;
}

static bool make_list(struct lua_notes **notes)
{
    if (make(notes) && !(*notes)->list) {
        (*notes)->list = malloc(LUA_NOTES_MAX * sizeof(*(*notes)->list));
    }
    return *notes && (*notes)->list;
}

int lua_notes_put(struct lua_notes **notes, weir_str name, const struct lua_note *note)
{
    if (name.n == 0 || name.n >= LUA_NOTE_NAME_BYTES || note->n > LUA_NOTE_TEXT_BYTES) {
        return WEIR_E_TOOBIG;
    }
    char *text = NULL;
    if (!make_list(notes) || (note->type == LUA_NOTE_TEXT && !(text = malloc(note->n + 1)))) {
        return WEIR_E_NOMEM;
    }
    struct lua_note *to = find(*notes, name);
    if (!to && (*notes)->n == LUA_NOTES_MAX) {
        free(text);
        return WEIR_E_TOOBIG;
    }
    if (to) {
        free(to->text);
    } else {
        to = &(*notes)->list[(*notes)->n++];
    }
    *to = *note;
    memcpy(to->name, name.p, name.n);
    to->name[name.n] = '\0';
    to->text = text;
    if (text && note->n) {
        memcpy(text, note->text, note->n);
    }
    return 0;
}

void lua_notes_remove(struct lua_notes *notes, weir_str name)
{
    struct lua_note *note = find(notes, name);
    if (note) {
        free(note->text);
        *note = notes->list[--notes->n];
    }
}

static bool is_tag_name(weir_str s)
{
    bool good = s.n > 0 && s.n < LUA_NOTE_NAME_BYTES && s.p[0] >= 'a' && s.p[0] <= 'z';
    for (size_t i = 1; good && i < s.n; i++) {
        char c = s.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    return good;
}

static bool is_tag_value(weir_str s)
{
    bool good = s.n <= LUA_TAG_BYTES;
    for (size_t i = 0; good && i < s.n; i++) {
        good = s.p[i] >= 0x20 && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '\\';
    }
    return good;
}

/* The caller has checked that it fits. */
static void copy(char *to, weir_str from)
{
    if (from.n) {
        memcpy(to, from.p, from.n);
    }
    to[from.n] = '\0';
}

int lua_notes_tag(struct lua_notes **notes, weir_str name, weir_str value)
{
    if (!is_tag_name(name) || !is_tag_value(value)) {
        return WEIR_E_ARG;
    }
    if (!make(notes)) {
        return WEIR_E_NOMEM;
    }
    struct lua_notes *n = *notes;
    struct lua_tag *tag = NULL;
    for (uint32_t i = 0; i < n->n_tags && !tag; i++) {
        tag = weir_str_is(name, n->tags[i].name) ? &n->tags[i] : NULL;
    }
    if (!tag && n->n_tags == LUA_NOTES_MAX_TAGS) {
        return WEIR_E_TOOBIG;
    }
    tag = tag ? tag : &n->tags[n->n_tags++];
    copy(tag->name, name);
    copy(tag->value, value);
    return 0;
}

static char *add(char *to, const char *text)
{
    size_t n = strlen(text);
    memcpy(to, text, n);
    return to + n;
}

weir_str lua_notes_tags_json(const struct lua_notes *notes, char out[LUA_TAGS_JSON_BYTES])
{
    char *at = add(out, "{");
    for (uint32_t i = 0; i < notes->n_tags; i++) { /* nothing in them needs escapes; it fits */
        at = add(add(at, i ? ",\"" : "\""), notes->tags[i].name);
        at = add(add(add(at, "\":\""), notes->tags[i].value), "\"");
    }
    at = add(at, "}");
    return (weir_str){out, (size_t)(at - out)};
}
