/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which function answers which path: one row each. Threads: [any-thread]; constant. */
#include <stdbool.h>

#include "base/buf.h"
#include "weir/types.h"

struct weir_request;

struct weir_route {
    const char *method; /* NULL: every one */
    weir_str path;
    bool phases; /* plugins see it; false: health probes, which must work when plugins do not */
    void (*run)(struct weir_request *r); /* the body is complete and HEADERS passed */
};

struct weir_routes {
    const struct weir_route *list; /* [n] */
    size_t n;
};

extern const struct weir_routes weir_routes_public, weir_routes_admin;

/* NULL with *ret_status 404 or 405. HEAD finds the GET route. A path that ends in '*' matches
 * everything that goes on there; rows stand from special to general. */
const struct weir_route *weir_routes_find(const struct weir_routes *routes, weir_str method,
                                          weir_str path, uint32_t *ret_status);
/* The methods of a path, or of all paths for "*", as the Allow field names them. False: no such
 * path. */
bool weir_routes_allow(const struct weir_routes *routes, weir_str path, struct weir_buf *ret_allow);
