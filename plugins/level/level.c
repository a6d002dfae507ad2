/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"

enum { MAX_NAME_BYTES = 256 };

const char *level_name(enum level level)
{
    static const char *const names[LEVEL__COUNT] = {"tenant",       "user",   "key",
                                                    "tenant_model", "global", "model"};
    return level < LEVEL__COUNT ? names[level] : "none";
}

const char *level_whose(enum level level)
{
    static const char *const words[LEVEL__COUNT] = {"this tenant",  "this user",
                                                    "this API key", "this tenant and model",
                                                    "this service", "this model"};
    return level < LEVEL__COUNT ? words[level] : "this service";
}

static uint64_t number(const weir_host *h, weir_req *r, int which, uint64_t otherwise, uint64_t max)
{
    int64_t n = 0;
    if (h->req_get_num(h, r, which, &n) < 0 || n <= 0) {
        return otherwise;
    }
    return (uint64_t)n < max ? (uint64_t)n : max;
}

void level_tokens_read(const weir_host *h, weir_req *r, uint64_t assumed, uint64_t *ret_prompt,
                       uint64_t *ret_answer)
{
    const uint64_t max = UINT64_C(1) << 32; /* so that sums and prices of them fit */
    *ret_prompt = number(h, r, WEIR_NUMBER_PROMPT_TOKENS, 0, max);
    *ret_answer =
        number(h, r, WEIR_NUMBER_N, 1, 128) * number(h, r, WEIR_NUMBER_MAX_TOKENS, assumed, max);
}

static weir_str field(const weir_host *h, weir_req *r, int field)
{
    weir_str s = {NULL, 0};
    return h->req_get(h, r, field, &s) == 0 ? s : (weir_str){NULL, 0};
}

void level_ids_read(const weir_host *h, weir_req *r, struct level_ids *ret_ids)
{
    *ret_ids = (struct level_ids){
        .host = h,
        .req = r,
        .tenant = field(h, r, WEIR_FIELD_TENANT),
        .key_json = field(h, r, WEIR_FIELD_KEY_LIMITS),
    };
}

weir_str level_ids_model(const struct level_ids *ids)
{
    return field(ids->host, ids->req, WEIR_FIELD_MODEL);
}

bool level_subject(const struct level_ids *ids, enum level level, weir_str *ret_name)
{
    static const int fields[LEVEL__COUNT] = {[LEVEL_USER] = WEIR_FIELD_USER,
                                             [LEVEL_KEY] = WEIR_FIELD_KEY_ID,
                                             [LEVEL_TENANT_MODEL] = WEIR_FIELD_MODEL,
                                             [LEVEL_MODEL] = WEIR_FIELD_MODEL};
    bool has_name = fields[level];
    *ret_name = has_name ? field(ids->host, ids->req, fields[level]) : (weir_str){NULL, 0};
    return !has_name || ret_name->n > 0;
}

uint64_t level_hash(uint64_t seed, weir_str name)
{
    uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.n; i++) {
        h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

void level_key_add(struct text *to, const char *plugin, enum level level, weir_str name)
{
    text_add(to, weir_str_from(plugin));
    text_add_char(to, '/');
    text_add(to, weir_str_from(level_name(level)));
    text_add_char(to, '/');
    if (name.n > MAX_NAME_BYTES) {
        text_add(to, (weir_str){name.p, MAX_NAME_BYTES});
        text_add_char(to, '~');
        text_add_u64(to, level_hash(1, name));
    } else {
        text_add(to, name);
    }
    text_add_char(to, '/');
}
