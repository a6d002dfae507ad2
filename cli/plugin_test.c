/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin_test.h"

#include <stdio.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/plugin_describe.h"

struct totals {
    int passed, failed, skipped;
};

static void print_text(const struct weir_kit_check *check, const struct weir_kit_result *r)
{
    static const char *const words[] = {"ok", "FAILED", "skipped"};
    printf("%-8s %-13s %s\n", words[r->verdict], check->name, check->what);
    for (size_t i = 0; i < r->n; i++) {
        printf("         %s\n", r->text[i]);
    }
}

static void print_json(const struct weir_kit_check *check, const struct weir_kit_result *r,
                       bool first)
{
    static const char *const words[] = {"passed", "failed", "skipped"};
    struct weir_buf out;
    weir_buf_init(&out, 64 * 1024);
    weir_buf_printf(&out, "%s{\"check\":\"%s\",\"verdict\":\"%s\",\"findings\":[", first ? "" : ",",
                    check->name, words[r->verdict]);
    for (size_t i = 0; i < r->n; i++) {
        weir_buf_add_text(&out, i ? "," : "");
        weir_buf_add_json_str(&out, weir_str_from(r->text[i]));
    }
    weir_buf_add_text(&out, "]}");
    printf("%s", out.data ? out.data : "");
    weir_buf_finish(&out);
}

static int run_checks(const struct weir_kit_check *checks, const struct weir_kit_target *target,
                      bool json, struct totals *t)
{
    for (; checks && checks->name; checks++) {
        struct weir_kit_result result;
        if (weir_kit_run(checks, target, &result) < 0) {
            fprintf(stderr, "weir plugin: cannot start a process for check %s\n", checks->name);
            return -1;
        }
        if (json) {
            print_json(checks, &result, t->passed + t->failed + t->skipped == 0);
        } else {
            print_text(checks, &result);
        }
        t->passed += result.verdict == WEIR_KIT_PASSED;
        t->failed += result.verdict == WEIR_KIT_FAILED;
        t->skipped += result.verdict == WEIR_KIT_SKIPPED;
    }
    return 0;
}

int weir_plugin_test(const struct weir_kit_target *target, bool json)
{
    yyjson_doc *about = NULL;
    struct weir_error err = {0};
    if (weir_plugin_describe(target->path, &about, &err) < 0) {
        fprintf(stderr, "weir plugin: %s\n", err.message);
        return WEIR_EXIT_BAD;
    }
    yyjson_val *provides = yyjson_obj_get(yyjson_doc_get_root(about), "provides");
    struct totals t = {0};
    int rc = 0;
    size_t i, max;
    yyjson_val *id;
    if (json) {
        printf("{\"seed\":%llu,\"checks\":[", (unsigned long long)target->seed);
    }
    yyjson_arr_foreach(provides, i, max, id)
    {
        rc = rc < 0 ? rc : run_checks(weir_kit_checks(yyjson_get_str(id)), target, json, &t);
    }
    yyjson_doc_free(about);
    if (json) {
        printf("],\"passed\":%d,\"failed\":%d,\"skipped\":%d}\n", t.passed, t.failed, t.skipped);
    } else {
        printf("%d passed, %d failed, %d skipped (seed %llu)\n", t.passed, t.failed, t.skipped,
               (unsigned long long)target->seed);
    }
    return rc == 0 && t.failed == 0 ? WEIR_EXIT_OK : WEIR_EXIT_BAD;
}
