/* SPDX-License-Identifier: Apache-2.0 */
#include "references.h"

#include "core/config/nearest.h"
#include "core/config/store_url.h"

static void complain_unknown_model(const struct weir_doc_node *models,
                                   const struct weir_doc_node *name, struct weir_findings *f)
{
    struct weir_nearest nearest;
    weir_nearest_init(&nearest, name->text);
    for (const struct weir_doc_node *m = models ? models->first : NULL; m; m = m->next) {
        weir_nearest_offer(&nearest, m->key);
    }
    bool near = nearest.best.p != NULL;
    weir_doc_complain(f, name, NULL, "names no model of this file%s%s%s",
                      near ? "; did you mean " : "; add it under models",
                      near ? nearest.best.p : "", near ? "?" : "");
}

/* Every name of the list (NULL ok) must be a key of models. */
static void check_names(const struct weir_doc_node *models, const struct weir_doc_node *names,
                        struct weir_findings *f)
{
    for (const struct weir_doc_node *n = names ? names->first : NULL; n; n = n->next) {
        if (!weir_doc_get(models, n->text)) {
            complain_unknown_model(models, n, f);
        }
    }
}

static void check_targets(const struct weir_doc_node *targets, struct weir_findings *f)
{
    bool any_weight = false;
    for (const struct weir_doc_node *t = targets->first; t; t = t->next) {
        bool engine = weir_doc_find(t, "engine") != NULL;
        bool upstream = weir_doc_find(t, "upstream") != NULL;
        if (engine == upstream) {
            weir_doc_complain(f, t, NULL, "must have exactly one of engine and upstream, not %s",
                              engine ? "both" : "neither");
        }
        const struct weir_doc_node *weight = weir_doc_find(t, "weight");
        any_weight = any_weight || !weight || weight->integer > 0;
    }
    if (!any_weight) {
        weir_doc_complain(f, targets, NULL,
                          "have no weight above 0; at least one must take requests");
    }
}

static void check_models(const struct weir_doc_node *models, struct weir_findings *f)
{
    for (const struct weir_doc_node *m = models ? models->first : NULL; m; m = m->next) {
        const struct weir_doc_node *fallback = weir_doc_find(m, "fallback");
        check_targets(weir_doc_find(m, "targets"), f);
        check_names(models, fallback, f);
        for (const struct weir_doc_node *n = fallback ? fallback->first : NULL; n; n = n->next) {
            if (weir_str_eq(n->text, m->key)) {
                weir_doc_complain(f, n, NULL, "is the model itself; name another one");
            }
        }
    }
}

static void check_key(const struct weir_doc_node *models, const struct weir_doc_node *key,
                      struct weir_findings *f)
{
    bool secret = weir_doc_find(key, "secret") != NULL;
    bool hash = weir_doc_find(key, "sha256") != NULL;
    if (secret == hash) {
        weir_doc_complain(f, key, NULL, "must have exactly one of secret and sha256, not %s",
                          secret ? "both" : "neither");
    }
    check_names(models, weir_doc_find(key, "models"), f);
}

void weir_references_check_tenants(const struct weir_doc_node *models,
                                   const struct weir_doc_node *tenants, struct weir_findings *f)
{
    for (const struct weir_doc_node *t = tenants ? tenants->first : NULL; t; t = t->next) {
        check_names(models, weir_doc_find(t, "models"), f);
        const struct weir_doc_node *keys = weir_doc_find(t, "keys");
        for (const struct weir_doc_node *k = keys ? keys->first : NULL; k; k = k->next) {
            check_key(models, k, f);
        }
    }
}

/* Port 0 asks for any free one, so two of them do not collide. */
static bool is_fixed_address(weir_str address)
{
    return !(address.n >= 2 && memcmp(address.p + address.n - 2, ":0", 2) == 0);
}

static void check_server(const struct weir_doc_node *server, struct weir_findings *f)
{
    const struct weir_doc_node *admin = weir_doc_find(server, "admin");
    const struct weir_doc_node *listen = weir_doc_find(server, "listen");
    if (!admin || !listen || !is_fixed_address(admin->text)) {
        return;
    }
    const struct weir_doc_node *a = listen->type == WEIR_DOC_LIST ? listen->first : listen;
    for (; a; a = listen->type == WEIR_DOC_LIST ? a->next : NULL) {
        if (weir_str_eq(a->text, admin->text)) {
            weir_doc_complain(f, admin, NULL,
                              "must differ from server.listen; give it its own port");
        }
    }
}

static void check_store_url(const struct weir_doc_node *store, const struct weir_doc_node *node,
                            struct weir_findings *f)
{
    struct weir_store_url url;
    struct weir_error err = {0};
    if (weir_store_url_parse(node->text.p, &url, &err) < 0) {
        weir_doc_complain(f, node, NULL, "%s", err.message);
        return;
    }
    const struct weir_doc_node *tls = weir_doc_find(store, "tls");
    if (tls && !url.tls) {
        weir_doc_complain_key(f, tls, NULL, "is used by a url of rediss:// only");
    }
    if (tls && !weir_doc_find(tls, "cert") != !weir_doc_find(tls, "key")) {
        weir_doc_complain(f, tls, NULL, "must have both cert and key, or none of them");
    }
    const struct weir_doc_node *file = weir_doc_find(store, "password_file");
    const struct weir_doc_node *env = weir_doc_find(store, "password_env");
    if ((file != NULL) + (env != NULL) + (url.password[0] != '\0') > 1) {
        weir_doc_complain_key(f, file ? file : env, NULL,
                              "is a second password; keep one of url, password_file and "
                              "password_env");
    }
}

static void check_store(const struct weir_doc_node *store, struct weir_findings *f)
{
    const struct weir_doc_node *driver = weir_doc_find(store, "driver");
    const struct weir_doc_node *url = weir_doc_find(store, "url");
    bool memory = !driver || weir_str_is(driver->text, "memory");
    if (store && !memory && !url) {
        weir_doc_complain(f, store, NULL, "lacks the key url, which the driver %s needs",
                          driver->text.p);
    }
    static const char *const shared_only[] = {"url",         "password_file",  "password_env",
                                              "connections", "max_in_flight",  "prefix",
                                              "tls",         "circuit_breaker"};
    for (size_t i = 0; memory && i < sizeof(shared_only) / sizeof(shared_only[0]); i++) {
        const struct weir_doc_node *key = weir_doc_find(store, shared_only[i]);
        if (key) {
            weir_doc_complain_key(f, key, NULL,
                                  "is not used by the driver memory; remove it or set "
                                  "driver: redis");
        }
    }
    const struct weir_doc_node *room = weir_doc_find(store, "max_bytes");
    if (!memory && room) {
        weir_doc_complain_key(f, room, NULL,
                              "is not used by the driver redis; set maxmemory there");
    }
    if (!memory && url) {
        check_store_url(store, url, f);
    }
}

void weir_references_check(const struct weir_doc_node *root, struct weir_findings *findings)
{
    const struct weir_doc_node *models = weir_doc_find(root, "models");
    check_server(weir_doc_find(root, "server"), findings);
    check_store(weir_doc_find(root, "store"), findings);
    check_models(models, findings);
    weir_references_check_tenants(models, weir_doc_find(root, "tenants"), findings);
}
