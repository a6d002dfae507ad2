/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static void print_words(const struct weir_command *c)
{
    const char *between = "";
    for (const struct weir_verb *v = c->verbs; v && v->name; v++) {
        printf("%s%s", between, v->name);
        between = " ";
    }
    for (const struct weir_option *o = c->options; o && o->name; o++) {
        printf("%s--%s", between, o->name);
        between = " ";
    }
    printf("%s--help", between);
}

/* In single quotes; a quote inside is written '\'', which all three shells read alike. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'') {
            fputs("'\\''", stdout);
        } else {
            putchar(*p);
        }
    }
    putchar('\'');
}

static void print_names(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? " " : "", commands[i]->name);
    }
}

static void print_bash(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    fputs("# bash completion for weir: source <(weir completions bash)\n"
          "_weir() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} words\n"
          "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "    words='",
          stdout);
    print_names();
    fputs("'\n  else\n    case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; i < n; i++) {
        printf("      %s) words='", commands[i]->name);
        print_words(commands[i]);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n"
          "  fi\n"
          "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\n"
          "complete -o default -F _weir weir\n",
          stdout);
}

static void print_zsh(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    fputs("#compdef weir\n# zsh completion for weir: weir completions zsh > \"${fpath[1]}/_weir\"\n"
          "if (( CURRENT == 2 )); then\n"
          "  local -a names=(\n",
          stdout);
    for (size_t i = 0; i < n; i++) {
        printf("    %s:", commands[i]->name);
        print_quoted(commands[i]->summary);
        putchar('\n');
    }
    fputs("  )\n  _describe command names\n  return\nfi\ncase ${words[2]} in\n", stdout);
    for (size_t i = 0; i < n; i++) {
        printf("  %s) compadd -- ", commands[i]->name);
        print_words(commands[i]);
        fputs(" ;;\n", stdout);
    }
    fputs("esac\n_files\n", stdout);
}

static void print_fish(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    fputs("# fish completion for weir: weir completions fish > "
          "~/.config/fish/completions/weir.fish\n",
          stdout);
    for (size_t i = 0; i < n; i++) {
        const struct weir_command *c = commands[i];
        printf("complete -c weir -n __fish_use_subcommand -a %s -d ", c->name);
        print_quoted(c->summary);
        putchar('\n');
        for (const struct weir_verb *v = c->verbs; v && v->name; v++) {
            printf("complete -c weir -n '__fish_seen_subcommand_from %s' -a %s -d ", c->name,
                   v->name);
            print_quoted(v->summary);
            putchar('\n');
        }
        for (const struct weir_option *o = c->options; o && o->name; o++) {
            printf("complete -c weir -n '__fish_seen_subcommand_from %s' -l %s%s -d ", c->name,
                   o->name, o->argument ? " -r" : "");
            print_quoted(o->help);
            putchar('\n');
        }
    }
}

static int run(const struct weir_args *args)
{
    if (strcmp(args->verb->name, "bash") == 0) {
        print_bash();
    } else if (strcmp(args->verb->name, "zsh") == 0) {
        print_zsh();
    } else {
        print_fish();
    }
    return WEIR_EXIT_OK;
}

static const struct weir_verb verbs[] = {
    {"bash", "", "for bash: source <(weir completions bash)"},
    {"fish", "", "for fish: a file of ~/.config/fish/completions"},
    {"zsh", "", "for zsh: a file _weir in $fpath"},
    {0},
};

extern const struct weir_command weir_cmd_completions;
const struct weir_command weir_cmd_completions = {
    .name = "completions",
    .summary = "Print a completion script for a shell",
    .operands = "",
    .verbs = verbs,
    .examples = "  source <(weir completions bash)\n"
                "  weir completions fish > ~/.config/fish/completions/weir.fish\n",
    .run = run,
};
