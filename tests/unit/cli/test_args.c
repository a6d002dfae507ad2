/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"

static const struct weir_option options[] = {
    {"config", 'c', "FILE", ""},
    {"json", 0, NULL, ""},
    {0},
};

static const struct weir_verb verbs[] = {{"get", "NAME", ""}, {"list", "", ""}, {0}};

static const struct weir_command plain = {
    .name = "plain", .operands = "[FILE]", .max_operands = 1, .options = options};
static const struct weir_command wordy = {
    .name = "wordy", .operands = "NAME", .max_operands = 1, .options = options, .verbs = verbs};

enum { MAX_WORDS = 8 };

struct line {
    char *words[MAX_WORDS];
    int n;
    struct weir_args args;
};

static enum weir_args_result parse(const struct weir_command *command, const char *text,
                                   struct line *line)
{
    static char copy[200];
    *line = (struct line){.n = 0};
    (void)snprintf(copy, sizeof(copy), "%s", text);
    char *rest = NULL;
    for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        assert_true(line->n < MAX_WORDS);
        line->words[line->n++] = w;
    }
    return weir_args_parse(command, line->n, line->words, &line->args);
}

static void options_may_be_written_in_all_ways(void **state)
{
    (void)state;
    static const char *const lines[] = {"plain --config F", "plain --config=F", "plain -c F",
                                        "plain -cF", "plain --json -c F"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct line line;
        assert_int_equal(parse(&plain, lines[i], &line), WEIR_ARGS_RUN);
        assert_string_equal(weir_args_value(&line.args, "config"), "F");
        assert_int_equal(weir_args_has(&line.args, "json"), i == 4);
        assert_int_equal(line.args.n_operands, 0);
    }
}

static void operands_may_stand_anywhere(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse(&wordy, "wordy --json get -c F name", &line), WEIR_ARGS_RUN);
    assert_string_equal(line.args.verb->name, "get");
    assert_int_equal(line.args.n_operands, 1);
    assert_string_equal(line.args.operands[0], "name");

    assert_int_equal(parse(&plain, "plain -- --json", &line), WEIR_ARGS_RUN);
    assert_string_equal(line.args.operands[0], "--json");
    assert_false(weir_args_has(&line.args, "json"));
}

static void wrong_lines_are_refused(void **state)
{
    (void)state;
    static const char *const plain_lines[] = {"plain --confg F", "plain -x",  "plain --config",
                                              "plain --json=1",  "plain a b", "plain --",
                                              "plain -c"};
    for (size_t i = 0; i < sizeof(plain_lines) / sizeof(plain_lines[0]); i++) {
        struct line line;
        enum weir_args_result want = i == 5 ? WEIR_ARGS_RUN : WEIR_ARGS_WRONG;
        assert_int_equal(parse(&plain, plain_lines[i], &line), want);
    }
    struct line line;
    assert_int_equal(parse(&wordy, "wordy", &line), WEIR_ARGS_WRONG);
    assert_int_equal(parse(&wordy, "wordy gte x", &line), WEIR_ARGS_WRONG);
}

static void help_wins(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse(&wordy, "wordy --help", &line), WEIR_ARGS_HELP);
    assert_int_equal(parse(&plain, "plain a b -h", &line), WEIR_ARGS_HELP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_be_written_in_all_ways),
        cmocka_unit_test(operands_may_stand_anywhere),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(help_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
