/* SPDX-License-Identifier: Apache-2.0 */
/* For tests/integration/test_daemon.py: a plugin that hangs when its instance is destroyed. */
#include <unistd.h>

#include "weir/plugin.h"
#include "weir/policy.h"

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    (void)config_json;
    (void)err;
    return (void *)host;
}

static void instance_destroy(void *instance)
{
    (void)instance;
    for (;;) {
        (void)pause();
    }
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "never_ends",
    .version = "1.0.0",
    .license = "Apache-2.0",
    .description = "Hangs at its end in a test.",
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
