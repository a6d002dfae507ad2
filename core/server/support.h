/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a configuration may ask for and this build cannot do.
 *
 * Why: it must not pass in silence. The daemon does not start with it, and `weir check` says so
 * beforehand. What is only less good without it (fallback, affinity) is named in the log instead.
 * Threads: any; pure. Errors: findings at the keys. */
#include "core/config/config.h"

void weir_support_check(const struct weir_config *config, struct weir_findings *findings);
