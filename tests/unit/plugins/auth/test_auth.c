/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/run.h"

#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static const char tenants[] =
    "{\"acme\":{\"keys\":["
    "{\"name\":\"web\",\"secret\":\"sk-acme-web\",\"user\":\"alice\"},"
    "{\"name\":\"narrow\",\"secret\":\"sk-narrow1\",\"models\":[\"small\",\"m2\"]},"
    "{\"name\":\"old\",\"secret\":\"sk-expired\",\"expires\":\"2025-12-31\"},"
    "{\"name\":\"now\",\"secret\":\"sk-just-yet\",\"expires\":\"2026-01-01T01:00:00Z\"},"
    "{\"name\":\"hash\",\"sha256\":"
    "\"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}]},"
    "\"other\":{}}";

static struct weir_kit_stage stage;

/* Runs HEADERS and BODY; the request is the caller's to finish. */
static enum weir_plugin_outcome ask(struct weir_kit_request *r, const char *header,
                                    const char *value)
{
    assert_int_equal(weir_kit_request_init(r, "{}"), 0);
    if (header) {
        weir_kit_request_header(r, header, value);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(r, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
    enum weir_plugin_outcome outcome = weir_plugin_run_phase(&r->run, WEIR_PHASE_HEADERS);
    return outcome == WEIR_PLUGIN_DONE ? weir_plugin_run_phase(&r->run, WEIR_PHASE_BODY) : outcome;
}

static void begin(const char *plugins)
{
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    struct weir_error err = {0};
    if (weir_kit_stage_configure(&stage, plugins, tenants, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void a_key_names_tenant_key_and_user(void **state)
{
    (void)state;
    begin("[auth]");
    struct weir_kit_request r;
    assert_int_equal(ask(&r, "Authorization", "bearer  sk-acme-web "), WEIR_PLUGIN_DONE);
    assert_true(weir_str_is(r.fields[WEIR_FIELD_TENANT], "acme"));
    assert_true(weir_str_is(r.fields[WEIR_FIELD_KEY_ID], "web"));
    assert_true(weir_str_is(r.fields[WEIR_FIELD_USER], "alice"));
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void a_key_given_by_its_hash_works(void **state)
{
    (void)state;
    begin("[auth]");
    struct weir_kit_request r;
    assert_int_equal(ask(&r, "Authorization", "Bearer password-of-hash"), WEIR_PLUGIN_ANSWERED);
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, "Authorization", "Bearer secret"), WEIR_PLUGIN_DONE);
    assert_true(weir_str_is(r.fields[WEIR_FIELD_KEY_ID], "hash"));
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void wrong_missing_and_expired_keys_are_401(void **state)
{
    (void)state;
    begin("[auth]");
    static const char *const bad[] = {NULL,
                                      "Bearer sk-acme-we",
                                      "Bearer sk-acme-webb",
                                      "sk-acme-web",
                                      "Bearer ",
                                      "Basic sk-acme-web",
                                      "",
                                      "Bearer sk-expired"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_kit_request r;
        assert_int_equal(ask(&r, bad[i] ? "Authorization" : NULL, bad[i]), WEIR_PLUGIN_ANSWERED);
        assert_int_equal(r.status, 401);
        assert_true(weir_str_is(r.code, "invalid_api_key"));
        assert_true(weir_str_is(weir_kit_request_sent(&r, "www-authenticate"), "Bearer"));
        assert_false(r.has_field[WEIR_FIELD_TENANT]);
        weir_kit_request_finish(&r);
    }
    struct weir_kit_request r;
    assert_int_equal(ask(&r, "Authorization", "Bearer sk-just-yet"), WEIR_PLUGIN_DONE);
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void a_key_says_which_models_it_may_use(void **state)
{
    (void)state;
    begin("[auth]");
    struct weir_kit_request r;
    assert_int_equal(ask(&r, "Authorization", "Bearer sk-narrow1"), WEIR_PLUGIN_DONE);
    assert_true(weir_str_is(r.fields[WEIR_FIELD_KEY_MODELS], "small\nm2\n"));
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, "Authorization", "Bearer sk-acme-web"), WEIR_PLUGIN_DONE);
    assert_false(r.has_field[WEIR_FIELD_KEY_MODELS]);
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void without_required_only_wrong_keys_are_refused(void **state)
{
    (void)state;
    begin("[{auth: {required: false, header: x-api-key}}]");
    struct weir_kit_request r;
    assert_int_equal(ask(&r, NULL, NULL), WEIR_PLUGIN_DONE);
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, "X-Api-Key", "sk-acme-web"), WEIR_PLUGIN_DONE);
    assert_true(weir_str_is(r.fields[WEIR_FIELD_TENANT], "acme"));
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, "X-Api-Key", "wrong"), WEIR_PLUGIN_ANSWERED);
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void wrong_tenants_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"a\":{\"keys\":[{}]}}", "tenants.a.keys: a key needs a name"},
        {"{\"a\":{\"keys\":[{\"name\":\"k\"}]}}", "k: needs either sha256 or secret"},
        {"{\"a\":{\"keys\":[{\"name\":\"k\",\"sha256\":\"12\"}]}}", "64 hexadecimal digits"},
        {"{\"a\":{\"keys\":[{\"name\":\"k\",\"secret\":\"12345678\",\"expires\":\"soon\"}]}}",
         "expires must be"},
        {"{\"a\":{\"keys\":[{\"name\":\"k\",\"secret\":\"12345678\"},"
         "{\"name\":\"l\",\"secret\":\"12345678\"}]}}",
         "same secret"},
    };
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_error err = {0};
        assert_true(weir_kit_stage_configure(&stage, "[auth]", cases[i].json, &err) < 0);
        if (!strstr(err.message, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        }
    }
    weir_kit_stage_finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_names_tenant_key_and_user),
        cmocka_unit_test(a_key_given_by_its_hash_works),
        cmocka_unit_test(wrong_missing_and_expired_keys_are_401),
        cmocka_unit_test(a_key_says_which_models_it_may_use),
        cmocka_unit_test(without_required_only_wrong_keys_are_refused),
        cmocka_unit_test(wrong_tenants_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
