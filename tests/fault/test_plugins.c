/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin host while memory runs out: a chain is built whole or not at all, and a request on it
 * ends once, whatever its plugins could not get. */
#include <stdlib.h>

#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"

static const char chain[] = "[{header_stamp: {value: x}}, {chunk_redact: {word: secret}}]";

static void ignore(void *arg, const weir_chunk *chunk)
{
    (void)arg;
    (void)chunk;
}

static int start(struct weir_kit_stage *stage)
{
    return weir_kit_stage_init(stage, &weir_kit_request_ops, (struct weir_plugin_limits){0});
}

static int configure(void *arg)
{
    (void)arg;
    struct weir_kit_stage stage;
    struct weir_error err = {0};
    int r = start(&stage);
    if (r == 0) {
        r = weir_kit_stage_configure(&stage, chain, "{}", &err);
        weir_kit_stage_turn(&stage);
        weir_kit_stage_finish(&stage);
    }
    return r;
}

/* A second chain beside the first one, which stays when the second cannot be built. */
static int reload(void *arg)
{
    struct weir_kit_stage *stage = arg;
    struct weir_error err = {0};
    int r = weir_kit_stage_configure(stage, chain, "{}", &err);
    struct weir_plugin_chain *now = weir_plugins_chain(stage->plugins);
    if (weir_plugin_chain_n(now) != 2) {
        abort();
    }
    weir_plugin_chain_unref(now);
    weir_kit_stage_turn(stage);
    return r;
}

static void pass(struct weir_plugin_run *run)
{
    static const weir_chunk chunks[] = {
        {.struct_size = sizeof(weir_chunk),
         .kind = WEIR_CHUNK_TEXT,
         .text = WEIR_STR_INIT("a sec"),
         .n_tokens = 1},
        {.struct_size = sizeof(weir_chunk),
         .kind = WEIR_CHUNK_TEXT,
         .text = WEIR_STR_INIT("ret word"),
         .n_tokens = 2},
        {.struct_size = sizeof(weir_chunk), .kind = WEIR_CHUNK_FINISH, .finish = WEIR_FINISH_STOP},
    };
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_ADMIT; phase++) {
        if (weir_plugin_run_phase(run, (enum weir_phase)phase) != WEIR_PLUGIN_DONE) {
            return;
        }
    }
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        (void)weir_plugin_run_chunk(run, &chunks[i], ignore, NULL);
    }
}

static int run_request(void *arg)
{
    struct weir_kit_stage *stage = arg;
    static struct weir_kit_request req;
    int r = weir_kit_request_init(&req, "{\"model\":\"m\"}");
    if (r < 0) {
        return r;
    }
    struct weir_plugin_chain *now = weir_plugins_chain(stage->plugins);
    r = weir_kit_request_begin(&req, now, stage->loop);
    weir_plugin_chain_unref(now);
    if (r == 0) {
        pass(&req.run);
    }
    weir_kit_request_finish(&req);
    weir_kit_stage_turn(stage);
    return r;
}

static void a_chain_is_built_or_not(void **state)
{
    (void)state;
    assert_true(alloc_fail_each(configure, NULL, 10000) > 20);
}

static void with_a_chain(alloc_fail_attempt *attempt)
{
    struct weir_kit_stage stage;
    struct weir_error err = {0};
    assert_int_equal(start(&stage), 0);
    if (weir_kit_stage_configure(&stage, chain, "{}", &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_true(alloc_fail_each(attempt, &stage, 10000) > 0);
    weir_kit_stage_finish(&stage);
}

static void a_reload_swaps_or_leaves_the_old_chain(void **state)
{
    (void)state;
    with_a_chain(reload);
}

static void a_request_passes_or_fails(void **state)
{
    (void)state;
    with_a_chain(run_request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_built_or_not),
        cmocka_unit_test(a_reload_swaps_or_leaves_the_old_chain),
        cmocka_unit_test(a_request_passes_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
