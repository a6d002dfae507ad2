/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <string.h>

extern const struct weir_command weir_cmd_billing;
extern const struct weir_command weir_cmd_chat;
extern const struct weir_command weir_cmd_check;
extern const struct weir_command weir_cmd_completions;
extern const struct weir_command weir_cmd_help;
extern const struct weir_command weir_cmd_lua;
extern const struct weir_command weir_cmd_model;
extern const struct weir_command weir_cmd_plugin;
extern const struct weir_command weir_cmd_serve;
extern const struct weir_command weir_cmd_tenant;
extern const struct weir_command weir_cmd_version;

/* Sorted by name, one a line. */
static const struct weir_command *const commands[] = {
    /* clang-format off */
    &weir_cmd_billing,
    &weir_cmd_chat,
    &weir_cmd_check,
    &weir_cmd_completions,
    &weir_cmd_help,
    &weir_cmd_lua,
    &weir_cmd_model,
    &weir_cmd_plugin,
    &weir_cmd_serve,
    &weir_cmd_tenant,
    &weir_cmd_version,
    /* clang-format on */
};

const struct weir_command *const *weir_commands(size_t *ret_n)
{
    *ret_n = sizeof(commands) / sizeof(commands[0]);
    return commands;
}

const struct weir_command *weir_command_find(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}
