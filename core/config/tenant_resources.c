/* SPDX-License-Identifier: Apache-2.0 */
#include "tenant_resources.h"

#include "core/config/units.h"

static uint32_t number_of(yyjson_val *json, const char *key)
{
    uint64_t n = yyjson_get_uint(yyjson_obj_get(json, key));
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t ppm_of(yyjson_val *json, const char *key)
{
    double part = yyjson_get_num(yyjson_obj_get(json, key));
    if (!(part > 0) || part > 1) {
        return 0;
    }
    uint32_t ppm = (uint32_t)(part * 1e6);
    return ppm > 0 ? ppm : 1;
}

static uint64_t bytes_of(yyjson_val *json, const char *key)
{
    yyjson_val *value = yyjson_obj_get(json, key);
    uint64_t n = yyjson_get_uint(value);
    if (yyjson_is_str(value)) {
        weir_str text = {yyjson_get_str(value), yyjson_get_len(value)};
        n = weir_bytes_parse(text, &n) < 0 ? 0 : n;
    }
    return n;
}

struct weir_tenant_resources weir_tenant_resources_read(yyjson_val *json)
{
    return (struct weir_tenant_resources){
        .weight = number_of(json, "weight"),
        .share_ppm = ppm_of(json, "gpu_share"),
        .share_is_hard = yyjson_get_bool(yyjson_obj_get(json, "gpu_share_hard")),
        .kv_bytes = bytes_of(json, "kv_memory"),
        .cache_bytes = bytes_of(json, "cache"),
        .queue = number_of(json, "queue"),
        .streams = number_of(json, "streams"),
    };
}
