/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The syntax of HTTP fields (RFC 9110, 5.5 and 5.6.2), for whoever lets others name them.
 *
 * Why: a line break in a field would split the response. Threads: any. No errors, no allocation. */
#include <stdbool.h>

#include "weir/types.h"

/* A token: the name of a field. */
bool weir_http_is_token(weir_str s);
/* No control character but a tab. */
bool weir_http_is_field_value(weir_str s);
/* Is the token `name`, in any case, the known one? That is of lower-case letters, digits and
 * hyphens. */
bool weir_http_is_named(weir_str name, weir_str known);
