/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The configured models with their targets, fallbacks and ladders, at start.
 *
 * Ownership: all of it becomes the server's, also on failure. Threads: [main].
 * Errors: what a person can mend in the file goes to `findings`. */
#include "base/error.h"
#include "core/config/findings.h"

struct weir_server;

int weir_server_open_models(struct weir_server *s, struct weir_findings *findings,
                            struct weir_error *err);
