/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir lua repl`: evaluates lines from standard input in the sandbox of policies, with a request
 * at hand. path NULL: no policy. Exit codes of the command. */

int lua_repl_run(const char *path);
