/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request to the admin API: who calls, which route, may they, the answer, the audit line.
 *
 * Order: the caller is found out first, so that nobody without a key learns which routes or tenants
 * there are; then the route; then the scopes. What a caller may not see is answered as if it did
 * not exist: 404, never 403, with the same body. A request with an Origin is refused: it comes from
 * a web page, and no page of ours calls here. Ownership: embedded in the request's arena; finish()
 * when the request ends. Threads: the admin listener's loop, which is [main]. */
#include "core/admin/route.h"
#include "core/plugin/admin.h"
#include "core/request/request.h"

struct weir_admin_call {
    struct weir_plugin_admin plugin; /* caller, parameters, query; first: callbacks cast */
    struct weir_request *request;
    const struct weir_admin_route_row *row; /* NULL: a plugin's route, or none */
    weir_str location;                      /* of what was made, for the audit line */
};

/* The route function of every /admin path: the body is complete. */
void weir_admin_run(struct weir_request *r);
/* The client left. NULL call is fine in both. */
void weir_admin_abandon(struct weir_request *r);
/* The request ends: writes the audit line of a change. */
void weir_admin_finish(struct weir_request *r);

/* The text that stands for {name} in the row's path; never empty there. */
weir_str weir_admin_param(const struct weir_request *r, const char *name);
/* The value of ?name= as a number; `fallback` when it is not there. Answers 400 and gives a
 * negative value when it is not between `low` and `high`. */
int64_t weir_admin_query_number(struct weir_request *r, const char *name, int64_t low, int64_t high,
                                int64_t fallback);
/* Sets the Location of what was made. */
void weir_admin_set_location(struct weir_request *r, weir_str location);
/* Is there one tenant only that the caller may see? */
bool weir_admin_is_bound(const struct weir_request *r, weir_str *ret_tenant);
void weir_admin_answer_no_tenant(struct weir_request *r, weir_str name);
