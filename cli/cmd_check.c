/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/known_models.h"
#include "core/config/config.h"
#include "core/config/model_path.h"
#include "core/plugin/search.h"

enum { MAX_JSON_BYTES = 1024 * 1024 };

static int verdict_of(const struct weir_findings *findings)
{
    if (weir_findings_malformed(findings)) {
        return WEIR_EXIT_CONFIG;
    }
    return weir_findings_empty(findings) ? WEIR_EXIT_OK : WEIR_EXIT_BAD;
}

static void add_finding(struct weir_buf *b, const struct weir_findings *all,
                        const struct weir_finding *it)
{
    weir_buf_add_text(b, "{\"file\":");
    weir_buf_add_json_str(b, weir_str_from(all->file));
    weir_buf_printf(b, ",\"line\":%u,\"column\":%u,\"path\":", it->place.line, it->place.column);
    weir_buf_add_json_str(b, weir_str_from(it->path));
    weir_buf_add_text(b, ",\"rule\":");
    if (it->rule) {
        weir_buf_add_json_str(b, weir_str_from(it->rule));
    } else {
        weir_buf_add_text(b, "null");
    }
    weir_buf_add_text(b, ",\"message\":");
    weir_buf_add_json_str(b, weir_str_from(it->text));
    weir_buf_add_char(b, '}');
}

static void note_plugins(const struct weir_config *config, struct weir_findings *notes)
{
    struct weir_plugin_search search;
    if (weir_plugin_search_init(&search, config->plugin_dirs.items, config->plugin_dirs.n) < 0) {
        return;
    }
    for (size_t i = 0; i < config->n_plugins; i++) {
        char *path = NULL;
        struct weir_error err = {0};
        if (weir_plugin_search_find(&search, config->plugins[i].name, &path, &err) < 0) {
            weir_doc_complain(notes, config->plugins[i].name_node, NULL, "%s", err.message);
        }
        free(path);
    }
    weir_plugin_search_finish(&search);
}

static void note_model_file(const struct weir_config *config, const struct weir_config_target *t,
                            struct weir_findings *notes)
{
    char path[WEIR_MODEL_PATH_BYTES], hint[WEIR_MODEL_HINT_BYTES];
    struct weir_error err = {0};
    const char *file = t->is_engine ? t->engine.file : NULL;
    if (file && weir_model_path(config->models_dir, file, path, &err) == 0 &&
        access(path, F_OK) < 0) {
        weir_doc_complain(notes, weir_doc_find(t->node, "engine.file"), NULL, "%s is not there: %s",
                          path, weir_known_model_hint(file, hint));
    }
}

/* What would keep this weir on this machine from serving a file that is good. Not the verdict: a
 * file is often checked elsewhere than where it is served. */
static void take_notes(const struct weir_config *config, struct weir_findings *notes)
{
    note_plugins(config, notes);
    for (size_t i = 0; i < config->n_models; i++) {
        for (size_t k = 0; k < config->models[i].n_targets; k++) {
            note_model_file(config, &config->models[i].targets[k], notes);
        }
    }
    weir_findings_sort(notes);
}

static void add_findings(struct weir_buf *b, const struct weir_findings *findings)
{
    for (size_t i = 0; i < findings->n; i++) {
        weir_buf_add_text(b, i ? "," : "");
        add_finding(b, findings, &findings->items[i]);
    }
}

static int print_json(const struct weir_findings *findings, const struct weir_findings *notes)
{
    static const char *const names[] = {"ok", "against the rules", "malformed"};
    int verdict = verdict_of(findings);
    struct weir_buf b;
    weir_buf_init(&b, MAX_JSON_BYTES);
    weir_buf_printf(&b, "{\"verdict\":\"%s\",\"n_left_out\":%zu,\"findings\":[",
                    names[verdict == WEIR_EXIT_CONFIG ? 2 : verdict], findings->n_left_out);
    add_findings(&b, findings);
    weir_buf_add_text(&b, "],\"notes\":[");
    add_findings(&b, notes);
    weir_buf_add_text(&b, "]}\n");
    int r = b.failed ? -1 : 0;
    if (r == 0) {
        fputs(b.data, stdout);
    }
    weir_buf_finish(&b);
    return r;
}

static void print_text(const struct weir_findings *findings, const struct weir_config *config)
{
    weir_findings_print(findings, stderr);
    if (config && weir_findings_empty(findings)) {
        printf("%s: good: %zu %s, %zu %s, %zu %s\n", findings->file, config->n_models,
               config->n_models == 1 ? "model" : "models", config->n_plugins,
               config->n_plugins == 1 ? "plugin" : "plugins", config->n_tenants,
               config->n_tenants == 1 ? "tenant" : "tenants");
    } else if (!weir_findings_malformed(findings)) {
        fprintf(stderr, "%s: can be served, but breaks the rules above; see docs/rules.md\n",
                findings->file);
    }
}

static void print_notes(const struct weir_findings *notes)
{
    if (!weir_findings_empty(notes)) {
        printf("but `weir serve` would not get far with it here:\n");
        weir_findings_print(notes, stdout);
    }
}

static int run(const struct weir_args *args)
{
    const char *file = weir_args_value(args, "config");
    if (!file && args->n_operands == 1) {
        file = args->operands[0];
    }
    if (!file) {
        fputs("weir check: name the file to check: weir check -c FILE\n", stderr);
        return WEIR_EXIT_USAGE;
    }
    struct weir_findings findings, notes;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, file);
    weir_findings_init(&notes, file);
    int r = weir_config_load(&findings, true, &config);
    if (config) {
        take_notes(config, &notes);
    }
    int code = verdict_of(&findings);
    if (r < 0 && weir_findings_empty(&findings)) {
        fprintf(stderr, "weir check: %s\n", weir_error_name(r));
        code = WEIR_EXIT_BAD;
    } else if (!weir_args_has(args, "json")) {
        print_text(&findings, config);
        print_notes(&notes);
    } else if (print_json(&findings, &notes) < 0) {
        fputs("weir check: out of memory\n", stderr);
        code = WEIR_EXIT_BAD;
    }
    weir_config_unref(config);
    weir_findings_finish(&findings);
    weir_findings_finish(&notes);
    return code;
}

static const struct weir_option options[] = {
    {"config", 'c', "FILE", "the configuration to check"},
    {"json", 0, NULL, "print the findings as JSON on standard output"},
    {0},
};

extern const struct weir_command weir_cmd_check;
const struct weir_command weir_cmd_check = {
    .name = "check",
    .summary = "Check a configuration and judge it by the enterprise rules",
    .operands = "[FILE]",
    .max_operands = 1,
    .options = options,
    .details =
        "Prints FILE:LINE:COLUMN: key.path: what is wrong, what is allowed.\n"
        "Exits 0 when all is good, 1 when it can be served but breaks a rule of a block that\n"
        "is present, 78 when it cannot be served. What this machine lacks for serving it (a model\n"
        "file, a plugin) and what this version cannot do is noted and does not change the exit\n"
        "status.\n",
    .examples = "  weir check -c config/quickstart.yaml\n"
                "  weir check -c /etc/weir/weir.yaml --json\n",
    .run = run,
};
