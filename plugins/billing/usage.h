/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* GET /admin/v1/tenants/{tenant}/usage, or /admin/v1/usage?tenant=: a tenant's ledger, page by
 * page.
 *
 * month=YYYY-MM or from= and to= (RFC 3339, UTC; the present month without
 * any), format=jsonl|csv, limit=1..1000, after=MONTH:PLACE (of the last line of the page before).
 * An empty page is the end; CSV has its head on the first page only. Lines are in order of month
 * and place. A key with the scope tenant_admin sees its own tenant. Bounds: a page has at most 1000
 * lines and 1,000,000 bytes. Threads: [main]. */
struct billing;

/* Registers the routes; a host without the extension has none. */
int billing_usage_routes(struct billing *b);
