/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/reload.h"

#include <stdio.h>

#include "base/log.h"
#include "core/server/open_plugins.h"
#include "core/server/server.h"

struct weir_config *weir_server_config(struct weir_server *s)
{
    (void)pthread_mutex_lock(&s->config_mutex);
    struct weir_config *config = weir_config_ref(s->config);
    (void)pthread_mutex_unlock(&s->config_mutex);
    return config;
}

void weir_server_apply_logging(const struct weir_config *config)
{
    enum weir_log_level level = WEIR_LOG_INFO;
    (void)weir_log_level_parse(weir_str_from(config->logging.level), &level);
    weir_log_configure(level, config->logging.json);
}

/* Models, listeners and the store keep what they were made with; the rest reads the new one. */
static void swap_config(struct weir_server *s, struct weir_config *config)
{
    (void)pthread_mutex_lock(&s->config_mutex);
    struct weir_config *old = s->config;
    s->config = config;
    (void)pthread_mutex_unlock(&s->config_mutex);
    weir_config_unref(old);
}

void weir_server_reload(struct weir_server *s)
{
    struct weir_findings findings;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, s->options->config_file);
    int r = weir_config_load(&findings, false, &config);
    if (r == 0) { /* before the plugins, so that a key's tenant is never unknown */
        r = weir_tenants_set_entries(s->tenants, config->tenants_json);
        r = r < 0 ? r : weir_server_configure_plugins(s, config, &findings);
    }
    if (r < 0) {
        (void)weir_tenants_set_entries(s->tenants, s->config->tenants_json);
        s->n_failed_reloads++;
        weir_findings_print(&findings, stderr);
        weir_log(WEIR_LOG_ERROR, "server", NULL, "reload failed; the old configuration stays");
        weir_config_unref(config);
    } else {
        s->n_reloads++;
        weir_server_apply_logging(config);
        static const char *const fixed[] = {"server", "models", "store"};
        for (size_t i = 0; i < 3; i++) {
            yyjson_val *before = yyjson_obj_get(yyjson_doc_get_root(s->config->json), fixed[i]);
            yyjson_val *after = yyjson_obj_get(yyjson_doc_get_root(config->json), fixed[i]);
            if (!yyjson_equals(before, after)) {
                weir_log(WEIR_LOG_WARN, "server", NULL,
                         "%s: changes take effect at the next start, ignoring until then",
                         fixed[i]);
            }
        }
        swap_config(s, config);
        weir_log(WEIR_LOG_INFO, "server", NULL, "configuration reloaded");
    }
    weir_findings_finish(&findings);
}
