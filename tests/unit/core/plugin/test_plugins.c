/* SPDX-License-Identifier: Apache-2.0 */
/* Loading, negotiation, order, configuration and reload. */
#include "core/plugin/plugins.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static struct weir_kit_stage stage;

static int set_up(void **state)
{
    (void)state;
    return weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0});
}

static int tear_down(void **state)
{
    (void)state;
    weir_kit_stage_finish(&stage);
    return 0;
}

#define PROBE(name) PROBE_DIR "/" name ".so"

/* Configuring must fail with a sentence that contains `part`. */
static void refused(const char *plugins, const char *part)
{
    struct weir_error err = {0};
    assert_true(weir_kit_stage_configure(&stage, plugins, "{}", &err) < 0);
    if (!strstr(err.message, part)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    }
}

static void refusals_say_what_is_missing(void **state)
{
    (void)state;
    refused("[nosuch]", "no plugin named \"nosuch\"; looked for nosuch.so in ");
    refused("[/nowhere/x.so]", "/nowhere/x.so: No such file");
    refused("[/proc/self/status]", "/proc/self/status");
    refused("[" PROBE("probe_major") "]", "was built for plugin ABI 2.0, this host has 1.0");
    refused("[" PROBE("probe_needs") "]", "plugin e needs \"weir.telepathy/1\"");
    refused("[echo]", "plugin echo is no policy (it provides weir.backend.step/1)");
    refused("[" PROBE("probe_a") ", " PROBE("probe_a") "]", "stands here a second time");
    refused("[" PROBE("probe_after_b") ", " PROBE("probe_b") "]", "plugin c must stand after b");
    refused("[{" PROBE("probe_a") ": {refuse: true}}]", "plugin a: told to refuse");
}

static void wrong_configuration_is_named_with_its_place(void **state)
{
    (void)state;
    refused("[{header_stamp: {value: 1}}]", "plugins:1:25");
    refused("- header_stamp:\n    valeu: x\n", "plugins:2:5");
    refused("[{header_stamp: {on_error: ajar}}]", "on_error");
}

static void a_disabled_plugin_is_left_out(void **state)
{
    (void)state;
    struct weir_error err = {0};
    assert_int_equal(weir_kit_stage_configure(
                         &stage, "[header_stamp, {chunk_redact: {enabled: false}}]", "{}", &err),
                     0);
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_plugin_chain_n(chain), 1);
    weir_plugin_chain_unref(chain);
}

static void a_failed_reload_leaves_the_old_chain(void **state)
{
    (void)state;
    struct weir_error err = {0};
    assert_int_equal(weir_kit_stage_configure(&stage, "[header_stamp]", "{}", &err), 0);
    refused("[header_stamp, nosuch]", "nosuch");
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_plugin_chain_n(chain), 1);
    weir_plugin_chain_unref(chain);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), in)) > 0;) {
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    }
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static const char *version(struct weir_plugin_chain *chain)
{
    return chain->links[0].instance->lib->about.version;
}

static void a_changed_file_is_new_code_and_old_requests_keep_the_old(void **state)
{
    (void)state;
    char dir[] = "/tmp/weir-reload-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64], chain_text[80];
    (void)snprintf(path, sizeof(path), "%s/b.so", dir);
    (void)snprintf(chain_text, sizeof(chain_text), "[%s]", path);
    struct weir_error err = {0};
    copy_file(PROBE("probe_b"), path);
    assert_int_equal(weir_kit_stage_configure(&stage, chain_text, "{}", &err), 0);
    struct weir_plugin_chain *old = weir_plugins_chain(stage.plugins);
    copy_file(PROBE("probe_b2"), path); /* over the very same inode */
    assert_int_equal(weir_kit_stage_configure(&stage, chain_text, "{}", &err), 0);
    struct weir_plugin_chain *now = weir_plugins_chain(stage.plugins);
    assert_string_equal(version(old), "1");
    assert_string_equal(version(now), "2");
    weir_kit_stage_turn(&stage);
    assert_string_equal(version(old), "1"); /* held: not destroyed */
    weir_plugin_chain_unref(old);
    weir_plugin_chain_unref(now);
    weir_kit_stage_turn(&stage);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void an_unchanged_file_is_loaded_once(void **state)
{
    (void)state;
    struct weir_plugin_library *a = NULL, *b = NULL;
    assert_int_equal(weir_plugins_load(stage.plugins, "echo", &a, NULL), 0);
    assert_int_equal(weir_plugins_load(stage.plugins, "echo", &b, NULL), 0);
    assert_ptr_equal(a, b);
    assert_non_null(weir_plugin_library_ext(a, "weir.backend.step/1"));
    assert_null(weir_plugin_library_ext(a, "weir.policy/1"));
    weir_plugin_library_unref(a);
    weir_plugin_library_unref(b);
}

static void count(void *arg)
{
    *(int *)arg += 1;
}

static void timers_and_posts_end_with_their_instance(void **state)
{
    (void)state;
    struct weir_plugin_library *lib = NULL;
    struct weir_plugin_instance *inst = NULL;
    assert_int_equal(weir_plugins_load(stage.plugins, "echo", &lib, NULL), 0);
    assert_int_equal(weir_plugins_host(stage.plugins, lib, &inst, NULL), 0);
    const weir_host *h = weir_plugin_instance_host(inst);
    int once = 0, often = 0, posted = 0;
    uint64_t a = h->timer_start(h, 10, 0, count, &once);
    uint64_t b = h->timer_start(h, 10, 10, count, &often);
    assert_int_equal(h->post(h, count, &posted), 0);
    weir_kit_stage_turn(&stage);
    assert_int_equal(posted, 1);
    for (int i = 0; i < 3; i++) {
        weir_kit_stage_advance(&stage, 10 * 1000);
    }
    assert_int_equal(once, 1);
    assert_int_equal(often, 3);
    assert_int_equal(h->timer_stop(h, a), WEIR_E_GONE);
    assert_int_equal(h->timer_stop(h, b), 0);
    assert_int_equal(h->timer_stop(h, b), WEIR_E_GONE);
    for (int i = 0; i < WEIR_INSTANCE_MAX_TIMERS; i++) {
        assert_true(h->timer_start(h, 10, 0, count, &once) != 0);
    }
    assert_int_equal(h->timer_start(h, 10, 0, count, &once), 0);
    for (int i = 0; i < WEIR_INSTANCE_MAX_POSTS; i++) {
        assert_int_equal(h->post(h, count, &posted), 0);
    }
    assert_int_equal(h->post(h, count, &posted), WEIR_E_BUSY);
    struct weir_plugin_leaks leaks;
    weir_plugin_instance_end(inst, &leaks);
    assert_int_equal(leaks.timers, WEIR_INSTANCE_MAX_TIMERS);
    assert_int_equal(leaks.posts, WEIR_INSTANCE_MAX_POSTS);
    weir_kit_stage_advance(&stage, 1000 * 1000);
    assert_int_equal(once, 1);
    assert_int_equal(posted, 1);
    weir_plugin_library_unref(lib);
}

static void status_and_metrics_show_the_plugins(void **state)
{
    (void)state;
    struct weir_error err = {0};
    assert_int_equal(weir_kit_stage_configure(&stage, "[header_stamp]", "{}", &err), 0);
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    struct weir_buf text;
    weir_buf_init(&text, 1 << 16);
    weir_plugin_chain_status(chain, &text);
    yyjson_doc *json = yyjson_read(text.data, text.len, 0);
    assert_non_null(json);
    yyjson_doc_free(json);
    weir_buf_reset(&text);
    assert_int_equal(weir_metrics_render(stage.metrics, &text), 0);
    assert_non_null(strstr(text.data, "weir_plugin_quarantined{plugin=\"header_stamp\"} 0"));
    weir_buf_finish(&text);
    weir_plugin_chain_unref(chain);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refusals_say_what_is_missing),
        TEST(wrong_configuration_is_named_with_its_place),
        TEST(a_disabled_plugin_is_left_out),
        TEST(a_failed_reload_leaves_the_old_chain),
        TEST(a_changed_file_is_new_code_and_old_requests_keep_the_old),
        TEST(an_unchanged_file_is_loaded_once),
        TEST(timers_and_posts_end_with_their_instance),
        TEST(status_and_metrics_show_the_plugins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
