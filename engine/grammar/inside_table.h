/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tabulates what each token does inside of a JSON string: stays there, closes it, or breaks it.
 * See token_trie.h for why. Errors: WEIR_E_NOMEM. */
#include "engine/grammar/token_trie.h"

/* Fills inside_masks, long_inside and closers of a trie that has its nodes. */
int weir_inside_table_fill(struct weir_token_trie *t);
