/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yyjson.h>

enum kind { PLACE, TEXT, NUMBER, BOOL, TIME, PRICE, AMOUNT, TAGS };

static const struct {
    const char *head, *name;
    enum kind kind;
} columns[] = {
    {"month", "month", TEXT}, /* with the place: where the next page begins */
    {"place", NULL, PLACE},
    {"id", "id", TEXT},
    {"seq", "seq", NUMBER},
    {"type", "type", TEXT},
    {"started", "started_us", TIME},
    {"ended", "ended_us", TIME},
    {"request_id", "request_id", TEXT},
    {"tenant", "tenant", TEXT},
    {"key", "key", TEXT},
    {"user", "user", TEXT},
    {"model", "model", TEXT},
    {"target", "target", TEXT},
    {"class", "class", TEXT},
    {"stream", "stream", BOOL},
    {"requests", "requests", NUMBER},
    {"prompt_tokens", "prompt_tokens", NUMBER},
    {"cached_tokens", "cached_tokens", NUMBER},
    {"completion_tokens", "completion_tokens", NUMBER},
    {"delivered_tokens", "delivered_tokens", NUMBER},
    {"gpu_us", "gpu_us", NUMBER},
    {"price", "price", PRICE},
    {"currency", "currency", TEXT},
    {"amount", "amount_micro", AMOUNT},
    {"status", "status", NUMBER},
    {"finish", "finish", TEXT},
    {"error", "error", TEXT},
    {"source", "source", TEXT},
    {"idempotency_key", "idempotency_key", TEXT},
    {"attempts", "attempts", NUMBER},
    {"tags", "tags", TAGS},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

void billing_row_csv_head(struct billing_text *t)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        billing_text_literal(t, i ? "," : "");
        billing_text_literal(t, columns[i].head);
    }
    billing_text_literal(t, "\r\n");
}

static void add_csv(struct billing_text *t, const char *p, size_t n)
{
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        quoted = quoted || p[i] == '"' || p[i] == ',' || p[i] == '\r' || p[i] == '\n';
    }
    billing_text_literal(t, quoted ? "\"" : "");
    if (n && strchr("=+-@\t\r", p[0])) {
        billing_text_literal(t, "'");
    }
    for (size_t i = 0; i < n; i++) {
        billing_text_literal(t, p[i] == '"' ? "\"" : "");
        billing_text_add(t, (weir_str){p + i, 1});
    }
    billing_text_literal(t, quoted ? "\"" : "");
}

static void add_csv_text(struct billing_text *t, yyjson_val *v)
{
    const char *text = yyjson_get_str(v);
    add_csv(t, text, text ? yyjson_get_len(v) : 0); /* arrays have a length too */
}

static void add_csv_json(struct billing_text *t, yyjson_val *v)
{
    size_t n = 0;
    char *text = v ? yyjson_val_write(v, 0, &n) : NULL;
    if (text) {
        add_csv(t, text, n);
    } else if (v) {
        t->failed = true;
    }
    free(text);
}

static void add_time(struct billing_text *t, uint64_t us)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    char text[40];
    if (gmtime_r(&s, &tm)) {
        size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + n, sizeof(text) - n, ".%06uZ", (unsigned)(us % 1000000));
        billing_text_literal(t, text);
    }
}

static void add_amount(struct billing_text *t, int64_t micros)
{
    char text[32];
    uint64_t u = micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros;
    (void)snprintf(text, sizeof(text), "%s%llu.%06u", micros < 0 ? "-" : "",
                   (unsigned long long)(u / 1000000), (unsigned)(u % 1000000));
    billing_text_literal(t, text);
}

static void add_column(struct billing_text *t, enum kind kind, uint64_t place, yyjson_val *v)
{
    switch (kind) {
    case PLACE: billing_text_number(t, (int64_t)place); break;
    case TEXT: add_csv_text(t, v); break;
    case NUMBER: billing_text_number(t, yyjson_get_sint(v)); break;
    case BOOL: billing_text_literal(t, yyjson_is_true(v) ? "true" : "false"); break;
    case TIME: add_time(t, yyjson_get_uint(v)); break;
    case PRICE: add_csv_text(t, yyjson_obj_get(v, "version")); break;
    case TAGS: add_csv_json(t, v); break;
    case AMOUNT: add_amount(t, yyjson_get_sint(v)); break;
    }
}

int billing_row_csv(struct billing_text *t, uint64_t place, weir_str entry)
{
    yyjson_doc *doc = yyjson_read(entry.p, entry.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) {
        yyjson_doc_free(doc);
        return WEIR_E_FORMAT;
    }
    size_t before = t->n;
    for (int i = 0; i < N_COLUMNS; i++) {
        yyjson_val *v = columns[i].name ? yyjson_obj_get(root, columns[i].name) : NULL;
        billing_text_literal(t, i ? "," : "");
        add_column(t, columns[i].kind, place, v);
    }
    billing_text_literal(t, "\r\n");
    yyjson_doc_free(doc);
    t->n = t->failed ? before : t->n;
    return 0;
}

void billing_row_json(struct billing_text *t, uint64_t place, weir_str entry)
{
    size_t before = t->n;
    billing_text_literal(t, "{\"place\":");
    billing_text_number(t, (int64_t)place);
    billing_text_literal(t, ",");
    billing_text_add(t, (weir_str){entry.p + 1, entry.n - 1}); /* without its brace */
    billing_text_literal(t, "\n");
    t->n = t->failed ? before : t->n;
}

uint64_t billing_row_started_us(weir_str entry)
{
    yyjson_doc *doc = yyjson_read(entry.p, entry.n, 0);
    uint64_t us = yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "started_us"));
    yyjson_doc_free(doc);
    return us;
}
