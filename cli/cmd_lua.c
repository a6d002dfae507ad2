/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/lua_api_list.h"
#include "cli/lua_bench.h"
#include "cli/lua_check.h"
#include "cli/lua_repl.h"
#include "cli/lua_test.h"

static int list_api(bool json)
{
    struct lua_api_list *list = calloc(1, sizeof(*list));
    int rc = list ? lua_api_list_read(list, false) : -1;
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        printf(json ? "%s\"%s\"" : "%s%s\n", !json ? "" : i ? ",\n " : "[", list->names[i]);
    }
    if (json && rc == 0) {
        puts("]");
    }
    free(list);
    return rc == 0 ? WEIR_EXIT_OK : WEIR_EXIT_BAD;
}

static int run(const struct weir_args *args)
{
    const char *verb = args->verb->name;
    bool json = weir_args_has(args, "json");
    bool many = strcmp(verb, "check") == 0 || strcmp(verb, "test") == 0;
    int least = many || strcmp(verb, "bench") == 0 ? 1 : 0;
    int most = many ? args->n_operands : strcmp(verb, "api") == 0 ? 0 : 1;
    if (args->n_operands < least || args->n_operands > most) {
        fprintf(stderr, "weir lua: usage: weir lua %s %s\n", verb, args->verb->operands);
        return WEIR_EXIT_USAGE;
    }
    if (strcmp(verb, "check") == 0) {
        return lua_check_files(args->operands, args->n_operands, json);
    }
    if (strcmp(verb, "test") == 0) {
        return lua_test_paths(args->operands, args->n_operands, json);
    }
    if (strcmp(verb, "bench") == 0) {
        return lua_bench_file(args->operands[0], json);
    }
    return strcmp(verb, "api") == 0 ? list_api(json)
                                    : lua_repl_run(args->n_operands ? args->operands[0] : NULL);
}

static const struct weir_verb verbs[] = {
    {"check", "FILE...", "compile policies and look for unknown names"},
    {"test", "FILE|DIRECTORY...", "run the tests that stand beside policies"},
    {"bench", "FILE", "show what a call of each hook costs"},
    {"repl", "[FILE]", "evaluate lines in the sandbox of policies"},
    {"api", "", "list what a policy can use"},
    {0},
};

static const struct weir_option options[] = {
    {"json", 0, NULL, "print JSON (check, test, bench, api)"},
    {0},
};

extern const struct weir_command weir_cmd_lua;
const struct weir_command weir_cmd_lua = {
    .name = "lua",
    .summary = "Check, test and measure tenants' policies, without a daemon",
    .operands = "[FILE...]",
    .min_operands = 0,
    .max_operands = -1,
    .verbs = verbs,
    .options = options,
    .details =
        "A policy runs in the same sandbox and with the same budgets as in the daemon.\n"
        "test takes a policy (NAME.lua), its tests (NAME_test.lua) or a folder of them.\n"
        "Exit status: 0 good, 1 findings or failed tests, 2 wrong usage or nothing to test.\n"
        "docs/lua.md has the reference, and lua/ worked policies.\n",
    .examples = "  weir lua check policies/acme.lua\n"
                "  weir lua test lua\n"
                "  weir lua test --json policies/acme.lua\n"
                "  weir lua bench policies/acme.lua\n"
                "  echo 'req.model, weir.hash(\"x\") % 100' | weir lua repl\n",
    .run = run,
};
