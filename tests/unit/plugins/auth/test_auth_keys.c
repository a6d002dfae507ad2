/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in the store: the routes that make them, and requests that show them. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <yyjson.h>

#include "core/plugin/run.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static const char tenants[] =
    "{\"acme\":{},\"other\":{},\"ops\":{\"keys\":[{\"name\":\"root\",\"secret\":\"root-secret\","
    "\"scopes\":[\"admin\"]}]}}";

static struct weir_kit_stage stage;

static void begin(const char *plugins)
{
    struct weir_error err = {0};
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    if (weir_kit_stage_configure(&stage, plugins, tenants, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void end(void)
{
    weir_kit_stage_finish(&stage);
}

struct answer {
    int status;
    char text[2048];
    char etag[64];
};

/* One request to the admin API; `key` NULL: from this machine. */
static struct answer admin(const char *method, const char *path, const char *body, const char *key,
                           const char *if_match)
{
    struct weir_kit_request r;
    struct answer a = {0};
    char bearer[300];
    assert_int_equal(weir_kit_request_init(&r, body), 0);
    if (key) {
        (void)snprintf(bearer, sizeof(bearer), "Bearer %s", key);
        weir_kit_request_header(&r, "authorization", bearer);
    }
    if (if_match) {
        weir_kit_request_header(&r, "if-match", if_match);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    enum weir_plugin_admin_outcome outcome =
        weir_kit_request_admin(&r, chain, stage.loop, method, path);
    weir_plugin_chain_unref(chain);
    for (int i = 0; i < 8 && outcome == WEIR_PLUGIN_ADMIN_SUSPENDED && r.n_resumed == 0; i++) {
        weir_kit_stage_turn(&stage);
    }
    outcome = r.n_resumed ? r.admin_outcome : outcome;
    assert_int_equal(outcome, WEIR_PLUGIN_ADMIN_ANSWERED);
    a.status = r.status;
    (void)snprintf(a.text, sizeof(a.text), "%.*s", (int)r.text.n, r.text.p ? r.text.p : "");
    weir_str etag = weir_kit_request_sent(&r, "etag");
    (void)snprintf(a.etag, sizeof(a.etag), "%.*s", (int)etag.n, etag.p ? etag.p : "");
    weir_kit_request_finish(&r);
    return a;
}

static void text_of(const struct answer *a, const char *name, char *out, size_t size)
{
    yyjson_doc *doc = yyjson_read(a->text, strlen(a->text), 0);
    const char *s = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), name));
    (void)snprintf(out, size, "%s", s ? s : "");
    yyjson_doc_free(doc);
}

struct key {
    char id[64], text[200], path[200], etag[64];
};

static struct key make(const char *tenant, const char *body, const char *caller)
{
    char path[120];
    struct key k;
    (void)snprintf(path, sizeof(path), "/admin/v1/tenants/%s/keys", tenant);
    struct answer a = admin("POST", path, body, caller, NULL);
    if (a.status != 201) {
        fail_msg("%d %s", a.status, a.text);
    }
    text_of(&a, "id", k.id, sizeof(k.id));
    text_of(&a, "key", k.text, sizeof(k.text));
    (void)snprintf(k.path, sizeof(k.path), "%s/%s", path, k.id);
    (void)snprintf(k.etag, sizeof(k.etag), "%s", a.etag);
    return k;
}

static char models_of_last_use[200];

/* The status that a request with this key gets; 200: it went on. */
static int use_as(const char *key, const char *user_header, char user[200], char limits[200])
{
    struct weir_kit_request r;
    char bearer[300];
    assert_int_equal(weir_kit_request_init(&r, "{\"user\":\"body-user\"}"), 0);
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", key);
    weir_kit_request_header(&r, "authorization", bearer);
    if (user_header) {
        weir_kit_request_header(&r, "x-weir-user", user_header);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(&r, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
    enum weir_plugin_outcome outcome = weir_plugin_run_phase(&r.run, WEIR_PHASE_HEADERS);
    if (outcome == WEIR_PLUGIN_DONE) {
        outcome = weir_plugin_run_phase(&r.run, WEIR_PHASE_BODY);
    }
    assert_int_not_equal(outcome, WEIR_PLUGIN_SUSPENDED);
    if (user) {
        (void)snprintf(user, 200, "%.*s", (int)r.fields[WEIR_FIELD_USER].n,
                       r.fields[WEIR_FIELD_USER].p);
    }
    if (limits) {
        (void)snprintf(limits, 200, "%.*s", (int)r.fields[WEIR_FIELD_KEY_LIMITS].n,
                       r.fields[WEIR_FIELD_KEY_LIMITS].p);
    }
    (void)snprintf(models_of_last_use, sizeof(models_of_last_use), "%.*s",
                   (int)r.fields[WEIR_FIELD_KEY_MODELS].n, r.fields[WEIR_FIELD_KEY_MODELS].p);
    int status = outcome == WEIR_PLUGIN_DONE ? 200 : r.status;
    weir_kit_request_finish(&r);
    return status;
}

static int use(const char *key)
{
    return use_as(key, NULL, NULL, NULL);
}

static void a_key_is_shown_once_and_works_until_it_is_revoked(void **state)
{
    (void)state;
    begin("[auth]");
    struct key k = make("acme", "{\"name\":\"web\"}", NULL);
    assert_int_equal(use(k.text), 200);
    struct answer a = admin("GET", k.path, "{}", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.text, "sha256"));
    assert_null(strstr(a.text, "\"key\""));
    assert_null(strstr(a.text, k.text + strlen(k.text) - 20));
    assert_string_equal(a.etag, k.etag);
    assert_int_equal(admin("DELETE", k.path, "{}", NULL, NULL).status, 428);
    assert_int_equal(admin("DELETE", k.path, "{}", NULL, "\"999\"").status, 412);
    assert_int_equal(admin("DELETE", k.path, "{}", NULL, k.etag).status, 204);
    assert_int_equal(use(k.text), 401);
    assert_int_equal(admin("GET", k.path, "{}", NULL, NULL).status, 404);
    end();
}

static void a_rotated_key_has_two_secrets_for_the_grace_period(void **state)
{
    (void)state;
    begin("[auth]");
    char path[300], fresh[200];
    struct key k = make("acme", "{\"name\":\"web\"}", NULL);
    (void)snprintf(path, sizeof(path), "%s/rotate", k.path);
    struct answer a = admin("POST", path, "{\"grace_seconds\":60}", NULL, k.etag);
    assert_int_equal(a.status, 200);
    text_of(&a, "key", fresh, sizeof(fresh));
    assert_int_equal(use(k.text), 200);
    assert_int_equal(use(fresh), 200);
    weir_kit_stage_advance(&stage, 61 * 1000000);
    assert_int_equal(use(k.text), 401);
    assert_int_equal(use(fresh), 200);
    assert_int_equal(admin("POST", path, "{\"grace_seconds\":0}", NULL, "*").status, 200);
    assert_int_equal(use(fresh), 401);
    assert_int_equal(admin("POST", path, "{\"grace_seconds\":-1}", NULL, "*").status, 400);
    assert_int_equal(admin("POST", path, "{\"grace\":1}", NULL, "*").status, 400);
    end();
}

static void wrong_bodies_name_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"{}", "name"},
        {"[]", "JSON object"},
        {"{\"name\":\"k\",\"scopes\":[\"root\"]}", "scopes[0]"},
        {"{\"name\":\"k\",\"models\":[]}", "models"},
        {"{\"name\":\"k\",\"expires\":\"soon\"}", "expires"},
        {"{\"name\":\"k\",\"expires\":\"0000-01-01\"}", "expires"},
        {"{\"name\":\"k\",\"limits\":{\"concurrent\":0}}", "limits.concurrent"},
        {"{\"name\":\"k\",\"secret\":\"chosen-by-me\"}", "secret"},
        {"{\"name\":\"k\",\"colour\":1}", "colour"},
        {"{\"name\":[\"k\",\"l\"]}", "name"},
        {"{\"name\":{\"k\":1}}", "name"},
        {"{\"name\":\"k\",\"user\":[\"u\"]}", "user"},
        {"{\"name\":\"k\",\"models\":[[\"m\"]]}", "models"},
    };
    begin("[auth]");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer a = admin("POST", "/admin/v1/tenants/acme/keys", cases[i].body, NULL, NULL);
        if (a.status != 400 || !strstr(a.text, cases[i].says)) {
            fail_msg("%s: %d %s", cases[i].body, a.status, a.text);
        }
    }
    assert_int_equal(
        admin("POST", "/admin/v1/tenants/none/keys", "{\"name\":\"k\"}", NULL, NULL).status, 404);
    static const char *const no_names[] = {"[\"acme\"]", "{\"acme\":1}", "1"};
    for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++) {
        char body[80];
        (void)snprintf(body, sizeof(body), "{\"name\":\"k\",\"tenant\":%s}", no_names[i]);
        assert_int_equal(admin("POST", "/admin/v1/keys", body, NULL, NULL).status, 404);
    }
    end();
}

static void a_change_keeps_the_secret(void **state)
{
    (void)state;
    begin("[auth]");
    char limits[200];
    struct key k = make("acme", "{\"name\":\"web\",\"models\":[\"m\"]}", NULL);
    struct answer a =
        admin("PATCH", k.path,
              "{\"models\":null,\"limits\":{\"concurrent\":2},\"sha256\":\"x\",\"id\":\"y\"}", NULL,
              k.etag);
    assert_int_equal(a.status, 400); /* a hash is not the client's to set */
    a = admin("PATCH", k.path, "{\"models\":[\"x\"],\"limits\":{\"concurrent\":2}}", NULL, k.etag);
    assert_int_equal(a.status, 200);
    assert_int_equal(use_as(k.text, NULL, NULL, NULL), 200);
    assert_string_equal(models_of_last_use, "x\n");
    a = admin("PATCH", k.path, "{\"models\":null}", NULL, a.etag);
    assert_int_equal(a.status, 200);
    assert_int_equal(use_as(k.text, NULL, NULL, limits), 200);
    assert_string_equal(limits, "{\"limits\":{\"concurrent\":2}}");
    assert_string_equal(models_of_last_use, "");
    end();
}

static void expired_and_wrongly_scoped_keys_are_refused(void **state)
{
    (void)state;
    begin("[auth]");
    struct key old = make("acme", "{\"name\":\"k\",\"expires\":\"2026-01-01T00:20:00Z\"}", NULL);
    struct key metrics = make("acme", "{\"name\":\"k\",\"scopes\":[\"metrics\"]}", NULL);
    assert_int_equal(use(old.text), 200);
    weir_kit_stage_advance(&stage, UINT64_C(1200) * 1000000);
    assert_int_equal(use(old.text), 401);
    assert_int_equal(use(metrics.text), 403);
    end();
}

static void a_tenants_admin_has_its_own_keys_and_no_more(void **state)
{
    (void)state;
    begin("[auth]");
    struct key boss = make("acme", "{\"name\":\"b\",\"scopes\":[\"tenant_admin\"]}", "root-secret");
    struct key operators = make("acme", "{\"name\":\"o\",\"scopes\":[\"admin\"]}", "root-secret");
    struct key own = make("acme", "{\"name\":\"w\"}", boss.text);
    struct key foreign = make("other", "{\"name\":\"f\"}", NULL);
    char path[300];
    assert_int_equal(use(own.text), 200);
    assert_int_equal(admin("POST", "/admin/v1/tenants/acme/keys",
                           "{\"name\":\"x\",\"scopes\":[\"admin\"]}", boss.text, NULL)
                         .status,
                     403);
    assert_int_equal(admin("PATCH", own.path, "{\"scopes\":[\"metrics\"]}", boss.text, "*").status,
                     403);
    /* Whoever rotates a key gets its secret. */
    (void)snprintf(path, sizeof(path), "%s/rotate", operators.path);
    assert_int_equal(admin("POST", path, "{}", boss.text, "*").status, 404);
    assert_int_equal(admin("DELETE", operators.path, "{}", boss.text, "*").status, 404);
    assert_int_equal(admin("GET", operators.path, "{}", boss.text, NULL).status, 404);
    /* Others' tenants look as if they were none. */
    struct answer theirs = admin("GET", foreign.path, "{}", boss.text, NULL);
    assert_int_equal(theirs.status, 404);
    struct answer list = admin("GET", "/admin/v1/keys", "{}", boss.text, NULL);
    assert_int_equal(list.status, 200);
    assert_non_null(strstr(list.text, own.id));
    assert_null(strstr(list.text, operators.id));
    assert_null(strstr(list.text, foreign.id));
    /* A body cannot name another tenant either. */
    assert_int_equal(
        admin("POST", "/admin/v1/keys", "{\"name\":\"x\",\"tenant\":\"other\"}", boss.text, NULL)
            .status,
        404);
    end();
}

static void lists_go_page_by_page_and_over_tenants(void **state)
{
    (void)state;
    begin("[auth]");
    for (int i = 0; i < 5; i++) {
        (void)make(i % 2 ? "acme" : "other", "{\"name\":\"k\"}", NULL);
    }
    char next[120] = "", path[300];
    int n = 0, n_pages = 0;
    do {
        (void)snprintf(path, sizeof(path), "/admin/v1/keys?limit=2&after=%s", next);
        struct answer a = admin("GET", path, "{}", NULL, NULL);
        assert_int_equal(a.status, 200);
        yyjson_doc *doc = yyjson_read(a.text, strlen(a.text), 0);
        n += (int)yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "data"));
        yyjson_doc_free(doc);
        text_of(&a, "next", next, sizeof(next));
    } while (*next && ++n_pages < 20);
    assert_int_equal(n, 6); /* five, and the configured one */
    assert_int_equal(admin("GET", "/admin/v1/keys?limit=0", "{}", NULL, NULL).status, 400);
    end();
}

static void sign(const char *key_id, uint64_t seconds, const char *user64, char out[400])
{
    char text[300];
    unsigned char mac[32];
    unsigned n = 0;
    (void)snprintf(text, sizeof(text), "v1.%llu.%s\nacme/%s", (unsigned long long)seconds, user64,
                   key_id);
    (void)HMAC(EVP_sha256(), "0123456789abcdef", 16, (unsigned char *)text, strlen(text), mac, &n);
    int at = snprintf(out, 400, "v1.%llu.%s.", (unsigned long long)seconds, user64);
    for (unsigned i = 0; i < n; i++) {
        at += snprintf(out + at, 400 - (size_t)at, "%02x", mac[i]);
    }
}

static void a_signed_user_counts_and_a_bad_signature_is_401(void **state)
{
    (void)state;
    begin("[{auth: {user_header: {secret: 0123456789abcdef}}}]");
    struct key k = make("acme", "{\"name\":\"web\"}", NULL);
    struct key fixed = make("acme", "{\"name\":\"web\",\"user\":\"robot\"}", NULL);
    char user[200], header[400];
    uint64_t now = UINT64_C(1767225600) + 1000; /* the stage's clock */
    assert_int_equal(use_as(k.text, NULL, user, NULL), 200);
    assert_string_equal(user, "body-user");
    sign(k.id, now, "YWxpY2U", header);
    assert_int_equal(use_as(k.text, header, user, NULL), 200);
    assert_string_equal(user, "alice");
    assert_int_equal(use_as(fixed.text, header, user, NULL), 200);
    assert_string_equal(user, "robot"); /* the key's own user cannot be changed */
    header[strlen(header) - 1] ^= 1;
    assert_int_equal(use_as(k.text, header, user, NULL), 401);
    sign("other-key", now, "YWxpY2U", header);
    assert_int_equal(use_as(k.text, header, user, NULL), 401);
    sign(k.id, now - 301, "YWxpY2U", header);
    assert_int_equal(use_as(k.text, header, user, NULL), 401);
    sign(k.id, now + 61, "YWxpY2U", header);
    assert_int_equal(use_as(k.text, header, user, NULL), 401);
    sign(k.id, now, "YWxpY2U=", header);
    assert_int_equal(use_as(k.text, header, user, NULL), 401);
    static const char *const malformed[] = {"", "v1", "v1..x.y", "v2.1.YQ.00", "alice"};
    for (size_t i = 1; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(use_as(k.text, malformed[i], user, NULL), 401);
    }
    end();
}

static void guards_check_keys_too(void **state)
{
    (void)state;
    begin("[auth]");
    static const char *const bad[] = {"wrong",
                                      "weir_acme_aaaaaaaaaaaaaaaa_"
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < 2; i++) {
        struct answer a = admin("GET", "/admin/v1/keys", "{}", bad[i], NULL);
        assert_int_equal(a.status, 401);
    }
    assert_int_equal(admin("GET", "/admin/v1/keys", "{}", "root-secret", NULL).status, 200);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_shown_once_and_works_until_it_is_revoked),
        cmocka_unit_test(a_rotated_key_has_two_secrets_for_the_grace_period),
        cmocka_unit_test(wrong_bodies_name_the_field),
        cmocka_unit_test(a_change_keeps_the_secret),
        cmocka_unit_test(expired_and_wrongly_scoped_keys_are_refused),
        cmocka_unit_test(a_tenants_admin_has_its_own_keys_and_no_more),
        cmocka_unit_test(lists_go_page_by_page_and_over_tenants),
        cmocka_unit_test(a_signed_user_counts_and_a_bad_signature_is_401),
        cmocka_unit_test(guards_check_keys_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
