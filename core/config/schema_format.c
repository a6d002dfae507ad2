/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config/schema_internal.h"
#include "core/config/units.h"

static bool is_duration(weir_str text)
{
    uint64_t us;
    return weir_duration_parse(text, &us) == 0;
}

static bool is_bytes(weir_str text)
{
    uint64_t n;
    return weir_bytes_parse(text, &n) == 0;
}

static bool is_uri(weir_str text)
{
    return weir_uri_check(text) == 0;
}

static bool is_host_port(weir_str text)
{
    weir_str host;
    uint16_t port;
    return weir_host_port_parse(text, &host, &port) == 0;
}

static const struct weir_schema_format formats[] = {
    {"bytes", is_bytes, "a size such as 4096, 64KiB, 1Gi or 10MB"},
    {"duration", is_duration, "a duration such as 50ms, 30s, 15m, 4h or 7d"},
    {"host-port", is_host_port,
     "host:port such as 127.0.0.1:8080 or [::1]:8080, with a port from 0 to 65535"},
    {"uri", is_uri, "a URI such as http://host:port/path"},
};

const struct weir_schema_format *weir__schema_format_find(weir_str name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (weir_str_is(name, formats[i].name)) {
            return &formats[i];
        }
    }
    return NULL;
}

const char *weir__schema_format_names(void)
{
    return "bytes, duration, host-port or uri";
}
