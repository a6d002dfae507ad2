/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <yyjson.h>

const char billing_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"price_book\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000,\"description\":"
    "\"File of the price book. Without it usage is recorded and costs nothing.\"},"
    "\"on_store_loss\":{\"type\":\"string\",\"enum\":[\"deny\",\"local\",\"allow\"],"
    "\"default\":\"deny\",\"description\":\"What becomes of requests while the store is lost. "
    "deny: 503. local: they run, their usage is kept in memory while the backlog has room, and "
    "denied after that. allow: they run; usage that the backlog cannot hold is lost.\"},"
    "\"backlog\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":10000,"
    "\"description\":\"Finished requests kept in memory until the store takes their usage.\"},"
    "\"idempotency\":{\"type\":\"boolean\",\"default\":true,\"description\":"
    "\"Honour the header Idempotency-Key.\"},"
    "\"replays\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000,\"default\":3,"
    "\"description\":\"How often a finished request may run again under its Idempotency-Key; the "
    "largest run is billed.\"},"
    "\"webhook\":{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"url\",\"secret\"],\"description\":\"Where ledger entries are posted to.\","
    "\"properties\":{"
    "\"url\":{\"type\":\"string\",\"pattern\":\"^https?://\",\"maxLength\":1000},"
    "\"secret\":{\"type\":\"string\",\"minLength\":16,\"maxLength\":256,\"description\":"
    "\"Key of the HMAC-SHA256 signature.\"},"
    "\"attempts\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100,\"default\":12,"
    "\"description\":\"Tries before an entry is put aside as dead.\"},"
    "\"timeout_ms\":{\"type\":\"integer\",\"minimum\":100,\"maximum\":60000,\"default\":10000},"
    "\"batch\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":500,\"default\":100,"
    "\"description\":\"Most entries in one request.\"},"
    "\"failure_threshold\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000,\"default\":5,"
    "\"description\":\"Failures in a row after which nothing is posted for a while.\"},"
    "\"open_ms\":{\"type\":\"integer\",\"minimum\":100,\"maximum\":3600000,\"default\":10000,"
    "\"description\":\"For how long; twice as long each time that the trial after it fails, up to "
    "max_open_ms.\"},"
    "\"max_open_ms\":{\"type\":\"integer\",\"minimum\":100,\"maximum\":3600000,"
    "\"default\":120000}}}}}";

static void read_text(yyjson_val *object, const char *name, char *to, size_t cap)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    (void)snprintf(to, cap, "%s", text ? text : "");
}

static uint32_t read_number(yyjson_val *object, const char *name, uint32_t otherwise)
{
    yyjson_val *v = yyjson_obj_get(object, name);
    return yyjson_is_int(v) ? (uint32_t)yyjson_get_uint(v) : otherwise;
}

int billing_config_read(weir_str json, struct billing_config *ret_config)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *hook = yyjson_obj_get(root, "webhook");
    if (!yyjson_is_obj(root)) {
        yyjson_doc_free(doc);
        return WEIR_E_FORMAT;
    }
    struct billing_config c = {
        .backlog = read_number(root, "backlog", 10000),
        .idempotency = !yyjson_is_false(yyjson_obj_get(root, "idempotency")),
        .replays = read_number(root, "replays", 3),
        .webhook_attempts = read_number(hook, "attempts", 12),
        .webhook_timeout_ms = read_number(hook, "timeout_ms", 10000),
        .webhook_batch = read_number(hook, "batch", 100),
        .webhook_circuit = {.failure_threshold = read_number(hook, "failure_threshold", 5),
                            .open_us = read_number(hook, "open_ms", 10000) * UINT64_C(1000),
                            .max_open_us =
                                read_number(hook, "max_open_ms", 120000) * UINT64_C(1000),
                            .trial_requests = 1},
    };
    char loss[8];
    read_text(root, "on_store_loss", loss, sizeof(loss));
    c.on_store_loss = strcmp(loss, "local") == 0   ? BILLING_LOSS_LOCAL
                      : strcmp(loss, "allow") == 0 ? BILLING_LOSS_ALLOW
                                                   : BILLING_LOSS_DENY;
    read_text(root, "price_book", c.price_book, sizeof(c.price_book));
    read_text(hook, "url", c.webhook_url, sizeof(c.webhook_url));
    read_text(hook, "secret", c.webhook_secret, sizeof(c.webhook_secret));
    yyjson_doc_free(doc);
    *ret_config = c;
    return 0;
}
