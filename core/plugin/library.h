/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One loaded shared object and what it says of itself, after negotiation.
 *
 * Why: the code that is loaded is a private copy of the file, so that replacing the file and
 * reloading really runs the new code, and so that writing over the file cannot crash the daemon.
 * Negotiation is the host's job and comes before any code of the plugin but its entry function.
 * Ownership: reference-counted. With the last reference the object is closed only when the plugin
 * allows it (WEIR_PLUGIN_UNLOADABLE); otherwise its code stays mapped: timers and threads of its
 * own may still return into it.
 * Threads: open on [main]; ref and unref [any].
 * Errors: one sentence that names the step, what was needed and what the host has.
 * Invariant: `about` and `policy` are copies in this build's layout; fields that an older plugin
 * does not have are zero. */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "weir/plugin.h"
#include "weir/policy.h"

struct weir_plugin_library {
    atomic_uint refs;
    char *path;      /* as found */
    char sha256[65]; /* of the file, hex */
    void *handle;    /* of dlopen */
    int fd;          /* the private copy; its number is part of dlopen's name, so it stays open */
    bool unloadable;
    weir_plugin about; /* the strings are the plugin's own */
    bool is_policy;    /* provides weir.policy/1 */
    weir_policy policy;
};

/* What a plugin may ask for. */
struct weir_plugin_offer {
    uint16_t abi_minor;         /* of the host */
    const char *const *ext_ids; /* host extensions, NULL-ended */
};

/* Called for each step of loading, in order; the last call has ok false when loading failed. For
 * `weir plugin why`. */
struct weir_plugin_tracer {
    void (*step)(void *arg, const char *step, bool ok, const char *detail);
    void *arg;
};

/* `tracer` may be NULL. */
int weir_plugin_library_open(const char *path, const struct weir_plugin_offer *offer,
                             const struct weir_plugin_tracer *tracer,
                             struct weir_plugin_library **ret_library, struct weir_error *err);
struct weir_plugin_library *weir_plugin_library_ref(struct weir_plugin_library *lib);
void weir_plugin_library_unref(struct weir_plugin_library *lib); /* NULL ok */

/* Copies another build's policy: what it lacks becomes zero, what it has more is left out. */
void weir_plugin_policy_read(weir_policy *to, const weir_policy *from);

/* The extension struct as the plugin made it (check with WEIR_HAS), or NULL. */
const void *weir_plugin_library_ext(const struct weir_plugin_library *lib, const char *id);
