/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Entity tags and If-Match (RFC 9110 13.1): nobody overwrites a change that he has not seen.
 * Threads: the admin listener's loop. */
#include <stdbool.h>

#include "weir/types.h"

struct weir_request;

enum { WEIR_ETAG_BYTES = 48 };

/* Does If-Match name this tag (quoted, as sent) or "*"? When not it answers 412; 428 when the
 * header is not there. */
bool weir_etag_matches(struct weir_request *r, const char *etag);
