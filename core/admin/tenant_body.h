/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tenants as JSON of the admin API, in and out.
 *
 * A tenant is an entry of the `tenants:` block plus what can only be read: name, source ("api" or
 * "config"), created, updated. Those are taken out of what clients send back.
 * Threads: the admin listener's loop. */
#include <yyjson.h>

#include "base/buf.h"
#include "core/admin/etag.h"
#include "core/tenants/tenant.h"

struct weir_request;

void weir_tenant_body_etag(const struct weir_tenant *t, char ret_etag[WEIR_ETAG_BYTES]);
void weir_tenant_body_write(const struct weir_tenant *t, struct weir_buf *out);

/* The body's object, checked as JSON; NULL: answered. To be freed. */
yyjson_doc *weir_tenant_body_parse(struct weir_request *r);
/* The record of a tenant that shall be as `entry` says, to be freed; NULL: answered. `old` NULL: a
 * new one; else the state and the time of creation are kept where `entry` says nothing. */
char *weir_tenant_body_record(struct weir_request *r, weir_str name, yyjson_val *entry,
                              const struct weir_tenant *old);
/* The record of `old` with another state; NULL: no memory. */
char *weir_tenant_body_restate(const struct weir_tenant *old, enum weir_tenant_state state);
