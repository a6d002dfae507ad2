/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "base/utf8.h"

uint32_t weir_tpl_text_next(weir_str s, size_t at, size_t *ret_next)
{
    unsigned char first = (unsigned char)s.p[at];
    if (first < 0x80) {
        *ret_next = at + 1;
        return first;
    }
    uint32_t cp = 0xFFFD;
    size_t n = weir_utf8_decode(s.p + at, s.n - at, &cp);
    *ret_next = at + (n ? n : 1);
    return cp;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t weir_tpl_text_len(weir_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += !is_continuation(s.p[i]);
    }
    return n;
}

size_t weir_tpl_text_offset(weir_str s, size_t index)
{
    size_t at = 0;
    for (; at < s.n && index > 0; index--) {
        at++;
        while (at < s.n && is_continuation(s.p[at])) {
            at++;
        }
    }
    return at;
}

bool weir_tpl_text_is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool weir_tpl_text_is_printable(uint32_t cp)
{
    if (cp < 0x7F) {
        return cp >= 0x20;
    }
    bool hidden = cp <= 0xA0 || cp == 0xAD || cp == 0x1680 || cp == 0x180E ||
                  (cp >= 0x0600 && cp <= 0x0605) || cp == 0x061C || cp == 0x06DD || cp == 0x070F ||
                  (cp >= 0x2000 && cp <= 0x200F) || (cp >= 0x2028 && cp <= 0x202F) ||
                  (cp >= 0x205F && cp <= 0x206F) || cp == 0x3000 ||
                  (cp >= 0xE000 && cp <= 0xF8FF) || cp == 0xFEFF ||
                  (cp >= 0xFFF0 && cp <= 0xFFFB) || (cp & 0xFFFE) == 0xFFFE ||
                  (cp >= 0xE0000 && cp <= 0xE00FF) || cp >= 0xF0000;
    return !hidden;
}

static bool in_set(uint32_t cp, weir_str set)
{
    if (!set.p) {
        return weir_tpl_text_is_space(cp);
    }
    for (size_t at = 0; at < set.n;) {
        if (weir_tpl_text_next(set, at, &at) == cp) {
            return true;
        }
    }
    return false;
}

weir_str weir_tpl_text_strip(weir_str s, weir_str set, enum weir_tpl_side side)
{
    while ((side & WEIR_TPL_LEFT) && s.n > 0) {
        size_t next;
        if (!in_set(weir_tpl_text_next(s, 0, &next), set)) {
            break;
        }
        s = (weir_str){s.p + next, s.n - next};
    }
    while ((side & WEIR_TPL_RIGHT) && s.n > 0) {
        size_t at = s.n - 1, next;
        while (at > 0 && is_continuation(s.p[at])) {
            at--;
        }
        if (!in_set(weir_tpl_text_next(s, at, &next), set)) {
            break;
        }
        s.n = at;
    }
    return s;
}

bool weir_tpl_text_starts(weir_str s, weir_str prefix)
{
    return prefix.n <= s.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool weir_tpl_text_ends(weir_str s, weir_str suffix)
{
    return suffix.n <= s.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

size_t weir_tpl_text_find(weir_str s, weir_str needle, size_t from)
{
    if (from > s.n || needle.n > s.n - from) {
        return SIZE_MAX;
    }
    if (needle.n == 0) {
        return from;
    }
    const char *hit = memmem(s.p + from, s.n - from, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t weir_tpl_text_rfind(weir_str s, weir_str needle, size_t end)
{
    if (end > s.n || needle.n > end) {
        return SIZE_MAX;
    }
    if (needle.n == 0) {
        return end;
    }
    for (size_t at = end - needle.n + 1; at-- > 0;) {
        if (s.p[at] == needle.p[0] && memcmp(s.p + at, needle.p, needle.n) == 0) {
            return at;
        }
    }
    return SIZE_MAX;
}

static bool in(uint32_t cp, uint32_t lo, uint32_t hi)
{
    return cp >= lo && cp <= hi;
}

/* Letters that alternate capital (even) and small (odd) in Latin and Cyrillic extensions. */
static bool alternates_even(uint32_t cp)
{
    return in(cp, 0x100, 0x12F) || in(cp, 0x132, 0x137) || in(cp, 0x14A, 0x177) ||
           in(cp, 0x1E00, 0x1E95) || in(cp, 0x1EA0, 0x1EFF) || in(cp, 0x460, 0x481) ||
           in(cp, 0x48A, 0x4BF) || in(cp, 0x4D0, 0x52F);
}

static bool alternates_odd(uint32_t cp)
{
    return in(cp, 0x139, 0x148) || in(cp, 0x179, 0x17E);
}

static uint32_t to_lower(uint32_t cp)
{
    if (cp < 0x80) {
        return in(cp, 'A', 'Z') ? cp + 32 : cp;
    }
    if ((in(cp, 0xC0, 0xDE) && cp != 0xD7) || in(cp, 0x410, 0x42F) ||
        (in(cp, 0x391, 0x3A9) && cp != 0x3A2)) {
        return cp + 32;
    }
    if (in(cp, 0x400, 0x40F)) {
        return cp + 80;
    }
    if (cp == 0x178) {
        return 0xFF;
    }
    if ((alternates_even(cp) && cp % 2 == 0) || (alternates_odd(cp) && cp % 2 == 1)) {
        return cp + 1;
    }
    return cp;
}

static uint32_t to_upper(uint32_t cp)
{
    if (cp < 0x80) {
        return in(cp, 'a', 'z') ? cp - 32 : cp;
    }
    if (cp == 0xFF) {
        return 0x178;
    }
    if (cp == 0xB5) {
        return 0x39C;
    }
    if (cp == 0x3C2) {
        return 0x3A3;
    }
    if ((in(cp, 0xE0, 0xFE) && cp != 0xF7) || in(cp, 0x430, 0x44F) || in(cp, 0x3B1, 0x3C9)) {
        return cp - 32;
    }
    if (in(cp, 0x450, 0x45F)) {
        return cp - 80;
    }
    if (cp == 0x131) {
        return 'I';
    }
    if ((alternates_even(cp) && cp % 2 == 1) || (alternates_odd(cp) && cp % 2 == 0)) {
        return cp - 1;
    }
    return cp;
}

static bool is_letter(uint32_t cp)
{
    return in(cp, 'a', 'z') || in(cp, 'A', 'Z') || cp >= 0xC0;
}

static bool begins_word(uint32_t cp)
{
    return weir_tpl_text_is_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp));
}

weir_str weir_tpl_text_case(struct weir_arena *a, weir_str s, enum weir_tpl_case how)
{
    /* A mapped letter may need one byte more (0xFF -> 0x178 stays 2, 0x131 shrinks): 2x is safe. */
    char *out = s.n < SIZE_MAX / 2 ? weir_arena_alloc(a, s.n * 2 + 4) : NULL;
    if (!out) {
        return (weir_str){NULL, 0};
    }
    size_t n = 0;
    bool start = true;
    for (size_t at = 0; at < s.n;) {
        uint32_t cp = weir_tpl_text_next(s, at, &at);
        bool up = how == WEIR_TPL_UPPER || (how >= WEIR_TPL_CAPITALIZE && start);
        if (cp == 0xDF && up) {
            out[n++] = 'S';
            cp = how == WEIR_TPL_UPPER ? 'S' : 's';
        } else {
            cp = up ? to_upper(cp) : to_lower(cp);
        }
        n += weir_utf8_encode(cp, out + n);
        start =
            (how == WEIR_TPL_TITLE && !is_letter(cp)) || (how == WEIR_TPL_WORDS && begins_word(cp));
    }
    return (weir_str){out, n};
}
