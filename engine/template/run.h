/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One render: the interpreter's state and the functions its parts share.
 *
 * Why bounds: templates come inside model files and values from requests. Every node visited, item
 * walked and byte copied costs steps; memory comes from an arena with a limit; output goes to a
 * bounded buffer; nodes nest at most WEIR_TPL_MAX_RUN_DEPTH levels (evaluation recurses with that
 * limit, macros included). Whatever is used up ends the render with WEIR_E_TOOBIG.
 * Ownership: all values live in the arena until the render ends. Threads: one render, one thread.
 * Errors: sticky, as in weir_buf. After the first one evaluation returns undefined at once, so
 * callers check run->code only before they act on a result. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/template/ast.h"
#include "engine/template/value.h"

enum { WEIR_TPL_MAX_RUN_DEPTH = 500, WEIR_TPL_MAX_RANGE = 100000 };

struct weir_tpl_scope {
    struct weir_tpl_scope *outer;
    struct weir_tpl_pair *vars; /* keys are strings */
    size_t n;
    size_t cap;
};

struct weir_tpl_loop {
    const struct weir_tpl_value *items;
    size_t n;
    size_t index;                  /* from 0 */
    struct weir_tpl_value changed; /* what loop.changed() saw last */
};

struct weir_tpl_macro {
    const struct weir_tpl_node *node; /* MACRO or CALL_BLOCK */
    struct weir_tpl_scope *scope;     /* where it was defined */
};

struct weir_tpl_args {
    const struct weir_tpl_value *values; /* plain ones first */
    const weir_str *names;               /* n of them; {NULL, 0} for plain ones */
    size_t n;
    size_t n_plain;
};

struct weir_tpl_run {
    struct weir_arena arena;
    struct weir_buf *out;
    struct weir_error *err;
    int code; /* sticky */
    uint32_t line;
    unsigned depth;
    uint64_t steps; /* left */
    struct weir_tpl_scope *scope;
    struct weir_tpl_value captured; /* what a set or filter block produced */
    int64_t now_s;                  /* Unix time of strftime_now() */
};

/* Built-in functions, methods, filters and tests. `self` is the object or the filtered value. */
struct weir_tpl_global {
    const char *name;
    struct weir_tpl_value (*call)(struct weir_tpl_run *run, const struct weir_tpl_args *args);
};

struct weir_tpl_method {
    uint8_t kind; /* of the object */
    const char *name;
    struct weir_tpl_value (*call)(struct weir_tpl_run *run, struct weir_tpl_value self,
                                  const struct weir_tpl_args *args);
};

struct weir_tpl_bound {
    struct weir_tpl_value self;
    const struct weir_tpl_method *method;
};

/* Sets the error (unless one is set) with the line; returns undefined. */
struct weir_tpl_value weir_tpl_run_fail(struct weir_tpl_run *run, int code, const char *fmt, ...)
    WEIR_PRINTF(3, 4);
struct weir_tpl_value weir_tpl_run_no_memory(struct weir_tpl_run *run);
/* Takes steps; false (and an error) when they are used up or an error is set. */
bool weir_tpl_run_spend(struct weir_tpl_run *run, uint64_t n);

/* The error of using an undefined value. */
struct weir_tpl_value weir_tpl_run_undefined(struct weir_tpl_run *run,
                                             const struct weir_tpl_value *v);

/* eval.c */
struct weir_tpl_value weir_tpl_eval(struct weir_tpl_run *run, const struct weir_tpl_node *node);
/* Evaluates a CALL of a macro that finds `caller` under that name. */
struct weir_tpl_value weir_tpl_eval_call_with(struct weir_tpl_run *run,
                                              const struct weir_tpl_node *call,
                                              const struct weir_tpl_macro *caller);
/* operator.c */
struct weir_tpl_value weir_tpl_operate(struct weir_tpl_run *run, enum weir_tpl_op op,
                                       struct weir_tpl_value a, struct weir_tpl_value b);
bool weir_tpl_compare(struct weir_tpl_run *run, enum weir_tpl_op op, struct weir_tpl_value a,
                      struct weir_tpl_value b);
bool weir_tpl_contains(struct weir_tpl_run *run, struct weir_tpl_value container,
                       struct weir_tpl_value item);
/* exec.c: runs a BLOCK. */
void weir_tpl_exec(struct weir_tpl_run *run, const struct weir_tpl_node *block);
/* run.c: variables */
bool weir_tpl_scope_set(struct weir_tpl_run *run, struct weir_tpl_scope *scope, weir_str name,
                        struct weir_tpl_value value);
struct weir_tpl_value weir_tpl_scope_get(struct weir_tpl_run *run, weir_str name);
/* access.c: a.name, a[key], a[start:stop:step] */
struct weir_tpl_value weir_tpl_attr(struct weir_tpl_run *run, struct weir_tpl_value of,
                                    weir_str name);
struct weir_tpl_value weir_tpl_item(struct weir_tpl_run *run, struct weir_tpl_value of,
                                    struct weir_tpl_value key);
struct weir_tpl_value weir_tpl_slice(struct weir_tpl_run *run, struct weir_tpl_value of,
                                     const struct weir_tpl_value bounds[3]);
/* call.c */
struct weir_tpl_value weir_tpl_call(struct weir_tpl_run *run, struct weir_tpl_value callee,
                                    const struct weir_tpl_args *args);
struct weir_tpl_value weir_tpl_call_macro(struct weir_tpl_run *run,
                                          const struct weir_tpl_macro *macro,
                                          const struct weir_tpl_args *args,
                                          const struct weir_tpl_macro *caller);
/* global.c, method.c, loop.c; NULL when there is none of that name. */
const struct weir_tpl_global *weir_tpl_global_find(weir_str name);
const struct weir_tpl_method *weir_tpl_method_find(uint8_t kind, weir_str name);
struct weir_tpl_value weir_tpl_loop_attr(struct weir_tpl_run *run, struct weir_tpl_value loop,
                                         weir_str name);

/* sequence.c: what iterating over v gives: the items themselves, a dict's keys, a string's
 * characters, nothing for undefined. NULL and an error for anything else. */
struct weir_tpl_list *weir_tpl_iterate(struct weir_tpl_run *run, struct weir_tpl_value v);
struct weir_tpl_list *weir_tpl_new_list(struct weir_tpl_run *run, size_t n,
                                        enum weir_tpl_form form);
/* keys, values or items of a dict */
struct weir_tpl_value weir_tpl_dict_view(struct weir_tpl_run *run, const struct weir_tpl_dict *d,
                                         enum weir_tpl_form form);
/* Adds to a list that grows by doubling; *cap starts at the list's n. */
bool weir_tpl_list_add(struct weir_tpl_run *run, struct weir_tpl_list *list, size_t *cap,
                       struct weir_tpl_value item);
/* Python's len(); false when v has none. */
bool weir_tpl_len(struct weir_tpl_run *run, const struct weir_tpl_value *v, size_t *ret_n);
void weir_tpl_sort(struct weir_tpl_run *run, struct weir_tpl_list *list,
                   const struct weir_tpl_value *keys, bool reverse);

/* capture.c: values as text. Captures write to run->out and cut it back, so that they need no
 * buffer of their own; end copies what was written since begin into the arena. */
size_t weir_tpl_capture_begin(const struct weir_tpl_run *run);
struct weir_tpl_value weir_tpl_capture_end(struct weir_tpl_run *run, size_t begin);
void weir_tpl_print(struct weir_tpl_run *run, struct weir_tpl_value v);
/* str(v); {"", 0} after an error. */
weir_str weir_tpl_to_str(struct weir_tpl_run *run, struct weir_tpl_value v);
/* A new string, or an error when s.p is NULL. Keeps the mark of `like`. */
struct weir_tpl_value weir_tpl_new_str(struct weir_tpl_run *run, weir_str s,
                                       const struct weir_tpl_value *like);
/* `from` by `to`, at most `max` times (negative: all). */
struct weir_tpl_value weir_tpl_replace(struct weir_tpl_run *run, struct weir_tpl_value in,
                                       weir_str from, weir_str to, int64_t max);
/* format.c: Python's `format % args` and format.format(args). */
struct weir_tpl_value weir_tpl_format_percent(struct weir_tpl_run *run, weir_str format,
                                              struct weir_tpl_value values);
struct weir_tpl_value weir_tpl_format_braces(struct weir_tpl_run *run, weir_str format,
                                             const struct weir_tpl_args *args);
/* HTML escapes as markupsafe has them; markup stays as it is. */
struct weir_tpl_value weir_tpl_escape(struct weir_tpl_run *run, struct weir_tpl_value v);

/* args.c: argument number `index`, or by name; NULL when left out. */
const struct weir_tpl_value *weir_tpl_arg(const struct weir_tpl_args *args, size_t index,
                                          const char *name);
int64_t weir_tpl_arg_int(struct weir_tpl_run *run, const struct weir_tpl_args *args, size_t index,
                         const char *name, int64_t otherwise);
bool weir_tpl_arg_true(const struct weir_tpl_args *args, size_t index, const char *name,
                       bool otherwise);
weir_str weir_tpl_arg_str(struct weir_tpl_run *run, const struct weir_tpl_args *args, size_t index,
                          const char *name, weir_str otherwise);
/* The arguments behind the first n plain ones. */
struct weir_tpl_args weir_tpl_args_skip(const struct weir_tpl_args *args, size_t n);
