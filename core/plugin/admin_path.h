/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Path templates of admin routes: "/admin/v1/tenants/{tenant}/keys".
 *
 * Ownership: names point into the template, values into the arena. Threads: any.
 * Errors: WEIR_E_NOTFOUND: the path is another; WEIR_E_FORMAT: a percent escape is malformed or
 * decodes to a control character; WEIR_E_NOMEM. */
#include "base/arena.h"

enum { WEIR_ADMIN_MAX_PARAMS = 4, WEIR_ADMIN_MAX_PATH_BYTES = 256 };

struct weir_admin_param {
    weir_str name, value; /* the value is decoded, NUL-ended and not empty */
};

struct weir_admin_params {
    struct weir_admin_param items[WEIR_ADMIN_MAX_PARAMS];
    size_t n;
};

/* Is it well-formed: begins with a slash, whole parts in braces, names of [a-z_], at most 4? */
int weir_admin_path_check(const char *path);
int weir_admin_path_match(const char *path, weir_str given, struct weir_arena *arena,
                          struct weir_admin_params *ret_params);
/* The decoded value of ?name= in a query without its '?'. */
int weir_admin_query_find(weir_str query, const char *name, struct weir_arena *arena,
                          weir_str *ret_value);
