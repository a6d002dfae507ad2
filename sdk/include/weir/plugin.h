/* SPDX-License-Identifier: Apache-2.0 */
/* The frozen core of the plugin ABI: what a plugin says of itself.
 *
 * A plugin is a shared object that exports one symbol, weir_plugin_entry_v1. The host reads the
 * descriptor that it returns, negotiates versions before any other code of the plugin runs, checks
 * the configuration against `config_schema`, and asks for extensions by string id:
 *   "weir.policy/1"          policy.h          rate limits, caches, billing, …
 *   "weir.backend.step/1"    backend_step.h    device code behind the batching interface
 *   "weir.backend.stream/1"  backend_stream.h  upstreams and engines that schedule themselves
 * Growth: fields are appended and covered by struct_size; an id's meaning never changes. Only
 * another major version or a missing `needs` id refuses a plugin, and the host says which.
 * Ownership: the descriptor and all that it points to are static and live as long as the object.
 * Threads: the entry and get_ext run on [main]. */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_ABI_MAJOR 1 /* also in the entry symbol's name */
#define WEIR_ABI_MINOR 0 /* grows when a field or an id is added */

enum {
    WEIR_PLUGIN_UNLOADABLE = 1u << 0 /* dlclose is safe when no instance is left */
};

typedef struct weir_plugin {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor; /* what the plugin was built with */
    uint16_t min_host_minor;       /* refuses an older host; 0: any */
    uint16_t flags;                /* WEIR_PLUGIN_* */
    const char *name;              /* [a-z][a-z0-9_-]*, unique among loaded plugins */
    const char *version, *license, *build_id, *description;
    const char *config_schema; /* JSON Schema text; NULL: takes no configuration */
    const char *const *needs;  /* host extension ids, NULL-ended; refused when one is missing */
    const char *const *wants;  /* optional host extension ids, NULL-ended */
    const char *const *after;  /* names that must stand before this one in `plugins:`, when there */
    const char *const *before; /* names that must stand behind it */
    const char *const *provides;            /* the ids that get_ext answers, NULL-ended */
    const void *(*get_ext)(const char *id); /* NULL for an unknown id */
} weir_plugin;

#if defined(__GNUC__)
#define WEIR_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_PLUGIN_EXPORT
#endif

#define WEIR_PLUGIN_ENTRY_SYMBOL "weir_plugin_entry_v1"
typedef const weir_plugin *(*weir_plugin_entry_fn)(void);

/* Fills the fields that only the compiler knows. */
#define WEIR_PLUGIN_HEAD                                                                           \
    .struct_size = sizeof(weir_plugin), .abi_major = WEIR_ABI_MAJOR, .abi_minor = WEIR_ABI_MINOR

WEIR_PLUGIN_EXPORT const weir_plugin *weir_plugin_entry_v1(void);

#ifdef __cplusplus
}
#endif
#endif
