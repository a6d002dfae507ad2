/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The OpenAPI 3.1 description of the admin listener, written from the tables of routes and from the
 * routes that the chain's plugins registered; a tenant's schema is the configuration's own.
 * Threads: the admin listener's loop. Errors: WEIR_E_NOMEM. */
#include "base/buf.h"

struct weir_plugin_chain;

int weir_admin_openapi_write(const struct weir_plugin_chain *chain, struct weir_buf *out);
