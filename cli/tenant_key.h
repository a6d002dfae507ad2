/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir tenant key create|list|rotate|revoke`. Gives the exit code. */
#include "cli/command.h"

int weir_tenant_key(const struct weir_args *args);
