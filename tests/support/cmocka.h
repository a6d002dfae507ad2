/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* cmocka with the headers that it needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

/* clang's analyser does not know that a failed assertion leaves the test. */
#ifdef __clang_analyzer__
#include <stdlib.h>
#undef assert_true
#undef assert_false
#undef assert_null
#undef assert_non_null
#undef assert_int_equal
#undef assert_in_range
#define assert_true(c) ((c) ? (void)0 : abort())
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_in_range(v, low, high) assert_true((v) >= (low) && (v) <= (high))
#endif
