/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir lua bench`: what a call of each hook costs. Exit codes of the command. */
#include <stdbool.h>

int lua_bench_file(const char *path, bool json);
