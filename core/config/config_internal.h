/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Steps of reading a configuration, for this directory only. */
#include "core/config/config.h"

/* Fills all typed fields from config->json and config->doc. WEIR_E_NOMEM. */
int weir__config_build(struct weir_config *config);
/* Checks a document against the built-in schema; *ret_json gets it with defaults. */
int weir__config_check_shape(const struct weir_doc *doc, struct weir_findings *findings,
                             yyjson_doc **ret_json);
