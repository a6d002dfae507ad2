/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command and runs it; everything else is in the commands. */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/help.h"

static int run_command(const struct weir_command *command, int argc, char **argv)
{
    struct weir_args args;
    switch (weir_args_parse(command, argc, argv, &args)) {
    case WEIR_ARGS_RUN: return command->run(&args);
    case WEIR_ARGS_HELP: weir_help_print(command, stdout); return WEIR_EXIT_OK;
    case WEIR_ARGS_WRONG: break;
    }
    return WEIR_EXIT_USAGE;
}

/* Output that could not be written is a failure, or `weir ... > /dev/full` would look fine. */
static int flush(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("weir: standard output");
        return code ? code : WEIR_EXIT_BAD;
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        weir_help_print_all(stderr);
        return WEIR_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct weir_command *command = weir_command_find(name);
    if (!command) {
        weir_help_complain_command(name);
        return WEIR_EXIT_USAGE;
    }
    return flush(run_command(command, argc - 1, argv + 1));
}
