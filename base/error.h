/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One error with a human sentence, filled where it happens and carried up once.
 *
 * Why: a code tells the program what to do; the sentence tells a person what to mend. Functions
 * return the code and, where a person reads the result, fill an optional struct weir_error.
 * Ownership: plain storage of the caller. Threads: none; a value. */
#include <stdarg.h>

#include "weir/types.h"

#define WEIR_NODISCARD __attribute__((warn_unused_result))
#define WEIR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

struct weir_error {
    int code; /* WEIR_E_*, 0 when unset */
    char message[500];
};

/* Stores code and sentence in *err (NULL ok) and returns `code`, so that callers can
 * `return weir_error_set(err, WEIR_E_FORMAT, "...")`. Long sentences are cut. */
int weir_error_set(struct weir_error *err, int code, const char *fmt, ...) WEIR_PRINTF(3, 4);

/* Puts `prefix: ` before the sentence that is there; returns err->code. */
int weir_error_prefix(struct weir_error *err, const char *fmt, ...) WEIR_PRINTF(2, 3);

/* clang's analyser reads one file at a time: it must be told that these return the code, or it
 * takes every failure that they report for a success. */
#ifdef __clang_analyzer__
static inline int weir_error_returned(int from_call, int code)
{
    (void)from_call;
    return code;
}
#define weir_error_set(err, code, ...)                                                             \
    weir_error_returned(weir_error_set(err, code, __VA_ARGS__), code)
#define weir_error_prefix(err, ...)                                                                \
    weir_error_returned(weir_error_prefix(err, __VA_ARGS__), WEIR_E_INTERNAL)
#endif

/* A short constant phrase for a WEIR_E_* code ("out of memory"); never NULL. */
const char *weir_error_name(int code);
