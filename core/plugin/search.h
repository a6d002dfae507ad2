/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where plugins are looked for: the configured directories first, then those of the build tree or
 * of the installation, whichever the running program is from.
 *
 * Build tree: DIR/plugins/NAME, DIR/backends/NAME and DIR/sdk/examples beside the executable.
 * Installed: <prefix>/<libdir>/weir/plugins.
 * Ownership: the list owns its strings. Threads: any, once built. */
#include "base/error.h"

enum { WEIR_PLUGIN_MAX_DIRS = 64, WEIR_PLUGIN_MAX_FOUND = 256 };

struct weir_plugin_search {
    char *dirs[WEIR_PLUGIN_MAX_DIRS]; /* in the order of looking; missing ones are left out */
    size_t n_dirs;
};

/* `configured` [n_configured] come first; relative ones are taken from the working directory. */
int weir_plugin_search_init(struct weir_plugin_search *s, const char *const *configured,
                            size_t n_configured);
void weir_plugin_search_finish(struct weir_plugin_search *s);

/* A name with a '/' or ending in ".so" is a path and taken as it is; another is NAME.so in the
 * first directory that has it. *ret_path: free(). WEIR_E_NOTFOUND says where was looked. */
int weir_plugin_search_find(const struct weir_plugin_search *s, const char *name, char **ret_path,
                            struct weir_error *err);
/* Calls each(arg, path) for every .so, directories in order, names sorted, a name that an earlier
 * directory has left out. At most WEIR_PLUGIN_MAX_FOUND. */
int weir_plugin_search_each(const struct weir_plugin_search *s,
                            void (*each)(void *arg, const char *path), void *arg);
