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
    MAX_REFUSED = 256 /* connections above max_connections that are told so; more wait */
};

static int init_stream(struct weir_http_connection *c, bool is_unix)
{
    uv_loop_t *loop = c->server->loop;
    return is_unix ? uv_pipe_init(loop, &c->io.pipe, 0) : uv_tcp_init(loop, &c->io.tcp);
}

static void on_failed_close(uv_handle_t *handle)
{
    struct weir_http_connection *c = handle->data;
    struct weir_http_server *s = c->server;
    weir_http_server_give_connection(s, c);
    weir_http_server_retry_accept(s);
    weir_http_server_handle_closed(s);
}

/* A connection with its handle ready to take a socket; NULL when there is no room. */
static struct weir_http_connection *new_connection(struct weir_http_listener *l)
{
    struct weir_http_server *s = l->server;
    uint32_t n = s->stats.n_connections;
    uint32_t max = s->limits.max_connections;
    if (n >= max && n - max >= MAX_REFUSED) {
        return NULL;
    }
    struct weir_http_connection *c = weir_http_server_take_connection(s);
    if (!c) {
        return NULL;
    }
    if (init_stream(c, l->is_unix) < 0) {
        weir_http_server_give_connection(s, c);
        return NULL;
    }
    c->io.handle.data = c;
    if (l->tls && weir_tls_create(l->tls, &c->tls) < 0) {
        uv_close(&c->io.handle, on_failed_close);
        s->n_handles++;
        return NULL;
    }
    s->stats.n_accepted++;
    weir_http_server_add_connection(s, c);
    return c;
}

/* The socket is in the handle, unless r is an error. */
static void start_connection(struct weir_http_connection *c, int r)
{
    const struct weir_http_server *s = c->server;
    if (r < 0) {
        weir_http_connection_close(c, WEIR_HTTP_END_DONE);
        return;
    }
    weir_http_connection_open(c);
    if (c->tls && s->stats.n_connections > s->limits.max_connections) {
        weir_http_connection_close(c, WEIR_HTTP_END_REJECTED); /* no handshake to say it in */
    } else if (s->stats.n_connections > s->limits.max_connections) {
        c->protocol->refuse(c, WEIR_HTTP_TOO_MANY_CONNECTIONS);
    }
}

static void accept_one(struct weir_http_listener *l)
{
    struct weir_http_connection *c = new_connection(l);
    if (!c) {
        l->is_waiting = true; /* libuv stops accepting until uv_accept is called */
        return;
    }
    start_connection(c, uv_accept(&l->io.stream, &c->io.stream));
}

static void on_connection(uv_stream_t *stream, int status)
{
    /* An error here is of one connection attempt, or of too few descriptors, which libuv meets by
     * dropping the attempt. */
    if (status == 0) {
        accept_one(stream->data);
    }
}

void weir_http_server_retry_accept(struct weir_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct weir_http_listener *l = &s->listeners[i];
        if (l->is_waiting && l->is_open) {
            l->is_waiting = false;
            accept_one(l);
        }
    }
}

static void accept_all(struct weir_http_listener *l)
{
    uv_os_fd_t fd;
    if (uv_fileno(&l->io.handle, &fd) < 0) {
        return;
    }
    for (int i = 0; i < BACKLOG; i++) {
        int socket = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket < 0) {
            return;
        }
        struct weir_http_connection *c = new_connection(l);
        if (!c) {
            (void)close(socket);
            return;
        }
        int r = l->is_unix ? uv_pipe_open(&c->io.pipe, socket) : uv_tcp_open(&c->io.tcp, socket);
        if (r < 0) {
            (void)close(socket);
        }
        start_connection(c, r);
    }
}

void weir_http_server_accept_backlog(struct weir_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].is_open) {
            accept_all(&s->listeners[i]);
        }
    }
}

static int bind_tcp(struct weir_http_listener *l, const struct sockaddr *address)
{
    uv_os_fd_t fd;
    int on = 1;
    int r = uv_fileno(&l->io.handle, &fd);
    if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) {
        r = uv_translate_sys_error(errno);
    }
    return r < 0 ? r : uv_tcp_bind(&l->io.tcp, address, 0);
}

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

static int bind_unix(struct weir_http_listener *l, const char *path)
{
    int r = uv_pipe_bind(&l->io.pipe, path);
    if (r == UV_EADDRINUSE && is_stale_socket(path) && unlink(path) == 0) {
        r = uv_pipe_bind(&l->io.pipe, path);
    }
    return r;
}

static int init_listener(struct weir_http_listener *l, const struct weir_listen_address *a)
{
    uv_loop_t *loop = l->server->loop;
    l->is_unix = a->is_unix;
    int r = a->is_unix ? uv_pipe_init(loop, &l->io.pipe, 0)
                       : uv_tcp_init_ex(loop, &l->io.tcp, a->address.ss_family);
    l->io.handle.data = l;
    return r;
}

static void on_listener_close(uv_handle_t *handle)
{
    struct weir_http_listener *l = handle->data;
    weir_http_server_handle_closed(l->server);
}

static uint16_t bound_port(const struct weir_http_listener *l)
{
    struct sockaddr_storage address = {0};
    int n = sizeof(address);
    if (l->is_unix || uv_tcp_getsockname(&l->io.tcp, (struct sockaddr *)&address, &n) < 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* libuv's error, or 0 and the listener. */
static int open_listener(struct weir_http_server *s, const struct weir_listen_address *a,
                         struct weir_http_listener **ret_listener)
{
    if (s->n_listeners == WEIR_HTTP_MAX_LISTENERS || s->is_draining) {
        return UV_EMFILE;
    }
    struct weir_http_listener *l = &s->listeners[s->n_listeners];
    *l = (struct weir_http_listener){.server = s, .tls = a->is_unix ? NULL : s->tls};
    int r = init_listener(l, a);
    if (r < 0) {
        return r;
    }
    s->n_listeners++; /* the handle stays in its slot until it is closed */
    s->n_handles++;
    l->is_open = true;
    r = a->is_unix ? bind_unix(l, a->path) : bind_tcp(l, (const struct sockaddr *)&a->address);
    if (r == 0) {
        r = uv_listen(&l->io.stream, BACKLOG, on_connection);
    }
    if (r < 0) {
        l->is_open = false;
        uv_close(&l->io.handle, on_listener_close);
        return r;
    }
    *ret_listener = l;
    return 0;
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

static bool is_at(const struct weir_http_listener *l, const char *path)
{
    char bound[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    size_t n = sizeof(bound);
    return l->is_unix && l->is_open && uv_pipe_getsockname(&l->io.pipe, bound, &n) == 0 &&
           n == strlen(path) && memcmp(bound, path, n) == 0;
}

static const struct weir_http_listener *find_listener(const struct weir_http_server *s,
                                                      const char *path)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (is_at(&s->listeners[i], path)) {
            return &s->listeners[i];
        }
    }
    return NULL;
}

/* A second handle for the socket of `first`. libuv's error, or 0. */
static int share_listener(struct weir_http_server *s, const struct weir_http_listener *first,
                          const struct weir_listen_address *a)
{
    uv_os_fd_t fd;
    if (s->n_listeners == WEIR_HTTP_MAX_LISTENERS || s->is_draining) {
        return UV_EMFILE;
    }
    int r = uv_fileno(&first->io.handle, &fd);
    int own = r == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own < 0) {
        return r < 0 ? r : uv_translate_sys_error(errno);
    }
    struct weir_http_listener *l = &s->listeners[s->n_listeners];
    *l = (struct weir_http_listener){.server = s};
    r = init_listener(l, a);
    if (r < 0) {
        (void)close(own);
        return r;
    }
    s->n_listeners++;
    s->n_handles++;
    l->is_open = true;
    r = uv_pipe_open(&l->io.pipe, own);
    if (r < 0) {
        (void)close(own);
    } else {
        r = uv_listen(&l->io.stream, BACKLOG, on_connection);
    }
    if (r < 0) {
        l->is_open = false;
        uv_close(&l->io.handle, on_listener_close);
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
        if (l->is_open) {
            l->is_open = false;
            uv_close(&l->io.handle, on_listener_close);
        }
    }
}
