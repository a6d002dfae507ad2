/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/command.h"
#include "weir/plugin.h"

static int run(const struct weir_args *args)
{
    if (weir_args_has(args, "json")) {
        printf("{\"version\":\"%s\",\"plugin_abi\":\"%d.%d\"}\n", WEIR_VERSION, WEIR_ABI_MAJOR,
               WEIR_ABI_MINOR);
    } else {
        printf("weir %s (plugin ABI %d.%d)\n", WEIR_VERSION, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    }
    return WEIR_EXIT_OK;
}

static const struct weir_option options[] = {
    {"json", 0, NULL, "print JSON"},
    {0},
};

extern const struct weir_command weir_cmd_version;
const struct weir_command weir_cmd_version = {
    .name = "version",
    .summary = "Print the version of weir and of its plugin ABI",
    .operands = "",
    .options = options,
    .examples = "  weir version\n"
                "  weir version --json\n",
    .run = run,
};
