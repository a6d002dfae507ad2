/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The files that `weir plugin new` writes; made from sdk/template/ at build time.
 * "@NAME@" stands for the plugin's name, NAME in file names too. Threads: any; constant. */
#include <stdbool.h>

struct weir_plugin_template {
    const char *kind; /* "policy", "backend"; NULL ends the table */
    const char *file;
    bool executable;
    const char *text;
};

extern const struct weir_plugin_template weir_plugin_templates[];
