/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One active check: a GET on a connection of its own, waited for.
 *
 * Why a connection of its own: a check shall see what a new client sees, and must not wait behind
 * requests. Plain HTTP/1.1, whatever requests use.
 * Threads: any that may wait. Bounds: `timeout_ms`, but for the look-up of the host's name. */
#include "upstream.h"

/* `path`: of the server, from its root; "": its list of models. 0: it answered with 2xx. */
int weir_upstream_check(struct weir_upstream *u, weir_str path, uint32_t timeout_ms);
