/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A small vocabulary for tests: every byte, an end token, a control token, and pieces that cross
 * the borders of JSON's parts. */
#include "engine/grammar/grammar.h"

enum { PIECES_END = 256, PIECES_CONTROL = 257, PIECES_FIRST_LONG = 258, PIECES_MAX_WORDS = 16 };

struct weir_vocabulary pieces_vocabulary(void);

/* xorshift; *seed must not be 0. */
uint32_t pieces_random(uint64_t *seed);
