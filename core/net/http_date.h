/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Date header field, made once per second (RFC 9110 §5.6.7).
 * Ownership: a value; the view lives until the next call. Threads: none. */
#include <time.h>

#include "weir/types.h"

struct weir_http_date {
    time_t second;
    size_t n;
    char line[64]; /* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */
};

weir_str weir_http_date_line(struct weir_http_date *d, time_t now);
