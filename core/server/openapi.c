/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi.h"

#define PROBE(summary)                                                                    \
    "{\"get\":{\"summary\":\"" summary "\",\"responses\":{\"200\":{\"description\":\"yes\"}," \
    "\"503\":{\"description\":\"not now; the body says why\"}}}}"

#define PLUGIN_ROUTE(method)                                                        \
    "\"" method "\":{\"summary\":\"A route that a plugin registered\",\"responses\":{" \
    "\"default\":{\"description\":\"what the plugin answers\"}}}"

const char weir_openapi_json[] =
    "{\"openapi\":\"3.1.0\","
    "\"info\":{\"title\":\"weir admin\",\"version\":\"1\"},"
    "\"paths\":{"
    "\"/healthz/live\":" PROBE("The event loops turn") ","
    "\"/healthz/ready\":" PROBE("Every model can run and the server is not draining") ","
    "\"/healthz/startup\":" PROBE("Every model was loaded once") ","
    "\"/metrics\":{\"get\":{\"summary\":\"Prometheus text format\",\"responses\":{\"200\":{"
    "\"description\":\"metrics\",\"content\":{\"text/plain\":{}}}}}},"
    "\"/admin/v1/models\":{\"get\":{\"summary\":\"Models, their queues and targets\","
    "\"responses\":{\"200\":{\"description\":\"list\",\"content\":{\"application/json\":{}}}}}},"
    "\"/admin/v1/plugins\":{\"get\":{\"summary\":\"Plugins in the order of execution\","
    "\"responses\":{\"200\":{\"description\":\"list\",\"content\":{\"application/json\":{}}}}}},"
    "\"/admin/v1/plugins/{plugin}/{path}\":{\"parameters\":["
    "{\"name\":\"plugin\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}},"
    "{\"name\":\"path\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}],"
    PLUGIN_ROUTE("get") "," PLUGIN_ROUTE("post") "," PLUGIN_ROUTE("put") ","
    PLUGIN_ROUTE("patch") "," PLUGIN_ROUTE("delete") "},"
    "\"/admin/v1/openapi.json\":{\"get\":{\"summary\":\"This description\",\"responses\":{"
    "\"200\":{\"description\":\"OpenAPI 3.1\",\"content\":{\"application/json\":{}}}}}}"
    "}}";
