/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How far a text stands for itself in JSON: printable ASCII, but for quote and backslash.
 *
 * Why: prompts and answers are long texts of little else, which are written 16 to 64 bytes at a
 * time for a tenth of what a loop over bytes costs. Threads: any. */
#include <stddef.h>

/* How many of the n bytes from p on are plain, before the first that is not. */
size_t weir_plain_len(const char *p, size_t n);
