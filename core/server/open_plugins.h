/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin host with the configured plugins, at start and for a reload.
 *
 * Ownership: the server's, also on failure. Threads: [main].
 * Errors: what a person can mend in the file goes to `findings`. */
#include "core/config/config.h"

struct weir_server;

int weir_server_open_plugins(struct weir_server *s, struct weir_findings *findings,
                             struct weir_error *err);
/* Plugins as `config` has them, or all as they were. */
int weir_server_configure_plugins(struct weir_server *s, const struct weir_config *config,
                                  struct weir_findings *findings);
