/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The host's own routes of the admin API, one row each; plugins add theirs by weir.admin/1.
 *
 * The description /admin/v1/openapi.json is written from the same rows, so that it cannot drift.
 * Ownership: static. Threads: any; constant. */
#include <stddef.h>
#include <stdint.h>

struct weir_request;

struct weir_admin_route_row {
    const char *method;
    const char *path; /* with {parameters} */
    uint32_t scopes;  /* who besides WEIR_SCOPE_ADMIN may call it */
    const char *summary;
    const char *openapi; /* members of the operation: "parameters", "requestBody", "responses" */
    void (*run)(struct weir_request *r);
};

struct weir_admin_table {
    const struct weir_admin_route_row *rows; /* [n] */
    size_t n;
};

extern const struct weir_admin_table weir_admin_system_routes;  /* system_api.c */
extern const struct weir_admin_table weir_admin_tenants_routes; /* tenants_api.c */

/* All tables; *ret_n gets how many. */
const struct weir_admin_table *const *weir_admin_tables(size_t *ret_n);
