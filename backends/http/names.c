/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lane.h"

enum { RETRY_MS = 1000 }; /* between look-ups while no address is known */

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET) {
        return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
                      &((const struct sockaddr_in *)b)->sin_addr, sizeof(struct in_addr)) == 0;
    }
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool weir_upstream_names_have(const struct weir_upstream_names *names,
                              const struct sockaddr_storage *address)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (is_same(&names->list[i], address)) {
            return true;
        }
    }
    return false;
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET) {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    }
}

static void take_addresses(struct weir_upstream_lane *l, const struct addrinfo *found)
{
    struct weir_upstream_names *names = &l->names;
    names->n = 0;
    for (; found && names->n < WEIR_UPSTREAM_MAX_ADDRESSES; found = found->ai_next) {
        bool is_ip = found->ai_family == AF_INET || found->ai_family == AF_INET6;
        if (is_ip && found->ai_addrlen <= sizeof(names->list[0])) {
            struct sockaddr_storage *to = &names->list[names->n];
            memset(to, 0, sizeof(*to));
            memcpy(to, found->ai_addr, found->ai_addrlen);
            set_port(to, l->upstream->settings.port);
            names->n += !weir_upstream_names_have(names, to); /* behind the end: not compared */
        }
    }
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct weir_upstream_lane *l = request->data;
    l->names.is_asking = false;
    l->n_handles--;
    if (status == 0 && found) {
        take_addresses(l, found);
    }
    uv_freeaddrinfo(found);
    weir_upstream_lane_named(l, l->names.n   ? NULL
                                : status < 0 ? uv_strerror(status)
                                             : "no address");
}

static void ask(struct weir_upstream_lane *l)
{
    struct weir_upstream_names *names = &l->names;
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    names->request.data = l;
    names->asked_ms = uv_now(l->loop);
    names->is_asking = uv_getaddrinfo(l->loop, &names->request, on_found,
                                      l->upstream->settings.host, NULL, &hints) == 0;
    l->n_handles += names->is_asking;
}

static void use_literal(struct weir_upstream_lane *l)
{
    const struct weir_upstream_settings *s = &l->upstream->settings;
    struct sockaddr_storage *to = &l->names.list[0];
    (void)(uv_ip4_addr(s->host, s->port, (struct sockaddr_in *)to) == 0 ||
           uv_ip6_addr(s->host, s->port, (struct sockaddr_in6 *)to) == 0);
    l->names.n = 1;
}

const struct sockaddr *weir_upstream_names_take(struct weir_upstream_lane *l)
{
    struct weir_upstream_names *names = &l->names;
    if (l->upstream->settings.is_address) {
        if (names->n == 0) {
            use_literal(l);
        }
    } else if (!names->is_asking) {
        uint64_t age_ms = uv_now(l->loop) - names->asked_ms;
        bool is_due = names->asked_ms == 0 ||
                      age_ms >= (names->n ? l->upstream->settings.resolve_ms : RETRY_MS);
        if (is_due) {
            ask(l);
        }
    }
    if (names->n == 0) {
        return NULL;
    }
    return (const struct sockaddr *)&names->list[names->next++ % names->n];
}
