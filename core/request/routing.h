/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a request says about the targets it should run on, and the choice that follows.
 *
 * Who decides, the first that has something to say: a policy that pinned a target; the tenant's
 * regions, which are never left; the header x-gateway-destination-endpoint, a list of endpoints or
 * names of targets of which the first usable one holds (those that the model does not have are
 * passed over); targets that have failed this request before; then balance.h with the session that
 * the model's affinity names. Threads: [loop-thread]. */
#include <stdbool.h>

struct weir_request;
struct weir_model;
struct weir_target;

/* A target of `model` for the request, and its number in r->target_index; NULL: none can run it
 * now. Leaves in r->ask what the queue must know. */
struct weir_target *weir_routing_choose(struct weir_request *r, struct weir_model *model);
/* The tenant's regions have no target of that model, usable or not. */
bool weir_routing_is_forbidden(struct weir_request *r, struct weir_model *model);
