/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Takes a command line apart by a command's tables.
 * Long options as --name VALUE or --name=VALUE, short ones as -n VALUE or -nVALUE, `--` ends them.
 * Errors: the message is on standard error already. */
#include "cli/command.h"

enum weir_args_result {
    WEIR_ARGS_RUN,   /* *ret_args is filled in */
    WEIR_ARGS_HELP,  /* --help was given */
    WEIR_ARGS_WRONG, /* exit with WEIR_EXIT_USAGE */
};

/* argv[0] is the command's name; operands are moved to the front of argv. */
enum weir_args_result weir_args_parse(const struct weir_command *command, int argc, char **argv,
                                      struct weir_args *ret_args);
