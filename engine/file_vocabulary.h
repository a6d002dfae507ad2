/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The vocabulary of a model file: a view of its tokenizer. */
#include "engine/tokenizer/tokenizer.h"
#include "engine/vocabulary.h"

struct weir_vocabulary weir_file_vocabulary(const struct weir_tokenizer *t);
