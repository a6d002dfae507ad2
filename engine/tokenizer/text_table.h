/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Texts numbered 0, 1, 2, … and found again by their bytes.
 *
 * Why: a tokenizer asks for the number of a text for every candidate of a merge.
 * Ownership: the table copies the texts. Threads: find and get from any thread once filled.
 * Errors: WEIR_E_NOMEM, WEIR_E_TOOBIG (4 GiB of text). Invariant: texts are distinct. */
#include "base/error.h"
#include "weir/types.h"

#define WEIR_TEXT_NONE UINT32_MAX

struct weir_text_slot;

struct weir_text_table {
    char *bytes;      /* all texts, one after the other */
    uint32_t *starts; /* [n + 1]: text i is bytes[starts[i]] .. bytes[starts[i + 1]] */
    struct weir_text_slot *slots;
    size_t n;
    size_t max_text_bytes; /* of the longest text */
    size_t cap_bytes;
    size_t cap_texts;
    size_t n_slots; /* a power of two, at least twice n */
};

/* An empty table; finish() takes it and a zeroed one. */
void weir_text_table_init(struct weir_text_table *t);
void weir_text_table_finish(struct weir_text_table *t);
/* The number of the text: that of the equal text already there, else a new one. */
WEIR_NODISCARD int weir_text_table_add(struct weir_text_table *t, weir_str text, uint32_t *ret_id);
/* WEIR_TEXT_NONE when it is not there. */
uint32_t weir_text_table_find(const struct weir_text_table *t, weir_str text);
/* id < n */
weir_str weir_text_table_get(const struct weir_text_table *t, uint32_t id);
