/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a model is made of, as one number: what is kept of its answers holds as long as it stays.
 *
 * How: a hash over the configuration of its targets and, for engines, over the size of the model's
 * file and samples of it. Two replicas with equal files and configurations agree on it; a date
 * would differ between them. Threads: [main]. Errors: a file that cannot be read counts as empty;
 * opening the model complains of it. */
#include "core/config/config.h"

uint64_t weir_model_config_revision(const struct weir_config *config,
                                    const struct weir_config_model *model);
