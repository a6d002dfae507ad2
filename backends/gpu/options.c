/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/options.h"

#include "kernels/kv/kv_layout.h"

enum { STEP_LIMIT_MS = 60 * 1000 };

void weir_gpu_options_init(struct weir_gpu_options *o)
{
    *o = (struct weir_gpu_options){
        .kv_type = WEIR_KV_F16, .use_graphs = true, .step_limit_ms = STEP_LIMIT_MS};
}
