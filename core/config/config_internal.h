/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From validated JSON to typed fields, for config.c and config_build.c only. */
#include "core/config/config.h"

/* Fills all typed fields from config->json and config->doc. WEIR_E_NOMEM. */
int weir__config_build(struct weir_config *config);
