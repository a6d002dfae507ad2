/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/plugin_describe.h"
#include "cli/plugin_new.h"
#include "cli/plugin_test.h"
#include "core/plugin/search.h"

static int complain(const struct weir_error *err)
{
    fprintf(stderr, "weir plugin: %s\n", err->message);
    return WEIR_EXIT_BAD;
}

static const char *text(yyjson_val *about, const char *key)
{
    const char *s = yyjson_get_str(yyjson_obj_get(about, key));
    return s ? s : "";
}

/* list */

struct listing {
    bool json;
    size_t n;
};

static void list_one(void *arg, const char *path)
{
    struct listing *l = arg;
    yyjson_doc *about = NULL;
    struct weir_error err = {0};
    if (weir_plugin_describe(path, &about, &err) < 0) {
        fprintf(stderr, "weir plugin: %s\n", err.message);
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(about);
    if (l->json) {
        char *line = yyjson_write(about, 0, NULL);
        printf("%s%s", l->n ? ",\n " : "[", line ? line : "null");
        free(line);
    } else {
        const char *id = yyjson_get_str(yyjson_arr_get_first(yyjson_obj_get(root, "provides")));
        printf("%-16s %-8s %-24s %s\n", text(root, "name"), text(root, "version"), id ? id : "",
               path);
    }
    l->n++;
    yyjson_doc_free(about);
}

static int list(const struct weir_plugin_search *search, bool json)
{
    struct listing l = {.json = json};
    int rc = weir_plugin_search_each(search, list_one, &l);
    if (json) {
        printf("%s]\n", l.n ? "" : "[");
    } else if (l.n == 0) {
        printf("no plugins found\n");
    }
    return rc < 0 ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}

/* info */

static void print_row(yyjson_val *about, const char *key)
{
    yyjson_val *v = yyjson_obj_get(about, key);
    if (!yyjson_is_arr(v)) {
        if (*text(about, key)) {
            printf("%-16s %s\n", key, text(about, key));
        }
        return;
    }
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(v, i, max, item)
    {
        if (i == 0) {
            printf("%-16s %s", key, yyjson_get_str(item));
        } else {
            printf(", %s", yyjson_get_str(item));
        }
    }
    if (max) {
        putchar('\n');
    }
}

/* The schema as people read it: a key a line, with its default and meaning. */
static void print_keys(const char *schema)
{
    yyjson_doc *doc = yyjson_read(schema, strlen(schema), 0);
    yyjson_val *properties = yyjson_obj_get(yyjson_doc_get_root(doc), "properties");
    const char *lead = "configuration";
    size_t i, max;
    yyjson_val *key, *rule;
    yyjson_obj_foreach(properties, i, max, key, rule)
    {
        yyjson_val *otherwise = yyjson_obj_get(rule, "default");
        char *value = otherwise ? yyjson_val_write(otherwise, 0, NULL) : NULL;
        printf("%-16s %s%s%s%s  %s\n", lead, yyjson_get_str(key), value ? " (" : "",
               value ? value : "", value ? ")" : "", text(rule, "description"));
        free(value);
        lead = "";
    }
    yyjson_doc_free(doc);
}

static int info(const char *path, bool json)
{
    static const char *const rows[] = {"name",  "version", "description", "license",  "build_id",
                                       "path",  "sha256",  "abi",         "provides", "hooks",
                                       "needs", "wants",   "after",       "before"};
    yyjson_doc *about = NULL;
    struct weir_error err = {0};
    if (weir_plugin_describe(path, &about, &err) < 0) {
        return complain(&err);
    }
    if (json) {
        char *all = yyjson_write(about, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
        puts(all ? all : "null");
        free(all);
    } else {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            print_row(yyjson_doc_get_root(about), rows[i]);
        }
        print_keys(text(yyjson_doc_get_root(about), "schema"));
    }
    yyjson_doc_free(about);
    return WEIR_EXIT_OK;
}

/* test */

static int test(const struct weir_args *args, const char *path)
{
    const char *config = weir_args_value(args, "config");
    const char *tenants = weir_args_value(args, "tenants");
    const char *model = weir_args_value(args, "model");
    const char *seed = weir_args_value(args, "seed");
    char *end = NULL;
    errno = 0;
    uint64_t number = seed ? strtoull(seed, &end, 10) : 1;
    if (seed && (errno || end == seed || *end)) {
        fprintf(stderr, "weir plugin: --seed %s is no number\n", seed);
        return WEIR_EXIT_USAGE;
    }
    const struct weir_kit_target target = {
        .path = path,
        .config = config ? config : "{}",
        .tenants_json = tenants ? tenants : "{}",
        .model = model ? model : "",
        .seed = number,
    };
    return weir_plugin_test(&target, weir_args_has(args, "json"));
}

static int run_on_file(const struct weir_args *args, const struct weir_plugin_search *search)
{
    const char *verb = args->verb->name;
    char *path = NULL;
    struct weir_error err = {0};
    if (weir_plugin_search_find(search, args->operands[0], &path, &err) < 0) {
        return complain(&err);
    }
    int code;
    if (strcmp(verb, "info") == 0) {
        code = info(path, weir_args_has(args, "json"));
    } else if (strcmp(verb, "why") == 0) {
        code = weir_plugin_why(path) < 0 ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
    } else {
        code = test(args, path);
    }
    free(path);
    return code;
}

static int run(const struct weir_args *args)
{
    const char *verb = args->verb->name;
    bool lists = strcmp(verb, "list") == 0;
    if (args->n_operands != (lists ? 0 : 1)) {
        fprintf(stderr, "weir plugin: usage: weir plugin %s %s\n", verb, args->verb->operands);
        return WEIR_EXIT_USAGE;
    }
    if (strcmp(verb, "new") == 0) {
        return weir_plugin_new(args->operands[0], weir_args_has(args, "backend"));
    }
    const char *dir = weir_args_value(args, "dir");
    struct weir_plugin_search search;
    if (weir_plugin_search_init(&search, &dir, dir ? 1 : 0) < 0) {
        fprintf(stderr, "weir plugin: out of memory\n");
        return WEIR_EXIT_BAD;
    }
    int code = lists ? list(&search, weir_args_has(args, "json")) : run_on_file(args, &search);
    weir_plugin_search_finish(&search);
    return code;
}

static const struct weir_verb verbs[] = {
    {"list", "", "show the plugins found"},
    {"info", "FILE", "show what a plugin says of itself"},
    {"why", "FILE", "show each step of loading it, and what is wrong"},
    {"new", "NAME", "write a folder with a plugin that builds and passes its test"},
    {"test", "FILE", "check it without a server"},
    {0},
};

static const struct weir_option options[] = {
    {"json", 0, NULL, "print JSON (list, info, test)"},
    {"dir", 0, "DIR", "look for plugins there first"},
    {"backend", 0, NULL, "new: a backend instead of a policy"},
    {"config", 0, "YAML", "test: the plugin's configuration, for example '{max_tokens: 10}'"},
    {"tenants", 0, "JSON", "test: the tenants block that it sees"},
    {"model", 0, "FILE", "test: the model file for a backend"},
    {"seed", 0, "N", "test: seed of everything random; a finding repeats with its seed"},
    {0},
};

extern const struct weir_command weir_cmd_plugin;
const struct weir_command weir_cmd_plugin = {
    .name = "plugin",
    .summary = "List, inspect, create and test plugins",
    .operands = "[NAME|FILE]",
    .min_operands = 0,
    .max_operands = 1,
    .verbs = verbs,
    .options = options,
    .details = "FILE is the path of a shared object, or the name of a plugin that list shows.\n"
               "test runs each check in a process of its own with a virtual clock: odd requests,\n"
               "late and foreign resumes, timeouts, clients that leave, newer and barer hosts,\n"
               "random configurations, output cut at random; for backends loading, batching and\n"
               "chunked prompts. It exits 1 when there are findings.\n",
    .examples = "  weir plugin list\n"
                "  weir plugin why ./mine.so\n"
                "  weir plugin new my-limit && cd my-limit && make && make test\n"
                "  weir plugin test --config '{word: secret}' chunk_redact\n",
    .run = run,
};
