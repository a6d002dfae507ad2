/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* GET /admin/v1/tenants/{tenant}/export: the tenant and every record that plugins keep for it, as
 * one JSON object; secrets' hashes stay out, logs have routes of their own.
 * Bounds: 64 MiB; a larger one is refused. Threads: the admin listener's loop. */
struct weir_request;
void weir_tenant_export(struct weir_request *r);
