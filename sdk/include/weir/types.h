/* SPDX-License-Identifier: Apache-2.0 */
/* Words that every weir interface shares: borrowed strings, error codes, tolerant struct sizes.
 *
 * Why: plugins and the host are built at different times. Only fixed-width integers, pointers and
 * pointer + length pairs cross the boundary; never long, bool, enum fields, errno or FILE.
 * Ownership: a weir_str never owns its bytes. Bytes from the host live until the hook returns;
 * bytes from a plugin are copied by the host before the call returns.
 * Errors: functions return 0 or a positive result on success and one of WEIR_E_* on failure. */
#ifndef WEIR_TYPES_H
#define WEIR_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed bytes; not NUL-ended. {NULL, 0} is the empty string. */
typedef struct weir_str {
    const char *p;
    size_t n;
} weir_str;

/* A literal as a weir_str, also usable in static initialisers. */
#define WEIR_STR_INIT(literal)                                                                     \
    {                                                                                              \
        (literal), sizeof(literal "") - 1                                                          \
    }

static inline weir_str weir_str_from(const char *text)
{
    weir_str s = {text, text ? strlen(text) : 0};
    return s;
}

static inline int weir_str_eq(weir_str a, weir_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline int weir_str_is(weir_str a, const char *text)
{
    return weir_str_eq(a, weir_str_from(text));
}

enum {
    WEIR_OK = 0,
    WEIR_E_ARG = -1001,         /* an argument or a value in the input is wrong */
    WEIR_E_NOMEM = -1002,       /* memory, or the bound of a buffer or pool, is used up */
    WEIR_E_GONE = -1003,        /* the ticket, request or object has ended */
    WEIR_E_UNSUPPORTED = -1004, /* well-formed, but this build or peer cannot do it */
    WEIR_E_BUSY = -1005,        /* a queue or pool is full now; a retry may work */
    WEIR_E_TIMEOUT = -1006,
    WEIR_E_DEVICE = -1007, /* the device or its driver failed */
    WEIR_E_INTERNAL = -1008,
    WEIR_E_IO = -1009,       /* the operating system refused; the message has errno's text */
    WEIR_E_NOTFOUND = -1010, /* the named thing does not exist */
    WEIR_E_FORMAT = -1011,   /* malformed file or message */
    WEIR_E_CANCELLED = -1012,
    WEIR_E_TOOBIG = -1013 /* larger than a stated limit */
};

/* Is FIELD inside what the other side filled in? Smaller struct_size means an older peer, larger a
 * newer one; both are fine. Never compare sizes for equality. */
#define WEIR_HAS(ptr, field)                                                                       \
    ((ptr)->struct_size >= offsetof(__typeof__(*(ptr)), field) + sizeof((ptr)->field))

/* An optional function or pointer field: covered by struct_size and not NULL. */
#define WEIR_HAS_FN(ptr, field) (WEIR_HAS(ptr, field) && (ptr)->field != NULL)

#ifdef __cplusplus
}
#endif
#endif
