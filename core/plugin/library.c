/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/plugin/image.h"

enum { MAX_IDS = 64, MAX_NAME_BYTES = 48 };

static void trace(const struct weir_plugin_tracer *t, const char *step, int rc, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));

static void trace(const struct weir_plugin_tracer *t, const char *step, int rc, const char *fmt,
                  ...)
{
    if (!t) {
        return;
    }
    char detail[500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    t->step(t->arg, step, rc >= 0, detail);
}

/* A copy of another build's struct: what the plugin lacks is zero, what it has more is left out. */
static void copy_tolerant(void *to, size_t to_size, const void *from)
{
    uint32_t size;
    memcpy(&size, from, sizeof(size)); /* struct_size is the first field of every struct */
    memset(to, 0, to_size);
    memcpy(to, from, size < to_size ? size : to_size);
}

void weir_plugin_policy_read(weir_policy *to, const weir_policy *from)
{
    copy_tolerant(to, sizeof(*to), from);
}

static int load_object(struct weir_plugin_library *lib, struct weir_error *err)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", lib->fd);
    lib->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle) {
        const char *why = dlerror();
        return weir_error_set(err, WEIR_E_FORMAT, "%s: the dynamic linker refused: %s", lib->path,
                              why ? why : "no reason given");
    }
    return 0;
}

static int call_entry(struct weir_plugin_library *lib, const weir_plugin **ret_about,
                      struct weir_error *err)
{
    weir_plugin_entry_fn entry;
    *(void **)&entry = dlsym(lib->handle, WEIR_PLUGIN_ENTRY_SYMBOL);
    if (!entry) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "%s does not export %s; declare it with WEIR_PLUGIN_EXPORT",
                              lib->path, WEIR_PLUGIN_ENTRY_SYMBOL);
    }
    const weir_plugin *about = entry();
    if (!about) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s: %s returned NULL", lib->path,
                              WEIR_PLUGIN_ENTRY_SYMBOL);
    }
    *ret_about = about;
    return 0;
}

static bool is_plugin_name(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    return n > 0 && n <= MAX_NAME_BYTES && s[0] >= 'a' && s[0] <= 'z' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static int check_descriptor(struct weir_plugin_library *lib, const weir_plugin *about,
                            struct weir_error *err)
{
    const size_t least = offsetof(weir_plugin, get_ext) + sizeof(about->get_ext);
    if (about->struct_size < least) {
        return weir_error_set(
            err, WEIR_E_FORMAT,
            "%s: its descriptor has %u bytes, ABI 1.0's has %zu; fill struct_size "
            "with WEIR_PLUGIN_HEAD",
            lib->path, about->struct_size, least);
    }
    if (about->abi_major != WEIR_ABI_MAJOR) {
        return weir_error_set(
            err, WEIR_E_UNSUPPORTED,
            "%s was built for plugin ABI %u.%u, this host has %d.%d: another major "
            "version cannot be loaded; build it with this host's SDK",
            lib->path, about->abi_major, about->abi_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    }
    copy_tolerant(&lib->about, sizeof(lib->about), about);
    if (!is_plugin_name(lib->about.name)) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "%s: its name \"%s\" must be [a-z][a-z0-9_-]* of at most %d bytes",
                              lib->path, lib->about.name ? lib->about.name : "", MAX_NAME_BYTES);
    }
    if (!lib->about.get_ext || !lib->about.provides || !lib->about.provides[0]) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "%s: it provides no interface (get_ext, provides)", lib->path);
    }
    return 0;
}

static bool offers(const struct weir_plugin_offer *offer, const char *id)
{
    for (size_t i = 0; offer->ext_ids[i]; i++) {
        if (strcmp(offer->ext_ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static void join_ids(const char *const *ids, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; ids[i] && at < cap; i++) {
        int n = snprintf(out + at, cap - at, "%s%s", i ? ", " : "", ids[i]);
        at += n > 0 ? (size_t)n : 0;
    }
}

static int negotiate(const struct weir_plugin_library *lib, const struct weir_plugin_offer *offer,
                     struct weir_error *err)
{
    if (lib->about.min_host_minor > offer->abi_minor) {
        return weir_error_set(err, WEIR_E_UNSUPPORTED,
                              "plugin %s needs a host with plugin ABI %d.%u or later, this one has "
                              "%d.%u; upgrade weir",
                              lib->about.name, WEIR_ABI_MAJOR, lib->about.min_host_minor,
                              WEIR_ABI_MAJOR, offer->abi_minor);
    }
    const char *const *needs = lib->about.needs;
    for (size_t i = 0; needs && i < MAX_IDS && needs[i]; i++) {
        if (!offers(offer, needs[i])) {
            char have[256];
            join_ids(offer->ext_ids, have, sizeof(have));
            return weir_error_set(
                err, WEIR_E_UNSUPPORTED,
                "plugin %s needs \"%s\", which this host does not have; it has %s", lib->about.name,
                needs[i], have);
        }
    }
    return 0;
}

static int fetch_interfaces(struct weir_plugin_library *lib, struct weir_error *err)
{
    for (size_t i = 0; i < MAX_IDS && lib->about.provides[i]; i++) {
        const char *id = lib->about.provides[i];
        const void *ext = lib->about.get_ext(id);
        if (!ext) {
            return weir_error_set(err, WEIR_E_FORMAT,
                                  "plugin %s says it provides \"%s\", but get_ext gave NULL",
                                  lib->about.name, id);
        }
        if (strcmp(id, WEIR_EXT_POLICY) == 0) {
            weir_plugin_policy_read(&lib->policy, ext);
            lib->is_policy = true;
        }
    }
    if (lib->is_policy && lib->policy.req_state_size > 4096) {
        return weir_error_set(
            err, WEIR_E_TOOBIG,
            "plugin %s wants %u bytes of state per request, at most 4096 are given",
            lib->about.name, lib->policy.req_state_size);
    }
    return 0;
}

static int load(struct weir_plugin_library *lib, const struct weir_plugin_offer *offer,
                const struct weir_plugin_tracer *tracer, struct weir_error *err)
{
    struct weir_plugin_image image = {.fd = -1};
    int rc = weir_plugin_image_read(lib->path, &image, err);
    trace(tracer, "read the file", rc, "%s", rc < 0 ? err->message : lib->path);
    if (rc < 0) {
        return rc;
    }
    lib->fd = image.fd;
    memcpy(lib->sha256, image.sha256, sizeof(lib->sha256));
    trace(tracer, "hash it", 0, "sha256 %s", lib->sha256);

    rc = load_object(lib, err);
    trace(tracer, "load it and resolve its symbols", rc, "%s", rc < 0 ? err->message : "dlopen");
    if (rc < 0) {
        return rc;
    }
    const weir_plugin *about = NULL;
    rc = call_entry(lib, &about, err);
    trace(tracer, "call its entry", rc, "%s", rc < 0 ? err->message : WEIR_PLUGIN_ENTRY_SYMBOL);
    if (rc < 0) {
        return rc;
    }
    rc = check_descriptor(lib, about, err);
    trace(tracer, "read its descriptor", rc, rc < 0 ? "%s" : "%s %s, built for ABI %u.%u",
          rc < 0 ? err->message : lib->about.name, lib->about.version ? lib->about.version : "",
          lib->about.abi_major, lib->about.abi_minor);
    if (rc < 0) {
        return rc;
    }
    rc = negotiate(lib, offer, err);
    trace(tracer, "negotiate versions and needs", rc, "%s",
          rc < 0 ? err->message : "the host has all that it needs");
    if (rc < 0) {
        return rc;
    }
    rc = fetch_interfaces(lib, err);
    char ids[256];
    join_ids(lib->about.provides, ids, sizeof(ids));
    trace(tracer, "ask for its interfaces", rc, "%s", rc < 0 ? err->message : ids);
    return rc;
}

static void destroy(struct weir_plugin_library *lib)
{
    bool close_it = !lib->handle || lib->unloadable;
    if (close_it && lib->handle) {
        (void)dlclose(lib->handle);
    }
    if (close_it && lib->fd >= 0) {
        close(lib->fd);
    }
    free(lib->path);
    free(lib);
}

int weir_plugin_library_open(const char *path, const struct weir_plugin_offer *offer,
                             const struct weir_plugin_tracer *tracer,
                             struct weir_plugin_library **ret_library, struct weir_error *err)
{
    struct weir_error own = {0};
    err = err ? err : &own;
    struct weir_plugin_library *lib = calloc(1, sizeof(*lib));
    if (!lib) {
        return weir_error_set(err, WEIR_E_NOMEM, "%s: out of memory", path);
    }
    atomic_init(&lib->refs, 1);
    lib->fd = -1;
    lib->path = strdup(path);
    int rc = lib->path ? load(lib, offer, tracer, err)
                       : weir_error_set(err, WEIR_E_NOMEM, "%s: out of memory", path);
    if (rc < 0) {
        /* Its constructors ran, maybe started threads: without its word it stays mapped. */
        destroy(lib);
        return rc;
    }
    lib->unloadable = (lib->about.flags & WEIR_PLUGIN_UNLOADABLE) != 0;
    *ret_library = lib;
    return 0;
}

struct weir_plugin_library *weir_plugin_library_ref(struct weir_plugin_library *lib)
{
    atomic_fetch_add_explicit(&lib->refs, 1, memory_order_relaxed);
    return lib;
}

void weir_plugin_library_unref(struct weir_plugin_library *lib)
{
    /* Release: our uses come before; acquire in the last one: everybody's uses come before. */
    if (lib && atomic_fetch_sub_explicit(&lib->refs, 1, memory_order_acq_rel) == 1) {
        destroy(lib);
    }
}

const void *weir_plugin_library_ext(const struct weir_plugin_library *lib, const char *id)
{
    for (size_t i = 0; i < MAX_IDS && lib->about.provides[i]; i++) {
        if (strcmp(lib->about.provides[i], id) == 0) {
            return lib->about.get_ext(id);
        }
    }
    return NULL;
}
