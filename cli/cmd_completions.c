/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/known_models.h"

/* What follows a command (verb "") or a verb. Everything else: files, as the shell completes them.
 */
enum completion { FILES, COMMANDS, KEY_VERBS, MODELS, PLUGINS };

static const struct {
    const char *command, *verb;
    enum completion what;
} completions[] = {
    {"chat", "", MODELS},         {"help", "", COMMANDS},      {"model", "get", MODELS},
    {"plugin", "info", PLUGINS},  {"plugin", "test", PLUGINS}, {"plugin", "why", PLUGINS},
    {"tenant", "key", KEY_VERBS},
};

static enum completion completion_of(const char *command, const char *verb)
{
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        if (strcmp(completions[i].command, command) == 0 &&
            strcmp(completions[i].verb, verb) == 0) {
            return completions[i].what;
        }
    }
    return FILES;
}

static void print_names(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? " " : "", commands[i]->name);
    }
}

static void print_verbs(const struct weir_command *c)
{
    for (const struct weir_verb *v = c->verbs; v && v->name; v++) {
        printf("%s%s", v == c->verbs ? "" : " ", v->name);
    }
}

static void print_option_names(const struct weir_command *c)
{
    for (const struct weir_option *o = c->options; o && o->name; o++) {
        printf("--%s ", o->name);
    }
    fputs("--help", stdout);
}

/* Words, or the call that prints them when the key is pressed. */
static void print_completion(enum completion what)
{
    if (what == COMMANDS) {
        print_names();
    } else if (what == KEY_VERBS) {
        fputs("create list rotate revoke", stdout);
    } else if (what == MODELS) {
        for (const struct weir_known_model *m = weir_known_models(); m->name; m++) {
            printf("%s%s", m == weir_known_models() ? "" : " ", m->name);
        }
    } else if (what == PLUGINS) {
        fputs("$(weir plugin list 2>/dev/null | cut -d\" \" -f1)", stdout);
    }
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

/* `case` branches "command" and "command verb", for bash and zsh; assigns offer and options. */
static void print_branches(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    for (size_t i = 0; i < n; i++) {
        const struct weir_command *c = commands[i];
        printf("    %s)\n      options='", c->name);
        print_option_names(c);
        fputs("'\n", stdout);
        if (!c->verbs) {
            fputs("      offer=\"", stdout);
            print_completion(completion_of(c->name, ""));
            fputs("\" ;;\n", stdout);
            continue;
        }
        fputs("      if [[ $at == 2 ]]; then offer='", stdout);
        print_verbs(c);
        fputs("'; fi\n      if [[ $at -gt 2 ]]; then case $verb in\n", stdout);
        for (const struct weir_verb *v = c->verbs; v->name; v++) {
            enum completion what = completion_of(c->name, v->name);
            if (what != FILES) {
                printf("        %s) offer=\"", v->name);
                print_completion(what);
                fputs("\" ;;\n", stdout);
            }
        }
        fputs("        *) ;;\n      esac; fi ;;\n", stdout);
    }
}

static void print_bash(void)
{
    fputs("# bash completion for weir: source <(weir completions bash)\n"
          "_weir() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD verb=${COMP_WORDS[2]:-} offer "
          "options=\n"
          "  offer='",
          stdout);
    print_names();
    fputs("'\n  if [[ $at -gt 1 ]]; then offer=; case ${COMP_WORDS[1]} in\n", stdout);
    print_branches();
    fputs("  esac; fi\n"
          "  if [[ $cur == -* ]]; then offer=$options; fi\n"
          "  COMPREPLY=($(compgen -W \"$offer\" -- \"$cur\"))\n"
          "}\n"
          "complete -o default -F _weir weir\n",
          stdout);
}

static void print_zsh(void)
{
    size_t n;
    const struct weir_command *const *commands = weir_commands(&n);
    fputs("#compdef weir\n# zsh completion for weir: weir completions zsh > \"${fpath[1]}/_weir\"\n"
          "local at=$(( CURRENT - 1 )) verb=${words[3]:-} command=${words[2]:-} options=\n"
          "if (( CURRENT == 2 )); then\n"
          "  local -a names=(\n",
          stdout);
    for (size_t i = 0; i < n; i++) {
        printf("    %s:", commands[i]->name);
        print_quoted(commands[i]->summary);
        putchar('\n');
    }
    fputs("  )\n  _describe command names\n  return\nfi\n"
          "() {\n"
          "  local offer=\n"
          "  case $command in\n",
          stdout);
    print_branches();
    fputs("  esac\n"
          "  if [[ $PREFIX == -* ]]; then offer=$options; fi\n"
          "  if [[ -n $offer ]]; then compadd -- ${=offer}; else _files; fi\n"
          "}\n",
          stdout);
}

static void print_fish_verb(const struct weir_command *c, const struct weir_verb *v)
{
    printf("complete -c weir -n '__fish_seen_subcommand_from %s; and not "
           "__fish_seen_subcommand_from ",
           c->name);
    print_verbs(c);
    printf("' -f -a %s -d ", v->name);
    print_quoted(v->summary);
    putchar('\n');
}

static void print_fish_words(const char *command, const char *verb)
{
    enum completion what = completion_of(command, verb);
    if (what == FILES) {
        return;
    }
    printf("complete -c weir -n '__fish_seen_subcommand_from %s", command);
    if (*verb) {
        printf("; and __fish_seen_subcommand_from %s", verb);
    }
    fputs(what == PLUGINS ? "' -a '(weir plugin list 2>/dev/null | cut -d\" \" -f1)'\n"
                          : "' -f -a '",
          stdout);
    if (what != PLUGINS) {
        print_completion(what);
        fputs("'\n", stdout);
    }
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
        printf("complete -c weir -n __fish_use_subcommand -f -a %s -d ", c->name);
        print_quoted(c->summary);
        putchar('\n');
        print_fish_words(c->name, "");
        for (const struct weir_verb *v = c->verbs; v && v->name; v++) {
            print_fish_verb(c, v);
            print_fish_words(c->name, v->name);
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
