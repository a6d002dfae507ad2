/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a request meets before it is prepared when there is too much to do, or nothing that can run
 * its model: the steps that its class's ladder has reached (shedding.h), and the model's fallback.
 *
 * A fallback is tried in the order of the model's list; the tenant must be allowed to use it, and a
 * target of it must be ready. Once a request runs on one, further ones follow when that fails, too.
 * Threads: [loop-thread]. */
#include <stdbool.h>

struct weir_request;

/* Applies the ladder; false when that has answered the request. */
bool weir_overload_pass(struct weir_request *r);
/* After the plugins have had their chance to answer from a cache: false when nothing else may. */
bool weir_overload_pass_uncached(struct weir_request *r);
/* The model has no target that can run: the request's model becomes the next of the list, and its
 * target one of that model's. False: there is none, all stays as it was. */
bool weir_overload_fall_back(struct weir_request *r);
