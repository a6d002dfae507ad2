/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <string.h>

#include "core/config/nearest.h"

enum { COLUMN = 26 };

static void print_row(FILE *out, const char *left, const char *right)
{
    fprintf(out, "  %-*s %s\n", COLUMN, left, right);
}

void weir_help_print_all(FILE *out)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    fputs("weir serves language models: an OpenAI-compatible server and gateway.\n\n"
          "usage: weir COMMAND [OPTIONS] [WORDS]\n\ncommands:\n",
          out);
    for (size_t i = 0; i < n; i++) {
        print_row(out, commands[i]->name, commands[i]->summary);
    }
    fputs("\nexamples:\n"
          "  weir model get smollm2                 fetch a small model\n"
          "  weir serve -c config/quickstart.yaml   serve it\n"
          "  weir chat                              talk to it, in another terminal\n"
          "\n`weir help COMMAND` or `weir COMMAND --help` tells more.\n"
          "Exit codes: 0 good, 1 judged bad or failed, 2 wrong usage, 78 wrong configuration.\n",
          out);
}

static void print_usage(const struct weir_command *c, FILE *out)
{
    const char *options = c->options ? " [OPTIONS]" : "";
    if (!c->verbs) {
        fprintf(out, "usage: weir %s%s%s%s\n", c->name, options, *c->operands ? " " : "",
                c->operands);
        return;
    }
    const char *lead = "usage:";
    for (const struct weir_verb *v = c->verbs; v->name; v++) {
        fprintf(out, "%s weir %s %s%s%s%s\n", lead, c->name, v->name, options,
                *v->operands ? " " : "", v->operands);
        lead = "      ";
    }
}

static void print_options(const struct weir_command *c, FILE *out)
{
    fputs("\noptions:\n", out);
    for (const struct weir_option *o = c->options; o && o->name; o++) {
        char left[80];
        char letter[8] = "    ";
        if (o->letter) {
            (void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        }
        (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
                       o->argument ? o->argument : "");
        print_row(out, left, o->help);
    }
    print_row(out, "-h, --help", "print this and exit");
}

void weir_help_print(const struct weir_command *c, FILE *out)
{
    print_usage(c, out);
    fprintf(out, "\n%s.\n", c->summary);
    if (c->verbs) {
        fputc('\n', out);
    }
    for (const struct weir_verb *v = c->verbs; v && v->name; v++) {
        print_row(out, v->name, v->summary);
    }
    if (c->details) {
        fprintf(out, "\n%s", c->details);
    }
    print_options(c, out);
    fprintf(out, "\nexamples:\n%s", c->examples);
}

void weir_help_complain_command(const char *name)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    struct weir_nearest nearest;
    weir_nearest_init(&nearest, weir_str_from(name));
    for (size_t i = 0; i < n; i++) {
        weir_nearest_offer(&nearest, weir_str_from(commands[i]->name));
    }
    fprintf(stderr, "weir: unknown command %s", name);
    if (nearest.best.p) {
        fprintf(stderr, "; did you mean %s?", nearest.best.p);
    }
    fputs("\nTry `weir help`.\n", stderr);
}
