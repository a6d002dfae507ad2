/* SPDX-License-Identifier: Apache-2.0 */
#include "json_arena.h"

#include <stdlib.h>

static void *take(void *ctx, size_t size)
{
    return size <= WEIR_JSON_PIECE_BYTES ? weir_arena_take(ctx, size) : NULL;
}

static void *resize(void *ctx, void *ptr, size_t old_size, size_t size)
{
    return size <= WEIR_JSON_PIECE_BYTES ? weir_arena_resize(ctx, ptr, old_size, size) : NULL;
}

static void leave(void *ctx, void *ptr)
{
    (void)ctx, (void)ptr;
}

yyjson_alc weir_json_arena(struct weir_arena *arena)
{
    return (yyjson_alc){take, resize, leave, arena};
}

int weir_json_write(yyjson_val *value, struct weir_arena *arena, weir_str *ret_text)
{
    yyjson_alc alc = weir_json_arena(arena);
    size_t n = 0;
    char *text = yyjson_val_write_opts(value, 0, &alc, &n, NULL);
    if (text) {
        *ret_text = (weir_str){text, n};
        return 0;
    }
    text = yyjson_val_write(value, 0, &n); /* a long one is made elsewhere, and copied */
    *ret_text = text ? weir_arena_copy(arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    return ret_text->p ? 0 : WEIR_E_NOMEM;
}
