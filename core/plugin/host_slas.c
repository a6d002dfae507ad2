/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.slas/1". */
#include "core/config/service_class.h"
#include "core/plugin/plugins_internal.h"

static int latency(const weir_host *h, weir_str service_class, weir_latency_sla *out)
{
    struct weir_plugin_instance *inst = weir_host_instance(h);
    enum weir_class class;
    if (!inst->defining || !out || weir_class_parse(service_class, &class) < 0) {
        return WEIR_E_ARG;
    }
    const struct weir_config_latency_sla *sla = &inst->plugins->options.slas[class];
    if (!sla->ttft_us && !sla->p95_us && !sla->p99_us) {
        return WEIR_E_NOTFOUND;
    }
    *out = (weir_latency_sla){.struct_size = sizeof(*out),
                              .ttft_max_us = sla->ttft_us,
                              .p95_max_us = sla->p95_us,
                              .p99_max_us = sla->p99_us};
    return 0;
}

const weir_ext_slas weir_host_slas = {.struct_size = sizeof(weir_ext_slas), .latency = latency};
