/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The grammars of one model: compiled at need, kept for the next request of the same kind.
 *
 * Why: the vocabulary's trie takes a moment and memory, and most models are never asked for JSON;
 * so it is made at first use. An application sends the same schema with every request; so the last
 * 32 grammars are kept. Ownership: owns trie and cache; borrows vocabulary and secret. A grammar
 * that get() gives is the caller's reference and must be given back before the owner is destroyed
 * or never used again. Threads: any; one lock around trie and cache, compilation outside of it. */
#include "base/error.h"
#include "engine/grammar/grammar.h"
#include "engine/scheduler/page_key.h"

struct weir_grammars;

/* The secret keeps clients from making two schemas look alike. */
int weir_grammars_create(const struct weir_vocabulary *vocabulary,
                         const struct weir_page_secret *secret,
                         struct weir_grammars **ret_grammars);
void weir_grammars_destroy(struct weir_grammars *g); /* NULL ok */

/* Errors as weir_grammar_compile() has them. */
int weir_grammars_get(struct weir_grammars *g, const struct weir_grammar_source *source,
                      struct weir_grammar **ret_grammar, struct weir_error *err);
