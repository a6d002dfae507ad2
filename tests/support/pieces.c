/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

static const char *const long_pieces[] = {
    "{\"",
    "\":",
    "\": \"",
    "\", \"",
    "\"}",
    "\"}]",
    "true",
    "null",
    "fal",
    "hello",
    " world",
    "123",
    "0.5",
    "\n  ",
    "\n    ",
    "\\u",
    "\\n",
    "\xC3",
    "\xC3\xA9",
    "\xE2\x82",
    "\xF0\x9F\x98",
    "}}",
    "[[",
    "],",
    "\"a\": 1",
    "a\":",
    "\"name",
    "\\\"",
    "a\",\"b",
    "          ",
    "ab\"",
    "e1",
    "{}",
    "[]",
    "\"\"",
    "d83d",
    "\\ud83d\\ude00",
    "1,",
    "-",
    "\":{\"",
    "0123456789abcdefghij",
    "\t\t",
    "red\"",
    "nul",
    "\"x\",",
    "},\n",
    "\" ",
    ": ",
};

enum { N_LONG = sizeof(long_pieces) / sizeof(long_pieces[0]) };

static weir_str piece(const void *impl, int32_t token)
{
    static const unsigned char bytes[256] = {
#define FOUR(n) (n), (n) + 1, (n) + 2, (n) + 3
#define ROW(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
        ROW(0),   ROW(16),  ROW(32),  ROW(48),  ROW(64),  ROW(80),  ROW(96),  ROW(112),
        ROW(128), ROW(144), ROW(160), ROW(176), ROW(192), ROW(208), ROW(224), ROW(240),
#undef ROW
#undef FOUR
    };
    (void)impl;
    if (token < 256) {
        return (weir_str){(const char *)bytes + token, 1};
    }
    if (token < PIECES_FIRST_LONG) {
        return weir_str_from(token == PIECES_END ? "<end>" : "{");
    }
    return weir_str_from(long_pieces[token - PIECES_FIRST_LONG]);
}

static bool is_control(const void *impl, int32_t token)
{
    (void)impl;
    return token == PIECES_END || token == PIECES_CONTROL;
}

static bool is_end(const void *impl, int32_t token)
{
    (void)impl;
    return token == PIECES_END;
}

struct weir_vocabulary pieces_vocabulary(void)
{
    return (struct weir_vocabulary){
        .n_vocab = PIECES_FIRST_LONG + N_LONG,
        .max_piece_bytes = 32,
        .piece = piece,
        .is_control = is_control,
        .is_end = is_end,
    };
}

uint32_t pieces_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}
