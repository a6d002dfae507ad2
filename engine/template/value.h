/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The values that a template computes with: Python's, as far as jinja2 lets a template see them.
 *
 * Why: templates rely on Python's rules for truth, equality, printing and iteration.
 * Ownership: everything lives in the arena of one render (or, for literals, of the template);
 * strings may also point into the caller's JSON, which must outlive the render.
 * Threads: none. Values are immutable, apart from namespaces and the one-time use of generators.
 * Errors: functions that build return an undefined value or NULL when the arena is used up.
 * Invariant: strings are valid UTF-8. Values nest at most WEIR_TPL_MAX_NEST levels where a function
 * walks them; the walkers recurse with that limit.
 * Cost: values can share parts, so a walk may be far longer than memory suggests. Walkers therefore
 * take the render's remaining steps, count them down, and give a harmless answer at 0; the render
 * then ends at its next step. */
#include <stdbool.h>

#include <yyjson.h>

#include "base/arena.h"
#include "weir/types.h"

enum { WEIR_TPL_MAX_NEST = 128 };

enum weir_tpl_kind {
    WEIR_TPL_UNDEFINED, /* str is the name that was asked for */
    WEIR_TPL_NONE,
    WEIR_TPL_BOOL,
    WEIR_TPL_INT,
    WEIR_TPL_FLOAT,
    WEIR_TPL_STR,
    WEIR_TPL_LIST, /* also tuples, views and generators, told apart by list->form */
    WEIR_TPL_DICT,
    WEIR_TPL_NAMESPACE, /* uses dict */
    WEIR_TPL_LOOP,
    WEIR_TPL_MACRO,
    WEIR_TPL_GLOBAL, /* a built-in function */
    WEIR_TPL_METHOD, /* a method with its object */
};

enum weir_tpl_form {
    WEIR_TPL_FORM_LIST,
    WEIR_TPL_FORM_TUPLE,
    WEIR_TPL_FORM_RANGE,
    WEIR_TPL_FORM_KEYS,
    WEIR_TPL_FORM_VALUES,
    WEIR_TPL_FORM_ITEMS,
    WEIR_TPL_FORM_GENERATOR, /* always true, no length, no index, empty after one iteration */
};

struct weir_tpl_value {
    uint8_t kind;   /* enum weir_tpl_kind */
    bool markup;    /* STR: came from `safe` or `escape` */
    bool unsigned_; /* INT: i holds the bits of an unsigned value above INT64_MAX */
    uint8_t owner;  /* UNDEFINED: kind of the object that lacked the attribute, 0 for a variable */
    union {
        bool b;
        int64_t i;
        double f;
        weir_str str;
        struct weir_tpl_list *list;
        struct weir_tpl_dict *dict;
        struct weir_tpl_loop *loop;
        const struct weir_tpl_macro *macro;
        const struct weir_tpl_global *global;
        const struct weir_tpl_bound *bound;
    };
};

struct weir_tpl_list {
    struct weir_tpl_value *items;
    size_t n;
    enum weir_tpl_form form;
};

struct weir_tpl_pair {
    struct weir_tpl_value key;
    struct weir_tpl_value value;
};

/* Insertion order, as in Python. Look-up is linear: dicts in chats are small, and the walk is
 * charged to the render's step budget. */
struct weir_tpl_dict {
    struct weir_tpl_pair *pairs;
    size_t n;
    size_t cap;
};

static inline struct weir_tpl_value weir_tpl_none(void)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_NONE};
}

static inline struct weir_tpl_value weir_tpl_bool(bool b)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_BOOL, .b = b};
}

static inline struct weir_tpl_value weir_tpl_int(int64_t i)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_INT, .i = i};
}

static inline struct weir_tpl_value weir_tpl_float(double f)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_FLOAT, .f = f};
}

static inline struct weir_tpl_value weir_tpl_str(weir_str s)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_STR, .str = s};
}

static inline struct weir_tpl_value weir_tpl_undefined(weir_str name)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_UNDEFINED, .str = name};
}

/* A list with room for n items, n set and the items undefined; NULL when memory is used up. */
struct weir_tpl_list *weir_tpl_list_create(struct weir_arena *a, size_t n, enum weir_tpl_form form);
static inline struct weir_tpl_value weir_tpl_list_value(struct weir_tpl_list *list)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_LIST, .list = list};
}

struct weir_tpl_dict *weir_tpl_dict_create(struct weir_arena *a, size_t cap);
/* Adds or replaces; false when memory is used up. */
bool weir_tpl_dict_set(struct weir_arena *a, struct weir_tpl_dict *d, struct weir_tpl_value key,
                       struct weir_tpl_value value, uint64_t *steps);
/* NULL when absent. */
struct weir_tpl_value *weir_tpl_dict_find(const struct weir_tpl_dict *d,
                                          const struct weir_tpl_value *key, uint64_t *steps);
struct weir_tpl_value *weir_tpl_dict_find_str(const struct weir_tpl_dict *d, weir_str key,
                                              uint64_t *steps);
static inline struct weir_tpl_value weir_tpl_dict_value(struct weir_tpl_dict *dict)
{
    return (struct weir_tpl_value){.kind = WEIR_TPL_DICT, .dict = dict};
}

/* Converts a JSON tree; strings stay where they are. WEIR_E_NOMEM, or WEIR_E_TOOBIG for a tree
 * deeper than WEIR_TPL_MAX_NEST. NULL json gives None. */
int weir_tpl_from_json(struct weir_arena *a, yyjson_val *json, struct weir_tpl_value *ret_value);

/* Takes n from *steps; false, leaving 0, when fewer were left. */
static inline bool weir_tpl_spend(uint64_t *steps, uint64_t n)
{
    bool enough = *steps >= n;
    *steps -= enough ? n : *steps;
    return enough;
}

/* Python's bool(). */
bool weir_tpl_is_true(const struct weir_tpl_value *v);
bool weir_tpl_is_number(const struct weir_tpl_value *v); /* bool, int or float */
double weir_tpl_as_double(const struct weir_tpl_value *v);
/* Is it a bool or an int that fits int64_t? */
bool weir_tpl_as_int(const struct weir_tpl_value *v, int64_t *ret_i);
/* Python's ==; deeper than WEIR_TPL_MAX_NEST counts as different. */
bool weir_tpl_equal(const struct weir_tpl_value *a, const struct weir_tpl_value *b,
                    uint64_t *steps);
/* Python's ordering: stores <0, 0, >0. False when the two cannot be ordered. */
bool weir_tpl_order(const struct weir_tpl_value *a, const struct weir_tpl_value *b, uint64_t *steps,
                    int *ret_order);
/* The type's name as jinja2's messages have it: "str object", "None", ... */
const char *weir_tpl_type_name(const struct weir_tpl_value *v);
