/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which tokens begin and end texts and turns.
 *
 * Why: files name a few of them by key (tokenizer.ggml.eos_token_id); the others are known by
 * their text, as llama.cpp knows them. Tokens found so count as control tokens. */
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocab.h"

/* Fills bos, eos, eot, unk and pad of *info (the caller presets defaults) and sets WEIR_TOKEN_EOG
 * and WEIR_TOKEN_CONTROL in the vocabulary's attributes. */
WEIR_NODISCARD int weir_roles_read(struct weir_tokenizer_info *info, struct weir_vocab *v,
                                   const struct weir_gguf *g, struct weir_error *err);
