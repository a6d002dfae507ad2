/* SPDX-License-Identifier: Apache-2.0 */
#include <yyjson.h>

#include "breaker.h"
#include "rules.h"

const char breaker_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"failure_threshold\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":5,"
    "\"description\":\"Failures in a row that open a target's circuit; "
    "load_balancing.circuit_breaker.failure_threshold unless given here.\"},"
    "\"failure_percent\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100,\"default\":50,"
    "\"description\":\"Part of a window's attempts whose failure opens it too; 0: it does not.\"},"
    "\"min_requests\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":20,"
    "\"description\":\"Attempts in a window before failure_percent says anything.\"},"
    "\"window\":{\"type\":\"string\",\"format\":\"duration\",\"default\":\"10s\","
    "\"description\":\"Of failure_percent.\"},"
    "\"open_time\":{\"type\":\"string\",\"format\":\"duration\",\"default\":\"10s\","
    "\"description\":\"How long it stays open; twice as long each time that a trial fails.\"},"
    "\"max_open_time\":{\"type\":\"string\",\"format\":\"duration\",\"default\":\"2m\","
    "\"description\":\"But not longer.\"},"
    "\"half_open_requests\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":2,"
    "\"description\":\"Requests of a trial: one replica at a time tries a half open target. All "
    "must "
    "go well to close it, one bad one opens it again.\"},"
    "\"max_open_percent\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100,\"default\":50,"
    "\"description\":\"Part of a model's targets that may be open or half open; one always "
    "may.\"}}}";

static uint32_t number(yyjson_val *root, const char *name)
{
    return (uint32_t)yyjson_get_uint(yyjson_obj_get(root, name));
}

static uint64_t time_us(yyjson_val *root, const char *name, uint64_t otherwise_ms)
{
    uint64_t ms = rules_duration_ms(yyjson_obj_get(root, name), otherwise_ms);
    const uint64_t most_ms = UINT64_C(86400000);
    return (ms < 1 ? 1 : ms < most_ms ? ms : most_ms) * 1000;
}

int breaker_read_settings(struct breaker_settings *s, weir_str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!root) {
        return WEIR_E_NOMEM;
    }
    *s = (struct breaker_settings){
        .circuit = {.failure_threshold = number(root, "failure_threshold"),
                    .failure_percent = number(root, "failure_percent"),
                    .min_requests = number(root, "min_requests"),
                    .window_us = time_us(root, "window", 10000),
                    .open_us = time_us(root, "open_time", 10000),
                    .max_open_us = time_us(root, "max_open_time", 120000),
                    .trial_requests = number(root, "half_open_requests")},
        .max_open_percent = number(root, "max_open_percent"),
    };
    yyjson_doc_free(doc);
    return 0;
}
