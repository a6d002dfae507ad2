/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One plugin's configuration: the keys that the host takes, and the plugin's own, by its schema.
 *
 * Every entry may have `enabled` (true) and `on_error` (closed: a failure answers 503; open: it
 * counts as "continue"). Both are checked with the plugin's schema and not shown to the plugin,
 * except for an on_error that the plugin's own schema declares.
 * Ownership: finish frees json. Threads: [main]. */
#include "core/plugin/plugins.h"

struct weir_plugin_config {
    bool enabled;
    bool fail_open;
    char *json; /* the plugin's own keys with defaults filled in; malloc'ed, NUL-ended */
    size_t json_len;
};

/* WEIR_E_FORMAT after adding to findings. */
int weir_plugin_config_read(const struct weir_plugin_library *lib,
                            const struct weir_plugin_spec *spec, struct weir_findings *findings,
                            struct weir_plugin_config *ret_config);
void weir_plugin_config_finish(struct weir_plugin_config *config);
