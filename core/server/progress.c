/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>

/* All of it fits into 80 columns, since what has wrapped cannot be drawn over. */
enum { BAR_WIDTH = 40, NAME_WIDTH = 20, LINE_WIDTH = 76 };

void weir_progress_show(const struct weir_models *models)
{
    for (uint32_t i = 0; i < models->n; i++) {
        struct weir_model *m = models->list[i];
        weir_target_status status;
        if (weir_model_n_targets(m) == 0) {
            continue;
        }
        weir_target_read_status(weir_model_target(m, 0), &status);
        if (status.state != WEIR_TARGET_LOADING) {
            continue;
        }
        int filled = (int)(status.progress * BAR_WIDTH);
        filled = filled < 0 ? 0 : filled > BAR_WIDTH ? BAR_WIDTH : filled;
        (void)fprintf(stderr, "\rloading %.*s [%.*s%*s] %3d%%", NAME_WIDTH, weir_model_name(m),
                      filled, "########################################", BAR_WIDTH - filled, "",
                      (int)(status.progress * 100));
        (void)fflush(stderr);
        return;
    }
    (void)fprintf(stderr, "\r%*s\r", LINE_WIDTH, "");
    (void)fflush(stderr);
}
