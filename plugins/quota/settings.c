/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "price_book.h"
#include "quota.h"

#define COUNT(name, what)                                                                          \
    "\"" name "\":{\"description\":\"" what "\",\"anyOf\":[{\"type\":\"integer\",\"minimum\":0,"   \
    "\"maximum\":9007199254740991},{\"type\":\"object\",\"additionalProperties\":false,"           \
    "\"required\":[\"limit\"],\"properties\":{\"limit\":{\"type\":\"integer\",\"minimum\":0,"      \
    "\"maximum\":9007199254740991},\"rolling\":{\"type\":\"boolean\",\"default\":false}}}]},"
#define COUNTS(period, article)                                                                    \
    COUNT("requests_per_" period, "requests in " article " " period)                               \
    COUNT("tokens_per_" period, "prompt and completion tokens in " article " " period)
#define SPEND(period, end) "\"spend_per_" period "\":{\"$ref\":\"#/$defs/spend\"}" end

const char quota_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"levels\":{\"type\":\"array\",\"uniqueItems\":true,\"description\":\"The levels at which "
    "budgets hold; budgets of others are not looked at.\",\"items\":{\"enum\":[\"global\","
    "\"tenant\",\"user\",\"key\",\"model\"]},\"default\":[\"global\",\"tenant\",\"user\",\"key\","
    "\"model\"]},"
    "\"budgets\":{\"type\":\"object\",\"additionalProperties\":false,\"default\":{},"
    "\"description\":\"Budgets of the installation, and what holds for each tenant, user, key and "
    "model unless a tenant's record says otherwise.\",\"properties\":{"
    "\"global\":{\"description\":\"all requests together\",\"$ref\":\"#/$defs/budgets\"},"
    "\"tenant\":{\"description\":\"each tenant\",\"$ref\":\"#/$defs/budgets\"},"
    "\"user\":{\"description\":\"each user of a tenant\",\"$ref\":\"#/$defs/budgets\"},"
    "\"key\":{\"description\":\"each API key\",\"$ref\":\"#/$defs/budgets\"},"
    "\"model\":{\"description\":\"each model, over all tenants\",\"$ref\":\"#/$defs/budgets\"},"
    "\"models\":{\"type\":\"object\",\"description\":\"models by name, over all tenants\","
    "\"additionalProperties\":{\"$ref\":\"#/$defs/budgets\"}}}},"
    "\"price_book\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000,\"description\":"
    "\"The file with the prices (docs/limits.md); budgets of money need it.\"},"
    "\"without_price\":{\"enum\":[\"deny\",\"free\"],\"default\":\"deny\",\"description\":\"What a "
    "budget of money does with a model that has no price: deny answers 403; free counts "
    "nothing.\"},"
    "\"timezone\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64,\"default\":\"UTC\","
    "\"description\":\"IANA name, for days, weeks and months where the tenant names none.\"},"
    "\"warn_at\":{\"type\":\"array\",\"maxItems\":4,\"default\":[80,90],\"description\":"
    "\"Percentages of a budget at which a header, a metric and the log warn; ascending.\","
    "\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100}},"
    "\"on_store_loss\":{\"enum\":[\"deny\",\"allow\",\"local\"],\"default\":\"deny\","
    "\"description\":\"Without the store: deny answers 503; allow lets requests pass and counts "
    "them when it is back; local lets each replica spend 1/replicas of what was left.\"},"
    "\"replicas\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000,\"description\":\"The "
    "most replicas that run at a time; needed by on_store_loss: local.\"},"
    "\"assumed_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000000,\"default\":1024,"
    "\"description\":\"Reserved for an answer whose length nothing bounds.\"}},"
    "\"$defs\":{"
    "\"spend\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"amount\","
    "\"currency\"],\"properties\":{\"amount\":{\"type\":\"number\",\"minimum\":0,"
    "\"maximum\":9000000000},\"currency\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}$\","
    "\"description\":\"as the price book's\"},\"rolling\":{\"type\":\"boolean\","
    "\"default\":false}}},"
    "\"budgets\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" COUNTS(
        "minute", "a") COUNTS("hour", "an") COUNTS("day", "a") COUNTS("week", "a")
        COUNTS("month", "a") SPEND("minute", ",") SPEND("hour", ",") SPEND("day", ",")
            SPEND("week", ",") SPEND("month", "") "}}}}";

static int complain(char error[QUOTA_ERROR_BYTES], const char *what)
{
    (void)snprintf(error, QUOTA_ERROR_BYTES, "%s", what);
    return WEIR_E_ARG;
}

static int read_thresholds(struct ledger *l, yyjson_val *list, char error[QUOTA_ERROR_BYTES])
{
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v)
    {
        uint64_t percent = yyjson_get_uint(v);
        if (i >= sizeof(l->warn_at) || percent > 100 || (i > 0 && percent <= l->warn_at[i - 1])) {
            return complain(error, "warn_at must be at most four percentages, ascending");
        }
        l->warn_at[i] = (uint8_t)percent;
    }
    return 0;
}

/* Budgets of money that could never be counted are a mistake of the operator's. */
static int check_money(const struct ledger *l, char error[QUOTA_ERROR_BYTES])
{
    static const char *const blocks[] = {"global", "tenant", "user", "key", "model"};
    yyjson_val *root = yyjson_doc_get_root(l->config.doc), *name, *v;
    const char *currency = l->prices ? price_book_currency(l->prices) : "";
    struct budget_set set = {.n = 0};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        budget_set_add(&set, yyjson_obj_get(root, blocks[i]), currency);
    }
    size_t i, max;
    yyjson_val *models = yyjson_obj_get(root, "models");
    if (models) {
        yyjson_obj_foreach(models, i, max, name, v)
        {
            budget_set_add(&set, v, currency);
        }
    }
    return !set.wrong_currency
               ? 0
               : complain(error, l->prices ? "a spend budget is in another currency than "
                                             "the price book"
                                           : "spend budgets need a price_book");
}

static int read_root(struct quota *q, yyjson_val *root, char error[QUOTA_ERROR_BYTES])
{
    struct ledger *l = &q->ledger;
    const char *loss = yyjson_get_str(yyjson_obj_get(root, "on_store_loss"));
    const char *zone = yyjson_get_str(yyjson_obj_get(root, "timezone"));
    const char *book = yyjson_get_str(yyjson_obj_get(root, "price_book"));
    l->levels = rules_levels(yyjson_obj_get(root, "levels"));
    l->general = l->levels & rules_general_levels(&l->config);
    l->replicas = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "replicas"));
    l->free_without_price = yyjson_equals_str(yyjson_obj_get(root, "without_price"), "free");
    l->on_loss = loss && strcmp(loss, "allow") == 0   ? ON_LOSS_ALLOW
                 : loss && strcmp(loss, "local") == 0 ? ON_LOSS_LOCAL
                                                      : ON_LOSS_DENY;
    q->assumed_tokens = yyjson_get_uint(yyjson_obj_get(root, "assumed_tokens"));
    if (l->on_loss == ON_LOSS_LOCAL && l->replicas == 0) {
        return complain(error, "on_store_loss: local needs replicas: the most that run at a time");
    }
    if (zone_load(weir_str_from(zone ? zone : "UTC"), &l->zone) < 0) {
        (void)snprintf(error, QUOTA_ERROR_BYTES,
                       "timezone %.64s is not in the system's zone database", zone);
        return WEIR_E_ARG;
    }
    int rc = book ? price_book_read(book, &l->prices, error) : 0;
    rc = rc < 0 ? rc : read_thresholds(l, yyjson_obj_get(root, "warn_at"), error);
    return rc < 0 ? rc : check_money(l, error);
}

int quota_read_settings(struct quota *q, weir_str json, char error[QUOTA_ERROR_BYTES])
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    (void)complain(error, "out of memory");
    int rc = doc ? rules_read(json, "budgets", &q->ledger.config) : WEIR_E_NOMEM;
    rc = rc < 0 ? rc : read_root(q, yyjson_doc_get_root(doc), error);
    yyjson_doc_free(doc);
    return rc;
}
