/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Help texts, made from the command table. */
#include <stdio.h>

#include "cli/command.h"

void weir_help_print_all(FILE *out);
void weir_help_print(const struct weir_command *command, FILE *out);
/* "weir: unknown command X; did you mean Y?" on standard error. */
void weir_help_complain_command(const char *name);
