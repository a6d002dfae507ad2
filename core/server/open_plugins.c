/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/open_plugins.h"

#include <stdlib.h>
#include <string.h>

#include "core/config/tenant_entry.h"
#include "core/request/request.h"
#include "core/server/server.h"

int weir_server_configure_plugins(struct weir_server *s, const struct weir_config *config,
                                  struct weir_findings *findings)
{
    struct weir_plugin_spec *specs = calloc(config->n_plugins + 1, sizeof(*specs));
    if (!specs) {
        return WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < config->n_plugins; i++) {
        specs[i] = (struct weir_plugin_spec){.name = config->plugins[i].name,
                                             .entry = config->plugins[i].name_node,
                                             .config = config->plugins[i].node};
    }
    memcpy(s->slas, config->slas, sizeof(s->slas));
    int r = weir_plugins_configure(s->plugins, specs, config->n_plugins, config->tenants_json,
                                   findings);
    free(specs);
    return r;
}

static bool tenants_are_read(void *arg)
{
    const struct weir_server *s = arg;
    return weir_tenant_records_are_read(s->records);
}

static int check_tenant(void *arg, weir_str name, weir_str entry, struct weir_error *ret_problem)
{
    struct weir_config *config = weir_server_config(arg);
    struct weir_tenant_problem problem;
    char *json = NULL;
    int r = weir_tenant_entry_check(config, name, entry, &json, &problem);
    weir_config_unref(config);
    free(json);
    return r < 0 ? weir_error_set(ret_problem, r, "%.80s%s%s", problem.path,
                                  *problem.path ? ": " : "", problem.text)
                 : 0;
}

int weir_server_open_plugins(struct weir_server *s, struct weir_findings *findings,
                             struct weir_error *err)
{
    struct weir_plugins_options options = {
        .dirs = s->config->plugin_dirs.items,
        .n_dirs = s->config->plugin_dirs.n,
        .ops = &weir_request_plugin_ops,
        .metrics = s->metrics,
        .store = s->store,
        .tenants = s->tenants,
        .tenants_are_read = tenants_are_read,
        .check_tenant = check_tenant,
        .tenants_arg = s,
        .slas = s->slas,
        .targets_ops = &weir_targets_ops,
        .targets = s->targets,
        .main_loop = weir_worker_plugin_loop(s->admin),
    };
    int r = weir_plugins_create(&options, &s->plugins);
    if (r < 0) {
        return weir_error_set(err, r, "cannot set up the plugin host: %s", weir_error_name(r));
    }
    r = weir_tenants_set_entries(s->tenants, s->config->tenants_json);
    if (r < 0) {
        return weir_error_set(err, r, "tenants: %s", weir_error_name(r));
    }
    r = weir_server_configure_plugins(s, s->config, findings);
    return r < 0 ? weir_error_set(err, WEIR_E_ARG, "plugins: the configuration is wrong") : 0;
}
