/* SPDX-License-Identifier: Apache-2.0 */
#include <yyjson.h>

#include "cache.h"

const char cache_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"ttl\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":31536000,\"default\":3600,"
    "\"description\":\"Seconds that an answer is kept; caching.response.ttl unless given here.\"},"
    "\"max_size\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000,\"default\":10000,"
    "\"description\":\"Answers kept for each tenant, at most; "
    "caching.response.max_size "
    "unless given here.\"},"
    "\"memory_mb\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":65536,\"default\":64,"
    "\"description\":\"MiB of answers kept in this process: all with the memory store, else in "
    "front of it; 0: none.\"},"
    "\"max_answer_kb\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":256,"
    "\"description\":\"KiB of the largest answer that is kept.\"},"
    "\"max_request_kb\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65536,\"default\":1024,"
    "\"description\":\"KiB of the largest request body that is looked for.\"},"
    "\"sampled\":{\"type\":\"boolean\",\"default\":false,\"description\":\"Also keep answers whose "
    "tokens are drawn (temperature above 0) without a seed: the same question then has the same "
    "answer until it expires.\"},"
    "\"partition\":{\"enum\":[\"tenant\",\"key\",\"user\"],\"default\":\"tenant\",\"description\":"
    "\"Who may get an answer again: the tenant whose it is, or only the same key or user of it.\"},"
    "\"coalesce_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":60000,\"default\":10000,"
    "\"description\":\"How long a request that is not streamed waits for an equal one that runs; "
    "0: "
    "it does not.\"},"
    "\"on_store_loss\":{\"enum\":[\"allow\",\"deny\"],\"default\":\"allow\",\"description\":"
    "\"Without the store: allow runs what is not in memory; deny answers 503, for models that "
    "cannot "
    "bear the full load.\"}}}";

static uint64_t number(yyjson_val *root, const char *name)
{
    return yyjson_get_uint(yyjson_obj_get(root, name));
}

int cache_read_settings(struct cache_settings *s, weir_str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *partition = yyjson_obj_get(root, "partition");
    if (!root) {
        return WEIR_E_NOMEM;
    }
    *s = (struct cache_settings){
        .ttl_us = number(root, "ttl") * 1000000,
        .places = number(root, "max_size"),
        .memory_bytes = (size_t)number(root, "memory_mb") << 20,
        .max_answer_bytes = (size_t)number(root, "max_answer_kb") << 10,
        .max_request_bytes = (size_t)number(root, "max_request_kb") << 10,
        .coalesce_ms = (uint32_t)number(root, "coalesce_ms"),
        .partition = yyjson_equals_str(partition, "key")    ? PARTITION_KEY
                     : yyjson_equals_str(partition, "user") ? PARTITION_USER
                                                            : PARTITION_TENANT,
        .sampled = yyjson_get_bool(yyjson_obj_get(root, "sampled")),
        .deny_on_loss = yyjson_equals_str(yyjson_obj_get(root, "on_store_loss"), "deny"),
    };
    yyjson_doc_free(doc);
    return s->places ? 0 : WEIR_E_ARG;
}
