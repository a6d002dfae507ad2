/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A bar on the terminal while models load. Threads: [main-thread]. */
#include "core/target/model.h"

/* Draws over its last line; ends the line once nothing loads any more. */
void weir_progress_show(const struct weir_models *models);
