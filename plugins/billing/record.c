/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

enum { MAX_NAME_BYTES = 256 }; /* of one text among the facts */

static const char open_mark[] = ",\"open\":{"; /* no text can hold it: its quotes are escaped */

void billing_month_of(uint64_t wall_us, char ret_month[BILLING_MONTH_BYTES])
{
    /* Days to the civil calendar (Hinnant, chrono-compatible algorithms), in years that begin in
     * March: every request asks, and the library's calendar knows time zones that we do not need.
     */
    uint64_t days = wall_us / (UINT64_C(86400) * 1000000) + 719468;
    uint64_t era = days / 146097, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t from_march = (5 * of_year + 2) / 153;
    uint64_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    year += era * 400 + (month <= 2);
    const char digits[] = {(char)('0' + year / 1000 % 10),
                           (char)('0' + year / 100 % 10),
                           (char)('0' + year / 10 % 10),
                           (char)('0' + year % 10),
                           '-',
                           (char)('0' + month / 10),
                           (char)('0' + month % 10),
                           '\0'};
    memcpy(ret_month, digits, sizeof(digits));
}

void billing_log_name(const char month[BILLING_MONTH_BYTES], char ret_log[BILLING_LOG_BYTES])
{
    memcpy(ret_log, "usage/", 6);
    memcpy(ret_log + 6, month, BILLING_MONTH_BYTES);
}

/* Text by text: what a plugin set must not break the record. */
static void write_tags(weir_str tags, struct billing_text *t)
{
    yyjson_doc *doc = tags.n ? yyjson_read(tags.p, tags.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc), *name, *value;
    char bytes[BILLING_TAGS_BYTES];
    struct billing_text all = {.bytes = bytes, .cap = sizeof(bytes)};
    yyjson_obj_iter i = yyjson_obj_iter_with(root);
    while ((name = yyjson_obj_iter_next(&i))) {
        size_t before = all.n;
        value = yyjson_obj_iter_get_val(name);
        if (!yyjson_is_str(value)) {
            continue;
        }
        billing_text_literal(&all, before ? "," : "");
        billing_text_string(&all, (weir_str){yyjson_get_str(name), yyjson_get_len(name)},
                            MAX_NAME_BYTES);
        billing_text_literal(&all, ":");
        billing_text_string(&all, (weir_str){yyjson_get_str(value), yyjson_get_len(value)},
                            MAX_NAME_BYTES);
        if (all.failed) {
            all.failed = false;
            all.n = before;
        }
    }
    yyjson_doc_free(doc);
    if (all.n) {
        billing_text_literal(t, ",\"tags\":{");
        billing_text_add(t, billing_text_view(&all));
        billing_text_literal(t, "}");
    }
}

static void write_price(const struct billing_facts *f, struct billing_text *t)
{
    if (!f->has_price) {
        billing_text_literal(t, ",\"price\":null");
        return;
    }
    billing_text_literal(t, ",\"price\":{\"version\":");
    billing_text_string(t, weir_str_from(f->price.version), MAX_NAME_BYTES);
    BILLING_NAME(t, "prompt");
    billing_text_number(t, (int64_t)f->price.prompt);
    BILLING_NAME(t, "cached");
    billing_text_number(t, (int64_t)f->price.cached);
    BILLING_NAME(t, "completion");
    billing_text_number(t, (int64_t)f->price.completion);
    BILLING_NAME(t, "request");
    billing_text_number(t, (int64_t)f->price.request);
    BILLING_NAME(t, "gpu_second");
    billing_text_number(t, (int64_t)f->price.gpu_second);
    billing_text_literal(t, "}");
}

void billing_facts_write(const struct billing_facts *f, struct billing_text *t)
{
    billing_text_literal(t, "\"id\":\"");
    billing_text_literal(t, f->id);
    billing_text_literal(t, "\",\"month\":\"");
    billing_text_literal(t, f->month);
    billing_text_literal(t, "\"");
    BILLING_NAME(t, "request_id");
    billing_text_string(t, f->request_id, MAX_NAME_BYTES);
    BILLING_NAME(t, "tenant");
    billing_text_string(t, f->tenant, SIZE_MAX); /* it is a key: never shortened */
    BILLING_NAME(t, "key");
    billing_text_string(t, f->key, MAX_NAME_BYTES);
    BILLING_NAME(t, "user");
    billing_text_string(t, f->user, MAX_NAME_BYTES);
    BILLING_NAME(t, "model");
    billing_text_string(t, f->model, MAX_NAME_BYTES);
    BILLING_NAME(t, "target");
    billing_text_string(t, f->target, MAX_NAME_BYTES);
    BILLING_NAME(t, "class");
    billing_text_string(t, f->service_class, MAX_NAME_BYTES);
    BILLING_NAME(t, "idempotency_key");
    billing_text_string(t, f->idempotency_key, MAX_NAME_BYTES);
    write_tags(f->tags, t);
    billing_text_literal(t, f->stream ? ",\"stream\":true" : ",\"stream\":false");
    BILLING_NAME(t, "started_us");
    billing_text_number(t, (int64_t)f->started_us);
    BILLING_NAME(t, "attempts");
    billing_text_number(t, f->attempts);
    BILLING_NAME(t, "currency");
    billing_text_string(t, weir_str_from(f->currency), MAX_NAME_BYTES);
    write_price(f, t);
}

static int64_t number(yyjson_val *object, const char *name)
{
    return yyjson_get_sint(yyjson_obj_get(object, name));
}

static bool copy_text(yyjson_val *object, const char *name, char *to, size_t cap)
{
    yyjson_val *v = yyjson_obj_get(object, name);
    size_t n = yyjson_get_len(v);
    if (!yyjson_is_str(v) || n >= cap) {
        return false;
    }
    memcpy(to, yyjson_get_str(v), n + 1);
    return true;
}

static bool read_price(yyjson_val *v, struct billing_facts *f)
{
    if (!yyjson_is_obj(v)) {
        return yyjson_is_null(v);
    }
    f->has_price = true;
    f->price.prompt = (uint64_t)number(v, "prompt");
    f->price.cached = (uint64_t)number(v, "cached");
    f->price.completion = (uint64_t)number(v, "completion");
    f->price.request = (uint64_t)number(v, "request");
    f->price.gpu_second = (uint64_t)number(v, "gpu_second");
    return copy_text(v, "version", f->price.version, sizeof(f->price.version));
}

/* The last occurrence, since the facts come first. */
static const char *find_open(weir_str value)
{
    const size_t n = sizeof(open_mark) - 1;
    for (size_t i = value.n < n ? 0 : value.n - n + 1; i-- > 0;) {
        if (memcmp(value.p + i, open_mark, n) == 0) {
            return value.p + i;
        }
    }
    return NULL;
}

int billing_open_read(weir_str value, struct billing_open *ret_open)
{
    const char *mark = find_open(value);
    yyjson_doc *doc = mark ? yyjson_read(value.p, value.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *open = yyjson_obj_get(root, "open"), *tenant = yyjson_obj_get(root, "tenant");
    struct billing_open o = {.storage = doc};
    bool sound = yyjson_is_obj(open) && yyjson_is_str(tenant) &&
                 copy_text(root, "id", o.facts.id, sizeof(o.facts.id)) &&
                 copy_text(root, "month", o.facts.month, sizeof(o.facts.month)) &&
                 copy_text(root, "currency", o.facts.currency, sizeof(o.facts.currency)) &&
                 copy_text(open, "idem", o.idem, sizeof(o.idem)) &&
                 read_price(yyjson_obj_get(root, "price"), &o.facts);
    if (!sound) {
        yyjson_doc_free(doc);
        return WEIR_E_FORMAT;
    }
    o.facts.tenant = (weir_str){yyjson_get_str(tenant), yyjson_get_len(tenant)};
    o.facts.started_us = (uint64_t)number(root, "started_us");
    o.facts_text = (weir_str){value.p + 1, (size_t)(mark - value.p) - 1};
    o.prompt_tokens = number(open, "prompt_tokens");
    o.delivered_tokens = number(open, "delivered_tokens");
    o.replay = number(open, "replay") > 0;
    *ret_open = o;
    return 0;
}

void billing_open_finish(struct billing_open *open)
{
    yyjson_doc_free(open->storage);
    open->storage = NULL;
}

void billing_totals_price(struct billing_totals *totals, const struct billing_facts *f)
{
    const struct price_usage usage = {
        .prompt_tokens = (uint64_t)totals->prompt_tokens,
        .cached_tokens = (uint64_t)totals->cached_tokens,
        .completion_tokens = (uint64_t)totals->delivered_tokens,
        .requests = (uint64_t)totals->requests,
        .gpu_us = (uint64_t)totals->gpu_us,
    };
    totals->amount = f->has_price ? (int64_t)price_amount(&f->price, &usage) : 0;
}

void billing_totals_add(struct billing_totals *to, const struct billing_totals *more)
{
    to->requests += more->requests;
    to->prompt_tokens += more->prompt_tokens;
    to->cached_tokens += more->cached_tokens;
    to->completion_tokens += more->completion_tokens;
    to->delivered_tokens += more->delivered_tokens;
    to->gpu_us += more->gpu_us;
    to->amount += more->amount;
}

bool billing_totals_equal(const struct billing_totals *a, const struct billing_totals *b)
{
    return a->requests == b->requests && a->prompt_tokens == b->prompt_tokens &&
           a->cached_tokens == b->cached_tokens && a->completion_tokens == b->completion_tokens &&
           a->delivered_tokens == b->delivered_tokens && a->gpu_us == b->gpu_us &&
           a->amount == b->amount;
}

void billing_entry_write(struct billing_text *t, weir_str facts_text, uint32_t seq,
                         const struct billing_totals *add, const struct billing_end *end)
{
    billing_text_literal(t, "{");
    billing_text_add(t, facts_text);
    billing_text_literal(t, seq == 0 ? ",\"type\":\"usage\"" : ",\"type\":\"adjustment\"");
    BILLING_NAME(t, "seq");
    billing_text_number(t, seq);
    BILLING_NAME(t, "requests");
    billing_text_number(t, add->requests);
    BILLING_NAME(t, "prompt_tokens");
    billing_text_number(t, add->prompt_tokens);
    BILLING_NAME(t, "cached_tokens");
    billing_text_number(t, add->cached_tokens);
    BILLING_NAME(t, "completion_tokens");
    billing_text_number(t, add->completion_tokens);
    BILLING_NAME(t, "delivered_tokens");
    billing_text_number(t, add->delivered_tokens);
    BILLING_NAME(t, "gpu_us");
    billing_text_number(t, add->gpu_us);
    BILLING_NAME(t, "amount_micro");
    billing_text_number(t, add->amount);
    BILLING_NAME(t, "ended_us");
    billing_text_number(t, (int64_t)end->ended_us);
    BILLING_NAME(t, "status");
    billing_text_number(t, end->status);
    BILLING_NAME(t, "finish");
    billing_text_string(t, weir_str_from(end->finish), MAX_NAME_BYTES);
    BILLING_NAME(t, "error");
    billing_text_string(t, weir_str_from(end->error), MAX_NAME_BYTES);
    BILLING_NAME(t, "source");
    billing_text_string(t, weir_str_from(end->source), MAX_NAME_BYTES);
    billing_text_literal(t, "}");
}

int billing_entry_read(weir_str entry, struct billing_totals *ret_add)
{
    yyjson_doc *doc = yyjson_read(entry.p, entry.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_str(yyjson_obj_get(root, "type"))) {
        yyjson_doc_free(doc);
        return WEIR_E_FORMAT;
    }
    *ret_add = (struct billing_totals){
        .requests = number(root, "requests"),
        .prompt_tokens = number(root, "prompt_tokens"),
        .cached_tokens = number(root, "cached_tokens"),
        .completion_tokens = number(root, "completion_tokens"),
        .delivered_tokens = number(root, "delivered_tokens"),
        .gpu_us = number(root, "gpu_us"),
        .amount = number(root, "amount_micro"),
    };
    yyjson_doc_free(doc);
    return 0;
}
