/* SPDX-License-Identifier: Apache-2.0 */
#include "http_field.h"

bool weir_http_is_token(weir_str s)
{
    /* A bit for each tchar: !#$%&'*+-.^_`|~, digits, letters. */
    static const uint64_t tchars[4] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!(tchars[c >> 6] >> (c & 63) & 1)) {
            return false;
        }
    }
    return s.n > 0;
}

bool weir_http_is_field_value(weir_str s)
{
    unsigned bad = 0; /* no branch, so that the compiler looks at many bytes at a time */
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bad |= ((unsigned)(c < 0x20) & (unsigned)(c != '\t')) | (unsigned)(c == 0x7f);
    }
    return bad == 0;
}
