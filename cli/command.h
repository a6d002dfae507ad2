/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a command of `weir` is: its words for help and completions, and its run function.
 *
 * Why: one table drives dispatch, --help, unknown-option messages and shell completions, so that
 * they cannot disagree. A command is one file cli/cmd_NAME.c and one row in cli/commands.c.
 * Ownership: everything is static. Threads: [main].
 * Errors: run() prints to standard error, "weir NAME: what, what to do", and returns an exit code.
 * Invariant: rows are sorted by name. */
#include <stdbool.h>
#include <stddef.h>

enum weir_exit {
    WEIR_EXIT_OK = 0,
    WEIR_EXIT_BAD = 1,     /* done, and judged bad; or failed */
    WEIR_EXIT_USAGE = 2,   /* the command line is wrong */
    WEIR_EXIT_CONFIG = 78, /* the configuration is wrong (EX_CONFIG of sysexits.h) */
};

enum { WEIR_COMMAND_MAX_OPTIONS = 24 };

struct weir_option {
    const char *name;     /* "config" for --config */
    char letter;          /* 'c' for -c; 0: none */
    const char *argument; /* "FILE"; NULL: the option is a flag */
    const char *help;
};

/* A word that must come first among the operands: "get" of `weir model get`. */
struct weir_verb {
    const char *name;
    const char *operands; /* "NAME" */
    const char *summary;
};

struct weir_command;

/* The command line, taken apart. Strings are argv's. */
struct weir_args {
    const struct weir_command *command;
    const struct weir_verb *verb;                 /* NULL when the command has none */
    const char *values[WEIR_COMMAND_MAX_OPTIONS]; /* by the option's place; "" for a given flag */
    char **operands;                              /* after options and verb */
    int n_operands;
};

struct weir_command {
    const char *name;
    const char *summary;               /* one line, no full stop */
    const char *operands;              /* "[MODEL]", "" when there are none */
    int min_operands, max_operands;    /* after the verb; max -1: any number */
    const struct weir_verb *verbs;     /* ends with {0}; NULL: none */
    const struct weir_option *options; /* ends with {0}; NULL: only --help */
    const char *details;               /* more for --help; NULL: nothing */
    const char *examples;              /* one a line, without "weir " left out */
    int (*run)(const struct weir_args *args);
};

/* NULL: not given. `name` must be one of the command's options. */
const char *weir_args_value(const struct weir_args *args, const char *name);
bool weir_args_has(const struct weir_args *args, const char *name);

/* All commands, sorted by name; *ret_n gets how many. */
const struct weir_command *const *weir_commands(size_t *ret_n);
const struct weir_command *weir_command_find(const char *name);
