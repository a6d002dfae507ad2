/* SPDX-License-Identifier: Apache-2.0 */
#include "vocabulary.h"

#include "base/utf8.h"

void weir_vocabulary_repair(struct weir_buf *out, weir_str s)
{
    size_t i = 0;
    while (i < s.n) {
        size_t len = weir_utf8_valid_len(s.p + i, s.n - i);
        if (len > 0) {
            weir_buf_add(out, s.p + i, len);
        } else {
            weir_buf_add_text(out, "\xEF\xBF\xBD");
            len = 1;
        }
        i += len;
    }
}
