/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants' scripts: what they can do, and what hostile ones cannot. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/plugin/plugins_internal.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"
#include "tests/support/cmocka.h"

static struct weir_kit_stage stage;
static char path[] = "/tmp/weir-lua-XXXXXX";

static void write_script(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int configure(const char *script, size_t n, const char *options, struct weir_error *err)
{
    char plugins[256], tenants[256];
    write_script(script, n);
    (void)snprintf(plugins, sizeof(plugins), "[{lua: {%s}}]", options);
    (void)snprintf(tenants, sizeof(tenants), "{\"acme\":{\"policy\":\"%s\"},\"other\":{}}", path);
    assert_int_equal(
        weir_kit_stage_init(&stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}), 0);
    return weir_kit_stage_configure(&stage, plugins, tenants, err);
}

static void begin(const char *script, const char *options)
{
    struct weir_error err = {0};
    if (configure(script, strlen(script), options, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static enum weir_plugin_outcome ask(struct weir_kit_request *r, const char *tenant)
{
    assert_int_equal(weir_kit_request_init(r, "{}"), 0);
    weir_kit_request_header(r, "X-Team", "red");
    if (tenant) {
        weir_kit_request_field(r, WEIR_FIELD_TENANT, tenant);
    }
    struct weir_plugin_chain *chain = weir_plugins_chain(stage.plugins);
    assert_int_equal(weir_kit_request_begin(r, chain, stage.loop), 0);
    weir_plugin_chain_unref(chain);
    return weir_plugin_run_phase(&r->run, WEIR_PHASE_BODY);
}

/* Runs a script as acme's and gives the status: 0 when the request goes on. */
static int status_of(const char *script, const char *options)
{
    struct weir_kit_request r;
    begin(script, options);
    int status = ask(&r, "acme") == WEIR_PLUGIN_DONE ? 0 : r.status;
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
    return status;
}

static void a_script_sees_the_request_and_denies_in_its_words(void **state)
{
    (void)state;
    begin("local limit = 10\n"
          "function on_request(req)\n"
          "  if req.prompt_tokens > limit and req.model == 'm' and req.tenant == 'acme' and\n"
          "     req.header('x-team') == 'red' and req:header('X-TEAM'):upper() == 'RED' and\n"
          "     req.user == nil and req.stream == true and weir.time() > 1e9 then\n"
          "    return weir.deny(429, string.format('%d of %5.1f|%-4s|%03d', req.prompt_tokens,\n"
          "                                        limit, 'ab', -7), 'too_long')\n"
          "  end\n"
          "end\n",
          "");
    struct weir_kit_request r;
    assert_int_equal(ask(&r, "acme"), WEIR_PLUGIN_ANSWERED);
    assert_int_equal(r.status, 429);
    assert_true(weir_str_is(r.code, "too_long"));
    assert_string_equal(r.text.p, "12 of  10.0|ab  |-07");
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, "other"), WEIR_PLUGIN_DONE); /* has no script */
    weir_kit_request_finish(&r);
    assert_int_equal(ask(&r, NULL), WEIR_PLUGIN_DONE);
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

#define IN_REQUEST(body) "function on_request(req)\n" body "\nend\n"

static void the_libraries_do_as_lua_does(void **state)
{
    (void)state;
    static const char script[] = IN_REQUEST(
        "assert(('hello'):sub(2, -2) == 'ell' and ('hello'):sub(-100, 100) == 'hello')\n"
        "assert(string.sub('abc', 0) == 'abc' and string.sub('abc', 4) == '')\n"
        "assert(string.find('a.b', '.', 1, true) == 2 and string.find('abc', 'd') == nil)\n"
        "local a, b = string.find('abcabc', 'ca'); assert(a == 3 and b == 4)\n"
        "assert(string.rep('ab', 3, '-') == 'ab-ab-ab' and string.rep('x', -1) == '')\n"
        "assert(string.char(104, 105) == 'hi' and select('#', string.byte('abc', 1, -1)) == 3)\n"
        "local t = {1, 2, 3}; table.insert(t, 4); table.insert(t, 1, 0)\n"
        "assert(table.concat(t, ',') == '0,1,2,3,4' and table.remove(t) == 4)\n"
        "assert(table.remove(t, 1) == 0 and #t == 3 and select('#', table.unpack(t)) == 3)\n"
        "assert(math.max(1, 5, 3) == 5 and math.floor(2.7) == 2 and tostring(nil) == 'nil')\n"
        "assert(string.format('%x %s %5s|%%', 255, 'ok', 'r') == 'ff ok     r|%')\n"
        "assert(tostring({}) == 'table')");
    assert_int_equal(status_of(script, ""), 0);
}

static void dangerous_functions_are_not_there(void **state)
{
    (void)state;
    static const char script[] =
        "for _, name in ipairs({'load', 'loadstring', 'loadfile', 'dofile', 'require', 'package',\n"
        "  'io', 'os', 'debug', 'coroutine', 'getmetatable', 'setmetatable', 'rawset', 'rawget',\n"
        "  'rawequal', 'rawlen', 'collectgarbage', 'pcall', 'xpcall', 'print', '_G', 'utf8',\n"
        "  'warn'}) do\n"
        "  assert(_ENV[name] == nil, name)\n"
        "end\n"
        "assert(string.dump == nil and string.pack == nil and string.unpack == nil)\n"
        "assert(math.random == nil and math.randomseed == nil)\n" IN_REQUEST("");
    assert_int_equal(status_of(script, ""), 0);
}

static uint64_t cpu_ms(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const char *const hostile_scripts[] = {
    IN_REQUEST("while true do end"),
    IN_REQUEST("local s = 'x' while true do s = s .. s end"),
    IN_REQUEST("local t = {} local i = 1 while true do t[i] = i i = i + 1 end"),
    IN_REQUEST("local t = {} while true do t = {t} end"),
    IN_REQUEST("return string.rep('x', 1 << 40)"),
    IN_REQUEST("return string.rep('', 1 << 40) .. string.rep('ab', 1 << 62)"),
    IN_REQUEST("while true do local s = string.rep('x', 60000) end"),
    IN_REQUEST("local s = string.rep('a', 60000)\n"
               "while true do string.find(s, string.rep('a', 30000) .. 'b', 1, true) end"),
    IN_REQUEST("local s = string.rep('a', 60000) local u = string.rep('a', 59999) .. 'b'\n"
               "while true do local x = s == u end"),
    IN_REQUEST("local s = string.rep('a', 60000) local u = string.rep('a', 59999) .. 'b'\n"
               "while true do local x = s < u end"),
    IN_REQUEST("local t = {} for i = 1, 100000 do table.insert(t, 1, i) end"),
    IN_REQUEST("local function f() return f() + 1 end return f()"),
    IN_REQUEST("local function f() return f() end return f()"),
    IN_REQUEST("local t = {} for i = 1, 200 do t[i] = string.rep('x', 1000) end\n"
               "while true do table.concat(t) end"),
    IN_REQUEST("while true do string.format('%99.99f', 1e308) end"),
    IN_REQUEST("while true do tostring(1.5) end"),
    IN_REQUEST("for i = 1, 1 << 62 do next({}) end"),
    IN_REQUEST("error({})"),
    IN_REQUEST("error()"),
    IN_REQUEST("return 1"),
    IN_REQUEST("return req"),
    IN_REQUEST("return weir.deny(200, 'x')"),
    IN_REQUEST("string.upper = nil"),
    IN_REQUEST("weir.deny = nil"),
    IN_REQUEST("math.pi = 3"),
    IN_REQUEST("counter = 1"),
    IN_REQUEST("req.model = 'x'"),
    IN_REQUEST("return req.nosuch"),
    IN_REQUEST("return ('x').y.z"),
    IN_REQUEST("('x').y = 1"),
    IN_REQUEST("return string.format('%s%s', 'x')"),
    IN_REQUEST("return string.format('%n', 1)"),
    IN_REQUEST("return string.format('%1000d', 1)"),
    IN_REQUEST("return string.format('%')"),
    IN_REQUEST("return table.unpack({}, 1, 1 << 60)"),
    IN_REQUEST("return table.concat({}, 'x', 1, 1 << 60)"),
    IN_REQUEST("table.insert(string, 1)"),
    IN_REQUEST("return string.byte(string.rep('x', 60000), 1, -1)"),
    /* Patterns that backtrack for ever in Lua's own matcher. */
    IN_REQUEST("string.find(('a'):rep(28), ('a?'):rep(28) .. ('a'):rep(28))"),
    IN_REQUEST("string.find(('a'):rep(400), '.-.-.-.-b')"),
    IN_REQUEST("string.find(('a'):rep(60), '.-.-.-.-.-.-.-b')"),
    IN_REQUEST("string.match(('a'):rep(60000), '(a*)(a*)(a*)(a*)b')"),
    IN_REQUEST("string.gsub(('a'):rep(60000), 'a*b', '')"),
    IN_REQUEST("for _ in string.gmatch(('('):rep(60000), '%b()') do end"),
    IN_REQUEST("while true do string.find(('x'):rep(1000), '%f[%a]y') end"),
    IN_REQUEST("return ('x'):find(('x'):rep(257) .. '.')"),
    IN_REQUEST("return ('x'):find('[a')"),
    IN_REQUEST("return ('x'):find('(')"),
    IN_REQUEST("return ('x'):find('%1')"),
    IN_REQUEST("return ('x'):gsub('x', '%2')"),
    IN_REQUEST("return ('x'):rep(60000):gsub('x', ('y'):rep(100))"),
    IN_REQUEST("local function f(s) return (s:gsub('.', f)) end return f('x')"),
    IN_REQUEST("('x'):rep(60000):gsub('.', function() while true do end end)"),
    /* Work in C functions that the hook does not see. */
    IN_REQUEST("table.move({}, 1, 1 << 40, 2)"),
    IN_REQUEST("table.move({}, 1, 1 << 29, 2)"),
    IN_REQUEST("local t = {} for i = 1, 20000 do t[i] = i end table.sort(t)"),
    IN_REQUEST("table.sort({3, 2, 1}, function() while true do end end)"),
    IN_REQUEST("local t = {} for i = 1, 5000 do t[i] = i % 7 end\n"
               "while true do table.sort(t, function() return true end) end"),
    IN_REQUEST("table.sort({1, 'x', {}})"),
    IN_REQUEST("local t = {} for i = 1, 200 do t[i] = i end\n"
               "while true do select('#', table.unpack(t)) end"),
    IN_REQUEST("local t = {} for i = 1, 20000 do t[i] = 1 end for i = 1, 20000 do t[i] = nil end\n"
               "while true do next(t) end"),
    /* A state that is always full: each allocation collects all garbage. */
    IN_REQUEST("local t, s = {}, ('x'):rep(1000) for i = 1, 1e9 do\n"
               "  t[i] = s .. i if i > 900 then t[i - 900] = nil end end"),
    IN_REQUEST("local keep = {} for i = 1, 6500 do keep[i] = {i} end\n"
               "while true do local t = {1, 2, 3, 4, 5, 6, 7, 8} end"),
    IN_REQUEST("local function g(...) return g(1, ...) end g()"),
    IN_REQUEST("local t <close> = {}"),
    IN_REQUEST("while true do weir.log('x') end"),
    IN_REQUEST("while true do weir.tag('x', 'y') end"),
    IN_REQUEST("for i = 1, 20 do weir.tag('x' .. i, 'y') end"),
    IN_REQUEST("weir.tag('x', 'a\\nb')"),
    IN_REQUEST("weir.tag('X', 'y')"),
    IN_REQUEST("for i = 1, 20 do weir.ctx['x' .. i] = i end"),
    IN_REQUEST("weir.ctx.x = {}"),
    IN_REQUEST("weir.ctx.x = ('x'):rep(2000)"),
    IN_REQUEST("while true do weir.kv.get('x') end"),
    IN_REQUEST("('x'):gsub('x', function() weir.kv.get('x') end)"),
    IN_REQUEST("weir.kv.get(('x'):rep(300))"),
    IN_REQUEST("weir.kv.set('x', ('x'):rep(70000))"),
    IN_REQUEST("weir.kv.take('x', -1, 1)"),
    IN_REQUEST("weir.kv.take('x', 0 / 0, 1)"),
    IN_REQUEST("weir.kv.take('x', 1, math.huge)"),
    IN_REQUEST("weir.time('../../etc/passwd')"),
    IN_REQUEST("weir.time('/etc/passwd')"),
    IN_REQUEST("weir.time('Europe/Nowhere')"),
    IN_REQUEST("weir.time('UTC', math.maxinteger)"),
    IN_REQUEST("weir.set('tenant', 'other')"),
    IN_REQUEST("weir.set('max_tokens', -1)"),
    IN_REQUEST("weir.set('max_tokens', 1.5)"),
    IN_REQUEST("weir.set('class', 'root')"),
    IN_REQUEST("weir.deny(400, ('x'):rep(600))"),
    IN_REQUEST("return weir.deny(400, 'x', 'y', -1)"),
    IN_REQUEST("return weir.deny(400, 'x', 'y', 0 / 0)"),
    IN_REQUEST("return weir.hold()"),
    IN_REQUEST("return weir.route()"),
    IN_REQUEST("return 'text'"),
    IN_REQUEST("return string.find('aaa', '(a+)+b') .. ''"),
    IN_REQUEST("return string.sub('x', 1 << 63, (1 << 63) - 1) .. nil"),
    IN_REQUEST("return req.header(string.rep('x', 60000)) .. ''"),
    "local kept\n" IN_REQUEST("if kept then return kept.model end kept = req error('once')"),
    "local t = {}\n" IN_REQUEST("for i = 1, 1000 do t[#t + 1] = string.rep('x', 1000) end"),
};

static void hostile_scripts_end_soon_and_hurt_only_themselves(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hostile_scripts) / sizeof(hostile_scripts[0]); i++) {
        struct weir_kit_request r;
        begin(hostile_scripts[i], "");
        for (int round = 0; round < 3; round++) {
            uint64_t before = cpu_ms();
            enum weir_plugin_outcome outcome = ask(&r, "acme");
            if (outcome != WEIR_PLUGIN_ANSWERED || r.status != 503) {
                fail_msg("script %zu was let through: %s", i, hostile_scripts[i]);
            }
            if (cpu_ms() - before > LUA_TEST_LIMIT_MS) {
                fail_msg("script %zu ran %llu ms: %s", i, (unsigned long long)(cpu_ms() - before),
                         hostile_scripts[i]);
            }
            weir_kit_request_finish(&r);
            assert_int_equal(ask(&r, "other"), WEIR_PLUGIN_DONE);
            weir_kit_request_finish(&r);
            weir_kit_stage_advance(&stage, 1000000);
        }
        assert_int_equal(stage.plugins->current->links[0].instance->guard.failures, 0);
        weir_kit_stage_finish(&stage);
    }
}

static void a_failing_script_lets_through_when_told_so(void **state)
{
    (void)state;
    assert_int_equal(status_of(IN_REQUEST("error('x')"), "on_error: open"), 0);
    assert_int_equal(status_of(IN_REQUEST("while true do end"), "on_error: open"), 0);
    assert_int_equal(status_of(IN_REQUEST("error('x')"), "on_error: closed"), 503);
}

static void wrong_scripts_are_refused_at_start_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } cases[] = {
        {"function on_request(\n", 21, "2:"},
        {"x = 1", 5, "defines none of on_request"},
        {"while true do end", 17, "out of "},
        {"local s = 'x' while true do s = s .. s end", 42, "out of memory"},
        {"\33Lua\x54\0\x19\x93\r\n\x1a\n", 12, "attempt to load a binary chunk"},
        {"error('at the top')", 19, ":1: at the top"},
        {"y = nosuch.field", 16, "nosuch"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_error err = {0};
        assert_true(configure(cases[i].text, cases[i].n, "", &err) < 0);
        if (!strstr(err.message, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].says);
        }
        weir_kit_stage_finish(&stage);
    }
    char *large = malloc(70000);
    assert_non_null(large);
    memset(large, ' ', 70000);
    struct weir_error err = {0};
    assert_true(configure(large, 70000, "", &err) < 0);
    assert_non_null(strstr(err.message, "larger than 64 KiB"));
    weir_kit_stage_finish(&stage);
    free(large);
}

/* Five calls that ran out of budget pause a version; then it is tried again. */
static void a_policy_that_burns_time_is_paused(void **state)
{
    (void)state;
    struct weir_kit_request r;
    begin("function on_request(req) if req.prompt_tokens > 5 then while true do end end end", "");
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ask(&r, "acme"), WEIR_PLUGIN_ANSWERED);
        assert_int_equal(r.status, 503);
        weir_kit_request_finish(&r);
    }
    uint64_t before = cpu_ms();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(&r, "acme"), WEIR_PLUGIN_ANSWERED);
        weir_kit_request_finish(&r);
    }
    assert_true(cpu_ms() - before <
                LUA_TEST_LIMIT_MS); /* 100 runs would take at least 25 ms each */
    weir_kit_stage_advance(&stage, 11000000);
    assert_int_equal(ask(&r, "acme"), WEIR_PLUGIN_ANSWERED);
    weir_kit_request_finish(&r);
    weir_kit_stage_finish(&stage);
}

static void deep_nesting_does_not_reach_the_c_stack(void **state)
{
    (void)state;
    enum { DEPTH = 20000 };
    char *text = malloc(3 * DEPTH + 64);
    assert_non_null(text);
    size_t n = (size_t)snprintf(text, 64, "x = ");
    memset(text + n, '(', DEPTH);
    memset(text + n + DEPTH, ')', DEPTH);
    struct weir_error err = {0};
    assert_true(configure(text, n + 2 * DEPTH, "", &err) < 0);
    weir_kit_stage_finish(&stage);
    free(text);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_sees_the_request_and_denies_in_its_words),
        cmocka_unit_test(the_libraries_do_as_lua_does),
        cmocka_unit_test(dangerous_functions_are_not_there),
        cmocka_unit_test(hostile_scripts_end_soon_and_hurt_only_themselves),
        cmocka_unit_test(a_failing_script_lets_through_when_told_so),
        cmocka_unit_test(wrong_scripts_are_refused_at_start_with_their_line),
        cmocka_unit_test(a_policy_that_burns_time_is_paused),
        cmocka_unit_test(deep_nesting_does_not_reach_the_c_stack),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
