/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a configuration while memory runs out: each failure is reported, nothing is published. */
#include <stdio.h>
#include <stdlib.h>

#include "core/config/config.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/files.h"

static const char text[] = "server: {listen: ['127.0.0.1:0'], tls: {cert: a, key: b}}\n"
                           "models: {m: {targets: [{engine: {file: a.gguf}}], fallback: [n]}, n: "
                           "{targets: [{engine: {}}]}}\n"
                           "plugins: [auth, {x: {y: [1, 2]}}]\n"
                           "tenants: {t: {models: [m], keys: [{name: k, secret: abcdefgh}]}}\n";

/* Every key is wrong in another way: the messages need memory too. */
static const char wrong[] = "server: {listn: ['127.0.0.1:0'], limits: {connections: many}}\n"
                            "models: {m: {targets: [{engine: {file: [a]}}], class: fast}}\n"
                            "plugins: [1]\nsurprise: yes\n";

static int parse(const char *yaml)
{
    struct weir_findings findings;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, "t.yaml");
    int r = weir_config_parse(weir_str_from(yaml), &findings, false, &config);
    if ((r == 0) != (config != NULL)) {
        abort();
    }
    weir_config_unref(config);
    weir_findings_finish(&findings);
    return r;
}

static int parse_right(void *arg)
{
    (void)arg;
    return parse(text);
}

static int parse_wrong(void *arg)
{
    (void)arg;
    return parse(wrong) < 0 ? 0 : WEIR_E_INTERNAL;
}

/* With the rules of the enterprise, which add findings to a configuration that loads. */
static int load_enterprise(void *arg)
{
    struct weir_findings findings;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, arg);
    int r = weir_config_load(&findings, true, &config);
    if ((r == 0) != (config != NULL)) {
        abort();
    }
    weir_config_unref(config);
    weir_findings_finish(&findings);
    return r;
}

static void a_configuration_is_loaded_or_not(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(parse_right, NULL, 10000) > 20);
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s", weir_test_data_path("../config/enterprise.yaml"));
    assert_true(alloc_fail_each(load_enterprise, path, 10000) > 20);
}

static void a_wrong_configuration_stays_wrong(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(parse_wrong, NULL, 10000) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_is_loaded_or_not),
        cmocka_unit_test(a_wrong_configuration_stays_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
