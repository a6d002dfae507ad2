/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir lua check`: does a policy compile, and does it use only what there is? Prints
 * "FILE:LINE:COLUMN: what is wrong", or with json an array of findings. Exit codes of the command.
 */
#include <stdbool.h>

int lua_check_files(char **paths, int n, bool json);
