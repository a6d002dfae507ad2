/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/check.h"

static const uint64_t max_period_us = UINT64_C(366) * 24 * 3600 * 1000000;

static bool is_key(weir_str s)
{
    return s.n > 0 && s.n <= WEIR_STORE_MAX_KEY_BYTES && s.p;
}

/* No list is long: comparing all with all is the quickest. */
static bool occurs_before(weir_str key, const void *first, size_t stride, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const weir_str *other = (const weir_str *)((const char *)first + i * stride);
        if (weir_str_eq(*other, key)) {
            return true;
        }
    }
    return false;
}

static int check_levels(const struct weir_store_call *c)
{
    if (c->n == 0 || c->n > WEIR_STORE_MAX_LEVELS || !c->levels) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const weir_store_limit *l = &c->levels[i];
        if (!is_key(l->key) || l->limit == 0 || l->period_us == 0 || l->period_us > max_period_us ||
            occurs_before(l->key, &c->levels->key, sizeof(*l), i)) {
            return WEIR_E_ARG;
        }
    }
    return 0;
}

static int check_holds(const struct weir_store_call *c)
{
    if (c->n == 0 || c->n > WEIR_STORE_MAX_LEVELS || !c->holds || !is_key(c->id) ||
        (c->flags & ~(uint32_t)WEIR_STORE_KEEP)) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const weir_store_hold *h = &c->holds[i];
        if (!is_key(h->key) || h->units > WEIR_STORE_MAX_UNITS ||
            occurs_before(h->key, &c->holds->key, sizeof(*h), i)) {
            return WEIR_E_ARG;
        }
    }
    return c->op == WEIR_STORE_RESERVE && c->number == 0 ? WEIR_E_ARG : 0;
}

static int check_tags(const struct weir_store_call *c)
{
    if (c->n > WEIR_STORE_MAX_LEVELS || (c->n && !c->tags)) {
        return WEIR_E_ARG;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (!is_key(c->tags[i]) || occurs_before(c->tags[i], c->tags, sizeof(*c->tags), i)) {
            return WEIR_E_ARG;
        }
    }
    return 0;
}

int weir_store_check(const struct weir_store_call *c)
{
    if (c->tenant.n > WEIR_STORE_MAX_KEY_BYTES) {
        return WEIR_E_ARG;
    }
    if (c->value.n > WEIR_STORE_MAX_VALUE_BYTES) {
        return WEIR_E_TOOBIG;
    }
    switch (c->op) {
    case WEIR_STORE_TAKE:
    case WEIR_STORE_GIVE: return check_levels(c);
    case WEIR_STORE_RESERVE:
    case WEIR_STORE_SETTLE: return check_holds(c);
    case WEIR_STORE_GET:
    case WEIR_STORE_SET: return is_key(c->key) ? check_tags(c) : WEIR_E_ARG;
    case WEIR_STORE_INVALIDATE:
    case WEIR_STORE_REMOVE:
    case WEIR_STORE_ADD:
    case WEIR_STORE_PUBLISH: return is_key(c->key) ? 0 : WEIR_E_ARG;
    case WEIR_STORE_PUT:
    case WEIR_STORE_FIND:
    case WEIR_STORE_APPEND:
    case WEIR_STORE_JOB_PUT:
    case WEIR_STORE_JOB_ACK: return is_key(c->key) && is_key(c->id) ? 0 : WEIR_E_ARG;
    case WEIR_STORE_LIST:
        return is_key(c->key) && c->n > 0 && c->id.n <= WEIR_STORE_MAX_KEY_BYTES ? 0 : WEIR_E_ARG;
    case WEIR_STORE_READ: return is_key(c->key) && c->n > 0 ? 0 : WEIR_E_ARG;
    case WEIR_STORE_JOB_CLAIM: return is_key(c->key) && c->n > 0 && c->number > 0 ? 0 : WEIR_E_ARG;
    case WEIR_STORE_ERASE: return 0;
    case WEIR_STORE_N_OPS: break;
    }
    return WEIR_E_ARG;
}
