/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the configuration says of a request's tenant: its models and its service class.
 *
 * Both are read from the configuration in force now, so that a reload applies to the next request.
 * A request without a tenant, or whose tenant is not configured, may use every model.
 * Threads: [loop-thread]. */
#include <stdbool.h>

struct weir_model;
struct weir_request;

bool weir_tenant_allows(struct weir_request *r, const struct weir_model *model);
/* The tenant's class, else the model's; a class that a plugin chose stays. */
void weir_tenant_choose_class(struct weir_request *r);
