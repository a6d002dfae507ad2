/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir plugin test`: runs the conformance kit and prints its verdicts. */
#include <stdbool.h>

#include "sdk/kit/conformance.h"

/* Returns an exit code. */
int weir_plugin_test(const struct weir_kit_target *target, bool json);
