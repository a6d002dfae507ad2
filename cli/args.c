/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/config/nearest.h"

static int option_index(const struct weir_command *command, const char *name, size_t n)
{
    const struct weir_option *o = command->options;
    for (int i = 0; o && o[i].name; i++) {
        if (strlen(o[i].name) == n && memcmp(o[i].name, name, n) == 0) {
            return i;
        }
    }
    return -1;
}

static int letter_index(const struct weir_command *command, char letter)
{
    const struct weir_option *o = command->options;
    for (int i = 0; o && o[i].name; i++) {
        if (o[i].letter == letter) {
            return i;
        }
    }
    return -1;
}

const char *weir_args_value(const struct weir_args *args, const char *name)
{
    int i = option_index(args->command, name, strlen(name));
    assert(i >= 0);
    return i < 0 ? NULL : args->values[i];
}

bool weir_args_has(const struct weir_args *args, const char *name)
{
    return weir_args_value(args, name) != NULL;
}

struct parse {
    const struct weir_command *command;
    struct weir_args *args;
    int argc, at;
    char **argv;
};

static void say_try_help(const struct weir_command *command)
{
    fprintf(stderr, "Try `weir %s --help`.\n", command->name);
}

static enum weir_args_result complain_option(const struct weir_command *command, const char *text)
{
    struct weir_nearest nearest;
    weir_str word = {text + 2, strcspn(text + 2, "=")};
    weir_nearest_init(&nearest, strncmp(text, "--", 2) == 0 ? word : (weir_str){NULL, 0});
    const struct weir_option *o = command->options;
    for (int i = 0; o && o[i].name; i++) {
        weir_nearest_offer(&nearest, weir_str_from(o[i].name));
    }
    weir_nearest_offer(&nearest, weir_str_from("help"));
    fprintf(stderr, "weir %s: unknown option %s", command->name, text);
    if (nearest.best.p) {
        fprintf(stderr, "; did you mean --%s?", nearest.best.p);
    }
    fputc('\n', stderr);
    say_try_help(command);
    return WEIR_ARGS_WRONG;
}

/* Stores the option; its argument is `attached` or the next word. */
static enum weir_args_result take_option(struct parse *p, int index, const char *attached)
{
    const struct weir_option *o = &p->command->options[index];
    if (!o->argument) {
        if (attached) {
            fprintf(stderr, "weir %s: --%s takes no value\n", p->command->name, o->name);
            say_try_help(p->command);
            return WEIR_ARGS_WRONG;
        }
        p->args->values[index] = "";
        return WEIR_ARGS_RUN;
    }
    if (!attached && p->at + 1 < p->argc) {
        attached = p->argv[++p->at];
    }
    if (!attached) {
        fprintf(stderr, "weir %s: --%s needs a value: %s\n", p->command->name, o->name,
                o->argument);
        say_try_help(p->command);
        return WEIR_ARGS_WRONG;
    }
    p->args->values[index] = attached;
    return WEIR_ARGS_RUN;
}

static enum weir_args_result parse_option(struct parse *p, char *text)
{
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
        return WEIR_ARGS_HELP;
    }
    if (text[1] == '-') {
        size_t n = strcspn(text + 2, "=");
        int index = option_index(p->command, text + 2, n);
        const char *attached = text[2 + n] == '=' ? text + 2 + n + 1 : NULL;
        return index < 0 ? complain_option(p->command, text) : take_option(p, index, attached);
    }
    int index = letter_index(p->command, text[1]);
    const char *attached = text[2] ? text + 2 : NULL;
    return index < 0 ? complain_option(p->command, text) : take_option(p, index, attached);
}

static bool take_verb(const struct weir_command *command, struct weir_args *args)
{
    struct weir_nearest nearest;
    const char *word = args->n_operands ? args->operands[0] : NULL;
    weir_nearest_init(&nearest, weir_str_from(word));
    for (const struct weir_verb *v = command->verbs; v->name; v++) {
        if (word && strcmp(v->name, word) == 0) {
            args->verb = v;
            args->operands++;
            args->n_operands--;
            return true;
        }
        weir_nearest_offer(&nearest, weir_str_from(v->name));
    }
    if (!word) {
        fprintf(stderr, "weir %s: what to do is missing, such as %s\n", command->name,
                command->verbs->name);
    } else if (nearest.best.p) {
        fprintf(stderr, "weir %s: unknown word %s; did you mean %s?\n", command->name, word,
                nearest.best.p);
    } else {
        fprintf(stderr, "weir %s: unknown word %s\n", command->name, word);
    }
    return false;
}

static bool check_operands(const struct weir_command *command, const struct weir_args *args)
{
    if (args->n_operands < command->min_operands) {
        fprintf(stderr, "weir %s: %s is missing\n", command->name, command->operands);
        return false;
    }
    if (command->max_operands >= 0 && args->n_operands > command->max_operands) {
        fprintf(stderr, "weir %s: unexpected word %s\n", command->name,
                args->operands[command->max_operands]);
        return false;
    }
    return true;
}

enum weir_args_result weir_args_parse(const struct weir_command *command, int argc, char **argv,
                                      struct weir_args *ret_args)
{
    *ret_args = (struct weir_args){.command = command, .operands = argv + 1};
    struct parse p = {.command = command, .args = ret_args, .argc = argc, .argv = argv};
    bool options = true;
    for (p.at = 1; p.at < argc; p.at++) {
        char *text = argv[p.at];
        if (options && strcmp(text, "--") == 0) {
            options = false;
        } else if (options && text[0] == '-' && text[1] != '\0') {
            enum weir_args_result r = parse_option(&p, text);
            if (r != WEIR_ARGS_RUN) {
                return r;
            }
        } else {
            ret_args->operands[ret_args->n_operands++] = text;
        }
    }
    if ((command->verbs && !take_verb(command, ret_args)) || !check_operands(command, ret_args)) {
        say_try_help(command);
        return WEIR_ARGS_WRONG;
    }
    return WEIR_ARGS_RUN;
}
