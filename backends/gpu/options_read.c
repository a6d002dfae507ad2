/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <yyjson.h>

#include "backends/gpu/options.h"
#include "kernels/kv/kv_layout.h"

enum { STEP_LIMIT_MS_MAX = 60 * 60 * 1000, MEMORY_MB_MAX = 1 << 24 };

static bool read_kv_type(yyjson_val *value, struct weir_gpu_options *o)
{
    bool is_f16 = yyjson_equals_str(value, "f16");
    o->kv_type = is_f16 ? WEIR_KV_F16 : WEIR_KV_I8;
    return is_f16 || yyjson_equals_str(value, "int8");
}

static bool read_graphs(yyjson_val *value, struct weir_gpu_options *o)
{
    o->use_graphs = yyjson_get_bool(value);
    return yyjson_is_bool(value);
}

static bool read_memory(yyjson_val *value, struct weir_gpu_options *o)
{
    uint64_t mb = yyjson_get_uint(value);
    o->memory_bytes = mb << 20;
    return yyjson_is_uint(value) && mb > 0 && mb <= MEMORY_MB_MAX;
}

static bool read_step_limit(yyjson_val *value, struct weir_gpu_options *o)
{
    uint64_t ms = yyjson_get_uint(value);
    o->step_limit_ms = ms <= STEP_LIMIT_MS_MAX ? (uint32_t)ms : 0;
    return yyjson_is_uint(value) && ms <= STEP_LIMIT_MS_MAX;
}

static const struct {
    const char *name, *allowed;
    bool (*read)(yyjson_val *value, struct weir_gpu_options *o);
} options[] = {
    {"kv_type", "\"f16\" or \"int8\"", read_kv_type},
    {"graphs", "true or false", read_graphs},
    {"memory_mb", "a number of MiB", read_memory},
    {"step_limit_ms", "0 to 3600000 milliseconds, 0 is no limit", read_step_limit},
};

enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static int read_one(const char *name, yyjson_val *value, struct weir_gpu_options *o,
                    struct weir_error *err)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (strcmp(options[i].name, name) == 0) {
            return options[i].read(value, o)
                       ? 0
                       : weir_error_set(err, WEIR_E_ARG, "option \"%s\" must be %s", name,
                                        options[i].allowed);
        }
    }
    return weir_error_set(err, WEIR_E_ARG,
                          "option \"%s\" is unknown; known are kv_type, graphs, memory_mb and "
                          "step_limit_ms",
                          name);
}

int weir_gpu_options_read(weir_str json, struct weir_gpu_options *ret_options,
                          struct weir_error *err)
{
    weir_gpu_options_init(ret_options);
    if (json.n == 0) {
        return 0;
    }
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = yyjson_is_obj(root)
                 ? 0
                 : weir_error_set(err, WEIR_E_ARG, "the backend's options are no JSON object");
    yyjson_val *key = NULL;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    while (rc == 0 && (key = yyjson_obj_iter_next(&it))) {
        rc = read_one(yyjson_get_str(key), yyjson_obj_iter_get_val(key), ret_options, err);
    }
    yyjson_doc_free(doc);
    return rc;
}
