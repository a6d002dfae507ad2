/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance kit must find each mistake of plugins/bad.c, and nothing in a plugin without. */
#include "sdk/kit/conformance.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"

static struct weir_kit_result run(const char *plugin, const char *check)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s.so", BAD_DIR, plugin);
    const struct weir_kit_target target = {
        .path = path, .config = "{}", .tenants_json = "{}", .model = "", .seed = 7};
    struct weir_kit_result result = {0};
    for (const struct weir_kit_check *c = weir_kit_checks("weir.policy/1"); c->name; c++) {
        if (strcmp(c->name, check) == 0) {
            assert_int_equal(weir_kit_run(c, &target, &result), 0);
            return result;
        }
    }
    fail_msg("no check is named %s", check);
    return result;
}

static void finds(const char *plugin, const char *check, const char *says)
{
    struct weir_kit_result r = run(plugin, check);
    if (r.verdict != WEIR_KIT_FAILED || r.n == 0 || !strstr(r.text[0], says)) {
        fail_msg("%s: %s says \"%s\", not \"%s\"", plugin, check, r.n ? r.text[0] : "nothing",
                 says);
    }
}

static void each_mistake_is_found(void **state)
{
    (void)state;
    (void)signal(SIGSEGV, SIG_DFL); /* the children inherit cmocka's handler */
    finds("bad_timer", "life", "left 1 timers running");
    finds("bad_leak", "life", "blocks");
    finds("bad_crash", "requests", "it crashed: signal 11");
    finds("bad_exit", "requests", "exit status 3");
    finds("bad_verdict", "requests", "unknown verdict");
    finds("bad_resume", "timeout", "it crashed");
    finds("bad_resume", "stranger", "it crashed");
    finds("bad_wants", "bare-host", "it crashed");
    finds("bad_cuts", "chunks", "the output differs");
    finds("bad_holds", "output", "is still held back");
    finds("bad_silent", "config", "without a sentence");
}

static void a_good_plugin_has_no_findings(void **state)
{
    (void)state;
    for (const struct weir_kit_check *c = weir_kit_checks("weir.policy/1"); c->name; c++) {
        struct weir_kit_result r = run("bad_none", c->name);
        if (r.verdict == WEIR_KIT_FAILED) {
            fail_msg("%s: %s", c->name, r.text[0]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_found),
        cmocka_unit_test(a_good_plugin_has_no_findings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
