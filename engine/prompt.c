/* SPDX-License-Identifier: Apache-2.0 */
#include "prompt.h"

#include <stdlib.h>

struct weir_prompt *weir_prompt_create(size_t limit_bytes)
{
    struct weir_prompt *p = calloc(1, sizeof(*p));
    if (p) {
        weir_arena_init(&p->arena, limit_bytes);
    }
    return p;
}

void weir_prompt_destroy(struct weir_prompt *p)
{
    if (p) {
        weir_grammar_unref(p->grammar);
        yyjson_doc_free(p->tools);
        weir_arena_finish(&p->arena);
        free(p);
    }
}
