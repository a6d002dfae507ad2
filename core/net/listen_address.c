/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/listen_address.h"

#include <sys/un.h>
#include <uv.h>

enum { MAX_HOST_BYTES = 64 };

/* 0..65535, digits only; -1 otherwise. */
static int parse_port(const char *text)
{
    int port = 0;
    if (*text == '\0') {
        return -1;
    }
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9') {
            return -1;
        }
        port = port * 10 + (*p - '0');
        if (port > 65535) {
            return -1;
        }
    }
    return port;
}

static int parse_unix(const char *path, struct weir_listen_address *a, struct weir_error *err)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return weir_error_set(err, WEIR_E_ARG, "the path of a Unix socket has 1 to %zu bytes",
                              sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    }
    a->is_unix = true;
    a->path = path;
    return WEIR_OK;
}

static int parse_ip(const char *host, int port, struct weir_listen_address *a)
{
    size_t n = strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        char inner[MAX_HOST_BYTES];
        memcpy(inner, host + 1, n - 2);
        inner[n - 2] = '\0';
        return uv_ip6_addr(inner, port, (struct sockaddr_in6 *)&a->address);
    }
    if (n == 0) {
        a->is_any = true;
        return uv_ip6_addr("::", port, (struct sockaddr_in6 *)&a->address);
    }
    if (strcmp(host, "localhost") == 0) {
        host = "127.0.0.1";
    }
    return uv_ip4_addr(host, port, (struct sockaddr_in *)&a->address);
}

int weir_listen_address_parse(const char *text, struct weir_listen_address *ret_address,
                              struct weir_error *err)
{
    struct weir_listen_address a = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        int r = parse_unix(text + 5, &a, err);
        if (r == WEIR_OK) {
            *ret_address = a;
        }
        return r;
    }
    const char *colon = strrchr(text, ':');
    int port = colon ? parse_port(colon + 1) : -1;
    if (port < 0) {
        return weir_error_set(err, WEIR_E_ARG, "\"%s\" has no port from 0 to 65535 at its end",
                              text);
    }
    char host[MAX_HOST_BYTES];
    size_t n_host = (size_t)(colon - text);
    if (n_host < sizeof(host)) {
        memcpy(host, text, n_host);
        host[n_host] = '\0';
    }
    if (n_host >= sizeof(host) || parse_ip(host, port, &a) < 0) {
        return weir_error_set(err, WEIR_E_ARG,
                              "\"%s\" is not IPv4:PORT, [IPv6]:PORT, localhost:PORT, :PORT or "
                              "unix:PATH",
                              text);
    }
    *ret_address = a;
    return WEIR_OK;
}
