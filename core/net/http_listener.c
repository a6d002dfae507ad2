/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: binding, accepting, closing. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/net/http_server_internal.h"
#include "core/net/listen_address.h"

enum {
    BACKLOG = 1024,
    TCP_KEEPALIVE_S = 60,
    MAX_ACCEPTED = 64, /* in a turn of the loop */
    MAX_REFUSED = 256  /* connections above max_connections that are told so; more wait */
};

/* ---- accepting ---- */

void weir_http_server_open_spare(struct weir_http_server *s)
{
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void weir_http_server_close_spare(struct weir_http_server *s)
{
    if (s->spare_fd >= 0) {
        (void)close(s->spare_fd);
        s->spare_fd = -1;
    }
}

/* No descriptor is left: a client that is dropped knows more than one that waits. */
static void drop_waiting(struct weir_http_listener *l)
{
    int fd = -1;
    weir_http_server_close_spare(l->server);
    do {
        if (fd >= 0) {
            (void)close(fd);
        }
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    } while (fd >= 0);
    weir_http_server_open_spare(l->server);
}

/* Memory for a connection, or NULL when there is no room. */
static struct weir_http_connection *make_room(struct weir_http_server *s)
{
    uint32_t n = s->stats.n_connections;
    uint32_t max = s->limits.max_connections;
    return n >= max && n - max >= MAX_REFUSED ? NULL : weir_http_server_take_connection(s);
}

static void start_connection(struct weir_http_listener *l, struct weir_http_connection *c, int fd,
                             const struct sockaddr_storage *peer)
{
    struct weir_http_server *s = l->server;
    if ((l->tls && weir_tls_create(l->tls, &c->tls) < 0) ||
        weir_http_connection_open(c, fd, peer) < 0) {
        weir_http_server_give_connection(s, c);
        (void)close(fd);
        return;
    }
    s->stats.n_accepted++;
    if (c->tls && s->stats.n_connections > s->limits.max_connections) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED); /* no handshake to say it in */
    } else if (s->stats.n_connections > s->limits.max_connections) {
        c->protocol->refuse(c, WEIR_HTTP_TOO_MANY_CONNECTIONS);
    }
}

/* At most so many. False: there are more, and no room. */
static bool accept_some(struct weir_http_listener *l, int max)
{
    for (int i = 0; i < max; i++) {
        struct weir_http_connection *c = make_room(l->server);
        if (!c) {
            return false;
        }
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof(peer);
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            /* Other errors are of one attempt to connect, or say that nobody waits. */
            bool is_full = errno == EMFILE || errno == ENFILE;
            weir_http_server_give_connection(l->server, c);
            if (is_full) {
                drop_waiting(l);
            }
            return true;
        }
        start_connection(l, c, fd, &peer);
    }
    return true;
}

static void on_connection(uv_poll_t *poll, int status, int what)
{
    (void)status;
    (void)what;
    struct weir_http_listener *l = poll->data;
    if (!accept_some(l, MAX_ACCEPTED)) {
        l->is_waiting = true;
        (void)uv_poll_stop(poll);
    }
}

void weir_http_server_retry_accept(struct weir_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct weir_http_listener *l = &s->listeners[i];
        if (l->is_waiting && l->is_open) {
            l->is_waiting = false;
            (void)uv_poll_start(&l->poll, UV_READABLE, on_connection);
        }
    }
}

void weir_http_server_accept_backlog(struct weir_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].is_open) {
            (void)accept_some(&s->listeners[i], BACKLOG);
        }
    }
}

/* ---- binding ---- */

/* A socket file that nobody listens on any more, left by a process that was killed. */
static bool is_stale_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1); /* the length was checked by the parser */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_refused =
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return is_refused;
}

static int bind_unix(int fd, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        return 0;
    }
    if (errno == EADDRINUSE && is_stale_socket(path) && unlink(path) == 0 &&
        bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        return 0;
    }
    return -errno;
}

static int bind_tcp(int fd, const struct sockaddr_storage *address)
{
    bool is_ipv6 = address->ss_family == AF_INET6;
    socklen_t n = is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
        (is_ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
        bind(fd, (const struct sockaddr *)address, n) < 0) {
        return -errno;
    }
    weir_socket_tune(fd, TCP_KEEPALIVE_S); /* connections inherit it */
    return 0;
}

/* A socket that listens, or negative errno. */
static int make_socket(const struct weir_listen_address *a)
{
    int family = a->is_unix ? AF_UNIX : a->address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int r = a->is_unix ? bind_unix(fd, a->path) : bind_tcp(fd, &a->address);
    if (r == 0 && listen(fd, BACKLOG) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    return fd;
}

static void on_listener_close(uv_handle_t *handle)
{
    struct weir_http_listener *l = handle->data;
    weir_http_server_handle_closed(l->server);
}

static uint16_t bound_port(const struct weir_http_listener *l)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof(address);
    if (l->is_unix || getsockname(l->fd, (struct sockaddr *)&address, &n) < 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* Watches a socket that listens, which is the listener's from then on. Negative errno, or 0. */
static int watch(struct weir_http_server *s, int fd, const struct weir_listen_address *a,
                 struct weir_http_listener **ret_listener)
{
    if (s->n_listeners == WEIR_HTTP_MAX_LISTENERS || s->is_draining) {
        return -EMFILE;
    }
    struct weir_http_listener *l = &s->listeners[s->n_listeners];
    *l = (struct weir_http_listener){.server = s, .fd = fd, .is_unix = a->is_unix};
    int r = uv_poll_init(s->loop, &l->poll, fd);
    if (r < 0) {
        return r;
    }
    s->n_listeners++; /* the handle stays in its slot until it is closed */
    s->n_handles++;
    l->poll.data = l;
    l->is_open = true;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_connection);
    if (a->is_unix) {
        memcpy(l->path, a->path, strlen(a->path) + 1);
    }
    *ret_listener = l;
    return 0;
}

static int open_listener(struct weir_http_server *s, const struct weir_listen_address *a,
                         struct weir_http_listener **ret_listener)
{
    int fd = make_socket(a);
    int r = fd < 0 ? fd : watch(s, fd, a, ret_listener);
    if (r == 0) {
        (*ret_listener)->tls = a->is_unix ? NULL : s->tls;
        (*ret_listener)->owns_path = a->is_unix;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    return r;
}

static void make_ipv4_any(struct weir_listen_address *a)
{
    in_port_t port = ((struct sockaddr_in6 *)&a->address)->sin6_port;
    a->address = (struct sockaddr_storage){0};
    *(struct sockaddr_in *)&a->address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = port,
    };
}

int weir_http_server_listen(struct weir_http_server *s, const char *address, uint16_t *ret_port,
                            struct weir_error *err)
{
    struct weir_listen_address a;
    struct weir_http_listener *l;
    int r = weir_listen_address_parse(address, &a, err);
    if (r < 0) {
        return r;
    }
    r = open_listener(s, &a, &l);
    if (a.is_any && (r == UV_EAFNOSUPPORT || r == UV_EADDRNOTAVAIL)) {
        make_ipv4_any(&a);
        r = open_listener(s, &a, &l);
    }
    if (r < 0) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s%s", address, uv_strerror(r),
                              r == UV_EADDRINUSE ? "; choose another port or end that process"
                                                 : "");
    }
    if (ret_port) {
        *ret_port = bound_port(l);
    }
    return WEIR_OK;
}

static const struct weir_http_listener *find_listener(const struct weir_http_server *s,
                                                      const char *path)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct weir_http_listener *l = &s->listeners[i];
        if (l->is_unix && l->is_open && strcmp(l->path, path) == 0) {
            return l;
        }
    }
    return NULL;
}

/* A second descriptor for the socket of `first`. Negative errno, or 0. */
static int share_listener(struct weir_http_server *s, const struct weir_http_listener *first,
                          const struct weir_listen_address *a)
{
    struct weir_http_listener *l;
    int fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    int r = fd < 0 ? -errno : watch(s, fd, a, &l);
    if (r < 0 && fd >= 0) {
        (void)close(fd);
    }
    return r;
}

int weir_http_server_listen_along(struct weir_http_server *s, const struct weir_http_server *first,
                                  const char *address, struct weir_error *err)
{
    struct weir_listen_address a;
    int r = weir_listen_address_parse(address, &a, err);
    if (r < 0) {
        return r;
    }
    const struct weir_http_listener *l = a.is_unix ? find_listener(first, a.path) : NULL;
    if (!l) {
        return weir_error_set(err, WEIR_E_ARG, "%s: nobody listens there to share with", address);
    }
    r = share_listener(s, l, &a);
    return r < 0 ? weir_error_set(err, WEIR_E_IO, "%s: %s", address, uv_strerror(r)) : WEIR_OK;
}

void weir_http_server_close_listeners(struct weir_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct weir_http_listener *l = &s->listeners[i];
        if (!l->is_open) {
            continue;
        }
        l->is_open = false;
        uv_close((uv_handle_t *)&l->poll, on_listener_close);
        (void)close(l->fd);
        if (l->owns_path) {
            (void)unlink(l->path);
        }
    }
}
