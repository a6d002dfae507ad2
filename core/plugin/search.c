/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/search.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int add_dir(struct weir_plugin_search *s, const char *path)
{
    if (s->n_dirs == WEIR_PLUGIN_MAX_DIRS || !is_dir(path)) {
        return 0;
    }
    for (size_t i = 0; i < s->n_dirs; i++) {
        if (strcmp(s->dirs[i], path) == 0) {
            return 0;
        }
    }
    char *copy = strdup(path);
    if (!copy) {
        return WEIR_E_NOMEM;
    }
    s->dirs[s->n_dirs++] = copy;
    return 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a directory, sorted; [*ret_n] with free() for each and the array. */
static char **list_names(const char *path, size_t *ret_n)
{
    char **names = calloc(WEIR_PLUGIN_MAX_FOUND, sizeof(char *));
    *ret_n = 0;
    if (!names) {
        return NULL;
    }
    DIR *dir = opendir(path);
    size_t n = 0;
    const struct dirent *e;
    while (dir && n < WEIR_PLUGIN_MAX_FOUND && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.' && (names[n] = strdup(e->d_name)) != NULL) {
            n++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (n > 1) {
        qsort(names, n, sizeof(char *), compare_text);
    }
    *ret_n = n;
    return names;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(names[i]);
    }
    free(names);
}

/* Every folder of base/sub: plugins/auth, plugins/lua, … */
static int add_subdirs(struct weir_plugin_search *s, const char *base, const char *sub)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", base, sub) >= (int)sizeof(path)) {
        return 0;
    }
    size_t n;
    char **names = list_names(path, &n);
    if (!names) {
        return WEIR_E_NOMEM;
    }
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        char child[PATH_MAX];
        if (snprintf(child, sizeof(child), "%s/%s", path, names[i]) < (int)sizeof(child)) {
            rc = add_dir(s, child);
        }
    }
    free_names(names, n);
    return rc;
}

static bool executable_dir(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash) {
        *slash = '\0';
    }
    return slash != NULL;
}

/* build/weir and build/tests/unit/x/test_y both find build/: the folder with meson-info. */
static bool build_root(char dir[PATH_MAX])
{
    for (int up = 0; up < 5; up++) {
        char probe[PATH_MAX + 16];
        (void)snprintf(probe, sizeof(probe), "%s/meson-info", dir);
        if (is_dir(probe)) {
            return true;
        }
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir) {
            return false;
        }
        *slash = '\0';
    }
    return false;
}

static int add_build_dirs(struct weir_plugin_search *s, const char *root)
{
    char path[PATH_MAX];
    int rc = add_subdirs(s, root, "plugins");
    if (rc == 0) {
        rc = add_subdirs(s, root, "backends");
    }
    if (rc == 0 && snprintf(path, sizeof(path), "%s/sdk/plugins", root) < PATH_MAX) {
        rc = add_dir(s, path); /* plugindir of the build tree's weir-sdk.pc */
    }
    if (rc == 0 && snprintf(path, sizeof(path), "%s/sdk/examples", root) < PATH_MAX) {
        rc = add_dir(s, path);
    }
    return rc;
}

int weir_plugin_search_init(struct weir_plugin_search *s, const char *const *configured,
                            size_t n_configured)
{
    *s = (struct weir_plugin_search){0};
    int rc = 0;
    for (size_t i = 0; i < n_configured && rc == 0; i++) {
        rc = add_dir(s, configured[i]);
    }
    char dir[PATH_MAX];
    if (rc == 0 && executable_dir(dir) && build_root(dir)) {
        rc = add_build_dirs(s, dir);
    } else if (rc == 0) {
        rc = add_dir(s, WEIR_PLUGIN_INSTALL_DIR);
    }
    if (rc < 0) {
        weir_plugin_search_finish(s);
    }
    return rc;
}

void weir_plugin_search_finish(struct weir_plugin_search *s)
{
    for (size_t i = 0; i < s->n_dirs; i++) {
        free(s->dirs[i]);
    }
    *s = (struct weir_plugin_search){0};
}

static bool is_path(const char *name)
{
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 3 && strcmp(name + n - 3, ".so") == 0);
}

static int not_found(const struct weir_plugin_search *s, const char *name, struct weir_error *err)
{
    char dirs[300] = "";
    size_t at = 0;
    for (size_t i = 0; i < s->n_dirs && at < sizeof(dirs); i++) {
        int n = snprintf(dirs + at, sizeof(dirs) - at, "%s%s", i ? ", " : "", s->dirs[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return weir_error_set(err, WEIR_E_NOTFOUND, "no plugin named \"%s\"; looked for %s.so in %s",
                          name, name, s->n_dirs ? dirs : "no directory (none exists)");
}

int weir_plugin_search_find(const struct weir_plugin_search *s, const char *name, char **ret_path,
                            struct weir_error *err)
{
    char path[PATH_MAX];
    char *found = NULL;
    if (is_path(name)) {
        found = strdup(name);
    } else {
        for (size_t i = 0; i < s->n_dirs; i++) {
            int n = snprintf(path, sizeof(path), "%s/%s.so", s->dirs[i], name);
            if (n > 0 && n < (int)sizeof(path) && is_file(path)) {
                found = strdup(path);
                break;
            }
        }
        if (!found) {
            return not_found(s, name, err);
        }
    }
    if (!found) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    *ret_path = found;
    return 0;
}

static bool in_earlier_dir(const struct weir_plugin_search *s, size_t dir, const char *name)
{
    for (size_t i = 0; i < dir; i++) {
        char path[PATH_MAX];
        int n = snprintf(path, sizeof(path), "%s/%s", s->dirs[i], name);
        if (n > 0 && n < (int)sizeof(path) && is_file(path)) {
            return true;
        }
    }
    return false;
}

int weir_plugin_search_each(const struct weir_plugin_search *s,
                            void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < s->n_dirs; i++) {
        size_t n;
        char **names = list_names(s->dirs[i], &n);
        if (!names) {
            return WEIR_E_NOMEM;
        }
        for (size_t j = 0; j < n; j++) {
            size_t len = strlen(names[j]);
            char path[PATH_MAX];
            if (len > 3 && strcmp(names[j] + len - 3, ".so") == 0 &&
                snprintf(path, sizeof(path), "%s/%s", s->dirs[i], names[j]) < PATH_MAX &&
                is_file(path) && !in_earlier_dir(s, i, names[j])) {
                each(arg, path);
            }
        }
        free_names(names, n);
    }
    return 0;
}
