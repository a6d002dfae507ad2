/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lua_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yyjson.h>

#include "cli/command.h"
#include "cli/lua_test_api.h"

enum { PATH_BYTES = 1024 };

struct tally {
    yyjson_mut_doc *json; /* NULL: print lines */
    uint32_t n_files, n_tests, n_failed;
    bool broken; /* a file could not be read or loaded */
};

static const struct lua_limits test_limits = {
    .instructions = 100 * 1000 * 1000,
    .cpu_us = 30 * 1000 * 1000,
    .live_bytes = 32 * 1024 * 1024,
    .allocated_bytes = 1024 * 1024 * 1024,
};

static void report(struct tally *t, const char *path, const char *name, const char *error)
{
    t->n_tests++;
    t->n_failed += error != NULL;
    if (!t->json) {
        printf("  %s  %s\n", error ? "FAIL" : "ok  ", name);
        if (error) {
            printf("        %s\n", error);
        }
        return;
    }
    yyjson_mut_doc *d = t->json;
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, yyjson_mut_doc_get_root(d));
    (void)yyjson_mut_obj_add_strcpy(d, o, "file", path);
    (void)yyjson_mut_obj_add_strcpy(d, o, "test", name);
    (void)yyjson_mut_obj_add_bool(d, o, "ok", !error);
    if (error) {
        (void)yyjson_mut_obj_add_strcpy(d, o, "error", error);
    }
}

static void run_tests(struct tally *t, struct lua_sandbox *tests, struct lua_test_file *file,
                      weir_str policy, const char *policy_path, const char *test_path)
{
    char error[LUA_SANDBOX_ERROR_BYTES], name[PATH_BYTES + 1];
    (void)snprintf(name, sizeof(name), "@%s", policy_path);
    for (file->running = 0; file->running < file->n; file->running++) {
        struct lua_stage stage; /* a fresh one each: no test sees what another did */
        int rc = lua_stage_init(&stage, policy, name, error);
        if (rc == 0) {
            file->stage = &stage;
            rc = lua_sandbox_protect(tests, lua_test_api_run, file, error);
        }
        lua_stage_finish(&stage);
        report(t, test_path, file->names[file->running], rc < 0 ? error : NULL);
    }
}

/* A policy and its tests. */
static void test_pair(struct tally *t, const char *policy_path, const char *test_path)
{
    char error[LUA_SANDBOX_ERROR_BYTES], name[PATH_BYTES + 1];
    size_t n_policy = 0, n_tests = 0;
    char *policy = lua_stage_read_file(policy_path, &n_policy);
    char *text = policy ? lua_stage_read_file(test_path, &n_tests) : NULL;
    struct lua_test_file *file = text ? calloc(1, sizeof(*file)) : NULL;
    struct lua_sandbox *tests = NULL;
    (void)snprintf(name, sizeof(name), "@%s", test_path);
    const struct lua_script_source source = {
        .text = {text, n_tests}, .name = name, .setup = lua_test_api_setup, .arg = file};
    t->n_files++;
    if (!file || lua_sandbox_create(&test_limits, &source, &tests, error) < 0) {
        if (file) {
            fprintf(stderr, "weir lua: %s\n", error);
        }
        t->broken = true;
    } else {
        if (!t->json) {
            printf("%s\n", test_path);
        }
        run_tests(t, tests, file, (weir_str){policy, n_policy}, policy_path, test_path);
    }
    lua_sandbox_destroy(tests);
    free(file);
    free(text);
    free(policy);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* NAME.lua or NAME_test.lua. False: neither. */
static bool test_file(struct tally *t, const char *path)
{
    char other[PATH_BYTES];
    bool is_test = ends_with(path, "_test.lua");
    if (strlen(path) + 8 >= sizeof(other) || !ends_with(path, ".lua")) {
        return false;
    }
    int stem = (int)(strlen(path) - strlen(is_test ? "_test.lua" : ".lua"));
    (void)snprintf(other, sizeof(other), "%.*s%s", stem, path, is_test ? ".lua" : "_test.lua");
    test_pair(t, is_test ? other : path, is_test ? path : other);
    return true;
}

static int is_test_name(const struct dirent *e)
{
    return ends_with(e->d_name, "_test.lua");
}

static void test_directory(struct tally *t, const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_test_name, alphasort);
    for (int i = 0; i < n; i++) {
        char path[PATH_BYTES];
        int len = snprintf(path, sizeof(path), "%s%s%s", dir, ends_with(dir, "/") ? "" : "/",
                           list[i]->d_name);
        if (len > 0 && (size_t)len < sizeof(path)) {
            (void)test_file(t, path);
        }
        free(list[i]);
    }
    free(list);
}

static void print_end(const struct tally *t)
{
    if (t->json) {
        char *text = yyjson_mut_write(t->json, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);
        puts(text ? text : "[]");
        free(text);
    } else if (t->n_files) {
        printf("%u tests, %u failed\n", t->n_tests, t->n_failed);
    }
}

int lua_test_paths(char **paths, int n, bool json)
{
    struct tally t = {.json = json ? yyjson_mut_doc_new(NULL) : NULL};
    if (t.json) {
        yyjson_mut_doc_set_root(t.json, yyjson_mut_arr(t.json));
    }
    for (int i = 0; i < n; i++) {
        struct stat st;
        if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            test_directory(&t, paths[i]);
        } else if (!test_file(&t, paths[i])) {
            fprintf(stderr, "weir lua: %s is neither NAME.lua nor a folder\n", paths[i]);
            t.broken = true;
        }
    }
    print_end(&t);
    yyjson_mut_doc_free(t.json);
    if (!t.broken && t.n_tests == 0) {
        fprintf(stderr, "weir lua: nothing to test: tests of NAME.lua are in NAME_test.lua\n");
    }
    return t.n_tests == 0 ? WEIR_EXIT_USAGE : t.broken || t.n_failed ? WEIR_EXIT_BAD : WEIR_EXIT_OK;
}
