/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include <stdio.h>

#include "core/server/server.h"

int weir_server_listen(struct weir_server *s, struct weir_error *err)
{
    const struct weir_config_server *conf = &s->config->server;
    for (size_t a = 0; a < conf->listen.n; a++) {
        char address[300];
        (void)snprintf(address, sizeof(address), "%s", conf->listen.items[a]);
        for (uint32_t i = 0; i < s->n_workers; i++) {
            uint16_t port = 0;
            bool shared = i > 0 && strncmp(address, "unix:", 5) == 0;
            int r = shared ? weir_worker_listen_along(s->workers[i], s->workers[0], address, err)
                           : weir_worker_listen(s->workers[i], address, &port, err);
            if (r < 0) {
                return weir_error_prefix(err, "server.listen");
            }
            char *colon = strrchr(address, ':');
            if (!shared && colon &&
                strcmp(colon, ":0") == 0) { /* the others share the port found */
                (void)snprintf(colon, sizeof(address) - (size_t)(colon - address), ":%u", port);
            }
            s->port = a == 0 ? port : s->port;
        }
    }
    int r = weir_worker_listen(s->admin, conf->admin, &s->admin_port, err);
    return r < 0 ? weir_error_prefix(err, "server.admin") : 0;
}
