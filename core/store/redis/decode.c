/* SPDX-License-Identifier: Apache-2.0 */
/* From a reply to a result. A reply that does not look as the script says is an error of the
 * server's, never trusted. */
#include <stdlib.h>

#include "core/store/limit.h"
#include "core/store/redis/op.h"

enum { VERSION_BYTES = 16, HEAD_BYTES = VERSION_BYTES + 2, TAG_LEN_BYTES = 3 };

static bool is_array(const redisReply *r, size_t at_least)
{
    return r->type == REDIS_REPLY_ARRAY && (size_t)r->elements >= at_least;
}

static bool integer_at(const redisReply *r, size_t i, int64_t *ret_value)
{
    const redisReply *e = r->element[i];
    *ret_value = e->type == REDIS_REPLY_INTEGER ? e->integer : 0;
    return e->type == REDIS_REPLY_INTEGER;
}

static bool string_at(const redisReply *r, size_t i, weir_str *ret_value)
{
    const redisReply *e = r->element[i];
    *ret_value = (weir_str){e->str, e->type == REDIS_REPLY_STRING ? (size_t)e->len : 0};
    return e->type == REDIS_REPLY_STRING;
}

/* Decimal digits. */
static bool digits(const char *p, size_t n, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    *ret_value = value;
    return true;
}

/* ---- errors ---- */

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static enum weir_redis_answer decode_error(struct weir_redis_op *op, const char *text,
                                           weir_store_result *result)
{
    /* What another server would do better, or this one soon. */
    static const char *const away[] = {"READONLY", "LOADING",   "MASTERDOWN", "CLUSTERDOWN",
                                       "TRYAGAIN", "NOAUTH",    "NOPERM",     "MOVED",
                                       "ASK",      "NOREPLICAS"};
    if (begins(text, "NOSCRIPT") && op->n_loads < 3) {
        op->n_loads++;
        return WEIR_REDIS_LOAD;
    }
    for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
        if (begins(text, away[i])) {
            result->rc = WEIR_E_IO;
            return WEIR_REDIS_AWAY;
        }
    }
    if (begins(text, "OOM") || begins(text, "MISCONF")) {
        result->rc = WEIR_E_NOMEM; /* it takes no writes: memory, or its disk, is full */
    } else if (begins(text, "BUSY")) {
        result->rc = WEIR_E_IO; /* somebody's script has been running for long */
    } else {
        result->rc = WEIR_E_INTERNAL;
    }
    return WEIR_REDIS_ANSWERED;
}

/* ---- answers ---- */

static bool decode_limits(struct weir_redis_op *op, const redisReply *r,
                          struct weir_redis_room *room, weir_store_result *result)
{
    int64_t passed = 0;
    uint64_t taken_ns[WEIR_STORE_MAX_LEVELS];
    if (!is_array(r, 1 + op->n) || !integer_at(r, 0, &passed)) {
        return false;
    }
    for (uint32_t i = 0; i < op->n; i++) {
        int64_t ns = 0;
        if (!integer_at(r, 1 + i, &ns) || ns < 0) {
            return false;
        }
        taken_ns[i] = (uint64_t)ns;
    }
    weir_store_limit_result(op->levels, op->n, taken_ns, passed && !op->looks_only, room->left,
                            result);
    return true;
}

static bool decode_budgets(struct weir_redis_op *op, const redisReply *r, size_t first,
                           struct weir_redis_room *room, weir_store_result *result)
{
    if (!is_array(r, first + op->n)) {
        return false;
    }
    for (uint32_t i = 0; i < op->n; i++) {
        int64_t taken = 0;
        if (!integer_at(r, first + i, &taken)) {
            return false;
        }
        room->left[i] = weir_store_budget_left(op->limits[i], taken > 0 ? (uint64_t)taken : 0);
    }
    result->left = room->left;
    result->n_left = op->n;
    return true;
}

static bool decode_reserve(struct weir_redis_op *op, const redisReply *r,
                           struct weir_redis_room *room, weir_store_result *result)
{
    int64_t code = 0, by = 0;
    if (!is_array(r, 2) || !integer_at(r, 0, &code) || !integer_at(r, 1, &by) || by < 0 ||
        by >= op->n) {
        return false;
    }
    result->rc = code == 0 ? 0 : code == 1 ? WEIR_E_BUSY : WEIR_E_GONE;
    result->refused_by = (uint32_t)by;
    return decode_budgets(op, r, 2, room, result);
}

/* The layout is in scripts/values.lua. */
static bool decode_value(const redisReply *r, weir_store_result *result)
{
    uint64_t version = 0, n_tags = 0, n = 0;
    size_t len = (size_t)r->len, at = HEAD_BYTES;
    if (r->type == REDIS_REPLY_NIL) {
        result->rc = WEIR_E_NOTFOUND;
        return true;
    }
    if (r->type != REDIS_REPLY_STRING || len < HEAD_BYTES ||
        !digits(r->str, VERSION_BYTES, &version) || !digits(r->str + VERSION_BYTES, 2, &n_tags)) {
        return false;
    }
    for (uint64_t i = 0; i < n_tags; i++) {
        if (len - at < TAG_LEN_BYTES || !digits(r->str + at, TAG_LEN_BYTES, &n) ||
            n > len - at - TAG_LEN_BYTES) {
            return false;
        }
        at += TAG_LEN_BYTES + n;
    }
    result->number = (int64_t)version;
    result->value = (weir_str){r->str + at, len - at};
    return true;
}

/* The value, and the marks of its tenant and tags. */
static bool decode_look(const redisReply *r, weir_store_result *result)
{
    uint64_t sum = 0;
    if (!is_array(r, 2) || !decode_value(r->element[0], result)) {
        return false;
    }
    for (size_t i = 1; i < r->elements; i++) {
        const redisReply *e = r->element[i];
        uint64_t mark = 0;
        if (e->type != REDIS_REPLY_NIL &&
            (e->type != REDIS_REPLY_STRING || e->len > VERSION_BYTES ||
             !digits(e->str, (size_t)e->len, &mark))) {
            return false;
        }
        sum += mark;
    }
    result->number = (int64_t)sum;
    return true;
}

static bool split_record(weir_str record, uint64_t *ret_version, weir_str *ret_value)
{
    if (record.n < VERSION_BYTES || !digits(record.p, VERSION_BYTES, ret_version)) {
        return false;
    }
    *ret_value = (weir_str){record.p + VERSION_BYTES, record.n - VERSION_BYTES};
    return true;
}

static bool decode_record(const redisReply *r, weir_store_result *result)
{
    if (r->type == REDIS_REPLY_NIL) {
        result->rc = WEIR_E_NOTFOUND;
        return true;
    }
    uint64_t version = 0;
    bool ok = r->type == REDIS_REPLY_STRING &&
              split_record((weir_str){r->str, (size_t)r->len}, &version, &result->value);
    result->number = (int64_t)version;
    return ok;
}

/* {0 or 1, number}: 1 is WEIR_E_BUSY. */
static bool decode_verdict(const redisReply *r, weir_store_result *result)
{
    int64_t code = 0;
    bool ok = is_array(r, 2) && integer_at(r, 0, &code) && integer_at(r, 1, &result->number);
    result->rc = ok && code ? WEIR_E_BUSY : 0;
    return ok;
}

static bool decode_number(const redisReply *r, weir_store_result *result)
{
    result->number = r->integer;
    return r->type == REDIS_REPLY_INTEGER;
}

static bool decode_set(const redisReply *r, weir_store_result *result)
{
    result->number = r->integer;
    if (r->type == REDIS_REPLY_INTEGER && r->integer == 0) {
        result->rc = WEIR_E_BUSY;
    }
    return r->type == REDIS_REPLY_INTEGER;
}

static bool decode_sum(const redisReply *r, weir_store_result *result)
{
    char *end = NULL;
    result->number = r->type == REDIS_REPLY_STRING ? strtoll(r->str, &end, 10) : 0;
    return end && *end == '\0';
}

/* One item out of the elements from `at` on, in the order of the script. */
static bool read_item(enum weir_store_op op, const redisReply *r, size_t at, weir_store_item *item)
{
    int64_t number = 0;
    weir_str record;
    bool ok = false;
    if (op == WEIR_STORE_LIST) {
        return string_at(r, at, &item->key) && string_at(r, at + 1, &record) &&
               split_record(record, &item->number, &item->value);
    }
    if (op == WEIR_STORE_READ) {
        ok = integer_at(r, at, &number) && string_at(r, at + 1, &item->key) &&
             string_at(r, at + 2, &item->value);
    } else {
        ok = string_at(r, at, &item->key) && string_at(r, at + 1, &item->value) &&
             integer_at(r, at + 2, &number);
    }
    item->number = (uint64_t)number;
    return ok;
}

static bool decode_items(const struct weir_redis_op *op, const redisReply *r,
                         struct weir_redis_room *room, weir_store_result *result)
{
    size_t first = op->then.op == WEIR_STORE_JOB_CLAIM ? 0 : 1;
    size_t width = op->then.op == WEIR_STORE_LIST ? 2 : 3;
    int64_t more = 0;
    if (!is_array(r, first) || (first && !integer_at(r, 0, &more))) {
        return false;
    }
    size_t n = ((size_t)r->elements - first) / width;
    if (n > WEIR_STORE_MAX_ITEMS || n * width + first != (size_t)r->elements) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_item(op->then.op, r, first + i * width, &room->items[i])) {
            return false;
        }
    }
    result->items = room->items;
    result->n_items = (uint32_t)n;
    result->more = more != 0;
    return true;
}

/* Operations of several steps: sums, and asks for the next. */
static bool decode_step(struct weir_redis_op *op, const redisReply *r, weir_str *ret_cursor,
                        bool *ret_more)
{
    int64_t n = 0, more = 0;
    if (!is_array(r, 2)) {
        return false;
    }
    bool ok = false;
    if (op->then.op == WEIR_STORE_ERASE) {
        ok = string_at(r, 0, ret_cursor) && integer_at(r, 1, &n);
        *ret_more = !weir_str_is(*ret_cursor, "0");
    } else {
        ok = integer_at(r, 0, &n) && integer_at(r, 1, &more);
        *ret_cursor = (weir_str){NULL, 0};
        *ret_more = more != 0;
    }
    op->number += n;
    return ok;
}

static bool decode_one(struct weir_redis_op *op, const redisReply *r, struct weir_redis_room *room,
                       weir_store_result *result)
{
    switch (op->then.op) {
    case WEIR_STORE_TAKE:
    case WEIR_STORE_GIVE: return decode_limits(op, r, room, result);
    case WEIR_STORE_RESERVE: return decode_reserve(op, r, room, result);
    case WEIR_STORE_SETTLE: return decode_budgets(op, r, 0, room, result);
    case WEIR_STORE_GET:
        return r->type == REDIS_REPLY_ARRAY ? decode_look(r, result) : decode_value(r, result);
    case WEIR_STORE_SET: return decode_set(r, result);
    case WEIR_STORE_FIND: return decode_record(r, result);
    case WEIR_STORE_PUT:
    case WEIR_STORE_APPEND: return decode_verdict(r, result);
    case WEIR_STORE_ADD: return decode_sum(r, result);
    case WEIR_STORE_LIST:
    case WEIR_STORE_READ:
    case WEIR_STORE_JOB_CLAIM: return decode_items(op, r, room, result);
    default: return decode_number(r, result);
    }
}

enum weir_redis_answer weir_redis_decode(struct weir_redis_op *op,
                                         const struct weir_redis_scripts *scripts, weir_str prefix,
                                         const redisReply *reply, struct weir_redis_room *room,
                                         weir_store_result *result)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        return decode_error(op, reply->str, result);
    }
    bool ok = false;
    if (op->then.op == WEIR_STORE_ERASE || op->then.op == WEIR_STORE_INVALIDATE) {
        weir_str cursor;
        bool more = false;
        ok = decode_step(op, reply, &cursor, &more);
        if (ok && more) {
            const struct weir_store_call next = {
                .op = op->then.op, .tenant = op->again.tenant, .key = op->again.key, .id = cursor};
            if (weir_redis_encode(op, scripts, prefix, &next) == 0) {
                return WEIR_REDIS_GO_ON;
            }
            result->rc = WEIR_E_NOMEM;
        }
        result->number = op->number;
    } else {
        ok = decode_one(op, reply, room, result);
    }
    if (!ok) {
        *result = (weir_store_result){.rc = WEIR_E_INTERNAL};
    }
    return WEIR_REDIS_ANSWERED;
}
