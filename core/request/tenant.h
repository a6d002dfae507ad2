/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a request's tenant says about it: whether it is served, its models, its service
 * class and its share of the machine.
 *
 * All are read from the registry as it is now, so that a change applies to the next request. A
 * request without a tenant, or whose tenant a plugin named and the registry does not have, may use
 * every model.
 * Threads: [loop-thread]. */
#include <stdbool.h>
#include <stdint.h>

struct weir_model;
struct weir_request;

/* False: answered, with 403 when the tenant is suspended. */
bool weir_tenant_is_served(struct weir_request *r);
/* By the tenant, and by the key where that narrows it. */
bool weir_tenant_allows(struct weir_request *r, const struct weir_model *model);
/* Its share, for the queue and, in the generation, for the target; before the prompt is prepared.
 */
void weir_tenant_read_resources(struct weir_request *r);
/* Bytes of kept answers that its tenant may have; 0: nothing was said. */
int64_t weir_tenant_cache_bytes(const struct weir_request *r);
/* The tenant's class, else the model's; a class that a plugin chose stays. */
void weir_tenant_choose_class(struct weir_request *r);
