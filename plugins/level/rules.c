/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <stdlib.h>

int rules_read(weir_str json, const char *member, struct rules *ret_rules)
{
    *ret_rules = (struct rules){NULL};
    yyjson_doc *whole = yyjson_read(json.p, json.n, 0);
    yyjson_val *block = yyjson_obj_get(yyjson_doc_get_root(whole), member);
    if (!yyjson_is_obj(block)) {
        yyjson_doc_free(whole);
        return 0;
    }
    /* Only the block is kept: the rest of a tenant's record can be large. */
    size_t n = 0;
    char *text = yyjson_val_write(block, 0, &n);
    yyjson_doc_free(whole);
    ret_rules->doc = text ? yyjson_read(text, n, 0) : NULL;
    free(text);
    return ret_rules->doc ? 0 : WEIR_E_NOMEM;
}

void rules_finish(struct rules *rules)
{
    yyjson_doc_free(rules->doc);
    rules->doc = NULL;
}

uint64_t rules_duration_ms(yyjson_val *v, uint64_t otherwise)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end = NULL;
    const char *text = yyjson_get_str(v);
    unsigned long number = text ? strtoul(text, &end, 10) : 0;
    for (size_t i = 0; text && end != text && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0 && number < 1000000000) {
            return number * units[i].ms;
        }
    }
    return otherwise;
}

unsigned rules_levels(yyjson_val *list)
{
    static const struct {
        const char *name;
        unsigned bits;
    } known[] = {{"global", 1u << LEVEL_GLOBAL},
                 {"tenant", 1u << LEVEL_TENANT},
                 {"user", 1u << LEVEL_USER},
                 {"key", 1u << LEVEL_KEY},
                 {"model", 1u << LEVEL_MODEL | 1u << LEVEL_TENANT_MODEL}};
    unsigned bits = 0;
    size_t i, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v)
    {
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
            bits |= yyjson_equals_str(v, known[k].name) ? known[k].bits : 0;
        }
    }
    return bits;
}

static void add(yyjson_val *found[RULES_MAX], unsigned *n, yyjson_val *v)
{
    if (yyjson_is_obj(v) && *n < RULES_MAX) {
        found[(*n)++] = v;
    }
}

static yyjson_val *named(yyjson_val *root, const char *list, weir_str name)
{
    return yyjson_obj_getn(yyjson_obj_get(root, list), name.p ? name.p : "", name.n);
}

static yyjson_val *root_of(const struct rules *rules)
{
    return rules ? yyjson_doc_get_root(rules->doc) : NULL;
}

unsigned rules_find(const struct rules_stack *stack, enum level level, weir_str name,
                    yyjson_val *ret_found[RULES_MAX])
{
    yyjson_val *general = root_of(stack->config), *own = root_of(stack->tenant);
    unsigned n = 0;
    switch (level) {
    case LEVEL_GLOBAL: add(ret_found, &n, yyjson_obj_get(general, "global")); break;
    case LEVEL_MODEL:
        add(ret_found, &n, yyjson_obj_get(general, "model"));
        add(ret_found, &n, named(general, "models", name));
        break;
    case LEVEL_TENANT:
        add(ret_found, &n, yyjson_obj_get(general, "tenant"));
        add(ret_found, &n, own);
        break;
    case LEVEL_USER:
        add(ret_found, &n, yyjson_obj_get(general, "user"));
        add(ret_found, &n, yyjson_obj_get(own, "user"));
        add(ret_found, &n, named(own, "users", name));
        break;
    case LEVEL_KEY:
        add(ret_found, &n, yyjson_obj_get(general, "key"));
        add(ret_found, &n, yyjson_obj_get(own, "key"));
        add(ret_found, &n, named(own, "keys", name));
        add(ret_found, &n, root_of(stack->key));
        break;
    case LEVEL_TENANT_MODEL:
        add(ret_found, &n, yyjson_obj_get(own, "model"));
        add(ret_found, &n, named(own, "models", name));
        break;
    default: break;
    }
    return n;
}

unsigned rules_general_levels(const struct rules *config)
{
    yyjson_val *root = root_of(config);
    bool models = yyjson_obj_get(root, "model") || yyjson_obj_get(root, "models");
    return (yyjson_obj_get(root, "global") ? 1u << LEVEL_GLOBAL : 0) |
           (models ? 1u << LEVEL_MODEL : 0) |
           (yyjson_obj_get(root, "tenant") ? 1u << LEVEL_TENANT : 0) |
           (yyjson_obj_get(root, "user") ? 1u << LEVEL_USER : 0) |
           (yyjson_obj_get(root, "key") ? 1u << LEVEL_KEY : 0);
}

unsigned rules_own_levels(const struct rules *tenant)
{
    yyjson_val *root = root_of(tenant);
    bool users = yyjson_obj_get(root, "user") || yyjson_obj_get(root, "users");
    bool keys = yyjson_obj_get(root, "key") || yyjson_obj_get(root, "keys");
    bool models = yyjson_obj_get(root, "model") || yyjson_obj_get(root, "models");
    return (root ? 1u << LEVEL_TENANT : 0) | (users ? 1u << LEVEL_USER : 0) |
           (keys ? 1u << LEVEL_KEY : 0) | (models ? 1u << LEVEL_TENANT_MODEL : 0);
}
