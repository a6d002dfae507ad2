/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir lua test`: runs the tests NAME_test.lua of policies NAME.lua. Exit codes of the command:
 * 2 when there is nothing to test. */
#include <stdbool.h>

int lua_test_paths(char **paths, int n, bool json);
