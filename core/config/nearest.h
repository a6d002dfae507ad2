/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* "Did you mean": the known word that a mistyped one is closest to.
 *
 * Why: most unknown keys and commands are typing mistakes.
 * The distance counts insertions, deletions, substitutions and swaps of neighbours (optimal string
 * alignment); words within 2 are near, short words only within a third of their length.
 * Ownership: the caller's storage; candidates are borrowed. Threads: none. */
#include "weir/types.h"

struct weir_nearest {
    weir_str word; /* the mistyped one */
    weir_str best; /* {NULL, 0} while nothing is near */
    size_t distance;
};

void weir_nearest_init(struct weir_nearest *s, weir_str word);
void weir_nearest_offer(struct weir_nearest *s, weir_str candidate);
