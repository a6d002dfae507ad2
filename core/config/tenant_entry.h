/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Judges one entry of the `tenants:` block that did not come from the file: one judge for both ways
 * to make a tenant.
 *
 * Ownership: the result is the caller's: free(). Threads: any.
 * Errors: WEIR_E_FORMAT with key path and sentence; WEIR_E_NOMEM. */
#include "core/config/config.h"

struct weir_tenant_problem {
    char path[WEIR_DOC_PATH_BYTES]; /* "limits.concurrent"; empty: the entry as a whole */
    char text[400];
};

/* `entry` is a JSON object. *ret_json gets it with defaults filled in. Models that it names must be
 * models of `config`; NULL: of any name. */
int weir_tenant_entry_check(const struct weir_config *config, weir_str name, weir_str entry,
                            char **ret_json, struct weir_tenant_problem *ret_problem);
