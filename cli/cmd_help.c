/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

static int run(const struct weir_args *args)
{
    if (args->n_operands == 0) {
        weir_help_print_all(stdout);
        return WEIR_EXIT_OK;
    }
    const struct weir_command *command = weir_command_find(args->operands[0]);
    if (!command) {
        weir_help_complain_command(args->operands[0]);
        return WEIR_EXIT_USAGE;
    }
    weir_help_print(command, stdout);
    return WEIR_EXIT_OK;
}

extern const struct weir_command weir_cmd_help;
const struct weir_command weir_cmd_help = {
    .name = "help",
    .summary = "Tell what weir or one of its commands does",
    .operands = "[COMMAND]",
    .max_operands = 1,
    .examples = "  weir help\n"
                "  weir help check\n",
    .run = run,
};
