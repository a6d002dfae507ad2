/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The configured addresses, on every worker: TCP sockets of their own (SO_REUSEPORT), one Unix
 * socket for all; then the admin address.
 *
 * Threads: [main], before the workers run. Errors: a sentence that names the key. */
#include "base/error.h"

struct weir_server;

int weir_server_listen(struct weir_server *s, struct weir_error *err);
