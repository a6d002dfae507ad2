/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer/unicode_class.h"

#include <stddef.h>

#include "engine/tokenizer/unicode_class_table.h"

uint8_t weir_unicode_class(uint32_t cp)
{
    size_t low = 0;
    size_t high = sizeof(unicode_class_ranges) / sizeof(unicode_class_ranges[0]);
    /* Invariant: the range that holds cp starts at an index in [low, high). */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (unicode_class_ranges[middle] >> 8 <= cp) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint8_t)(unicode_class_ranges[low] & 0xFF);
}
