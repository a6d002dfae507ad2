/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The admin listener's routes: probes, metrics, /admin/v1. Threads: the admin loop. */
#include "core/request/routes.h"

extern const struct weir_routes weir_routes_admin;
