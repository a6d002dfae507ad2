/* SPDX-License-Identifier: Apache-2.0 */
#include "base/plain_text.h"

#include <stdbool.h>
#include <string.h>

#include "tests/support/cmocka.h"

enum { MAX_BYTES = 300 };

static bool is_plain(unsigned c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void every_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char text[150];
        memset(text, 'a', sizeof(text));
        for (size_t at = 0; at < 150; at++) {
            text[at] = (char)c;
            size_t expected = is_plain(c) ? 150 : at;
            assert_int_equal(weir_plain_len(text, 150), expected);
            text[at] = 'a';
        }
    }
}

/* What is behind the text, and before it, does not count. */
static void any_length_and_alignment_will_do(void **state)
{
    (void)state;
    char text[MAX_BYTES + 2];
    for (size_t n = 0; n <= 200; n++) {
        for (size_t begin = 1; begin <= 33; begin += 4) {
            memset(text, '"', sizeof(text));
            memset(text + begin, ' ', n);
            assert_int_equal(weir_plain_len(text + begin, n), n);
            if (n > 0) {
                text[begin + n - 1] = '\n';
                assert_int_equal(weir_plain_len(text + begin, n), n - 1);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_found_wherever_it_stands),
        cmocka_unit_test(any_length_and_alignment_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
