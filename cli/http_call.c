/* SPDX-License-Identifier: Apache-2.0 */
#include "http_call.h"

#include <ctype.h>
#include <errno.h>
#include <llhttp.h>
#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

enum { MAX_HEAD_BYTES = 8192, READ_BYTES = 16384 };

struct place { /* the parts of a URL */
    char host[256];
    char port[8];
    const char *path;
};

static int split_url(const char *url, struct place *ret, struct weir_error *err)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0) {
        return weir_error_set(err, WEIR_E_ARG, "%s: only http:// addresses are supported", url);
    }
    const char *host = url + sizeof(scheme) - 1;
    size_t n = strcspn(host, "/");
    ret->path = host[n] ? host + n : "/";
    const char *colon = memrchr(host, ':', n);
    if (colon && memchr(colon, ']', (size_t)(host + n - colon))) {
        colon = NULL; /* inside an IPv6 literal */
    }
    size_t host_len = colon ? (size_t)(colon - host) : n;
    size_t port_len = colon ? n - host_len - 1 : 0;
    if (host_len > 1 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= sizeof(ret->host) || port_len >= sizeof(ret->port)) {
        return weir_error_set(err, WEIR_E_ARG, "%s: no usable host and port", url);
    }
    memcpy(ret->host, host, host_len);
    ret->host[host_len] = '\0';
    memcpy(ret->port, colon ? colon + 1 : "80", colon ? port_len : 2);
    ret->port[colon ? port_len : 2] = '\0';
    return 0;
}

static int open_connection(const struct place *p, struct weir_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int e = getaddrinfo(p->host, p->port, &hints, &list);
    if (e) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s", p->host, gai_strerror(e));
    }
    int fd = -1;
    int last = 0;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            last = errno;
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd >= 0 ? fd
                   : weir_error_set(err, WEIR_E_IO, "cannot reach %s port %s: %s", p->host, p->port,
                                    strerror(last));
}

static int send_all(int fd, weir_str bytes)
{
    while (bytes.n) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return WEIR_E_IO;
        }
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
    return 0;
}

static int send_request(int fd, const struct place *p, const struct weir_http_call *call)
{
    struct weir_buf head;
    weir_buf_init(&head, MAX_HEAD_BYTES);
    weir_buf_printf(&head,
                    "%s %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Length: %zu\r\n"
                    "Connection: close\r\n",
                    call->method ? call->method : "POST", p->path, p->host, p->port, call->body.n);
    if (call->body.n) {
        weir_buf_add_text(&head, "Content-Type: application/json\r\n");
    }
    if (call->if_match) {
        weir_buf_printf(&head, "If-Match: %s\r\n", call->if_match);
    }
    if (call->token) {
        weir_buf_printf(&head, "Authorization: Bearer %s\r\n", call->token);
    }
    weir_buf_add_text(&head, "\r\n");
    int r = head.failed ? WEIR_E_TOOBIG : send_all(fd, weir_buf_view(&head));
    weir_buf_finish(&head);
    return r < 0 ? r : send_all(fd, call->body);
}

struct reading {
    const struct weir_http_call *call;
    int status;
    int rc;
    bool complete;
    char field[16]; /* the header field that is being read, in small letters, cut */
    size_t field_len, etag_len;
    bool in_value;
};

static int on_header_field(llhttp_t *parser, const char *at, size_t n)
{
    struct reading *rd = parser->data;
    if (rd->in_value) {
        rd->in_value = false;
        rd->field_len = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (rd->field_len < sizeof(rd->field) - 1) {
            rd->field[rd->field_len++] = (char)tolower((unsigned char)at[i]);
        }
    }
    rd->field[rd->field_len] = '\0';
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n)
{
    struct reading *rd = parser->data;
    char *etag = rd->call->ret_etag;
    rd->in_value = true;
    if (etag && strcmp(rd->field, "etag") == 0 && n < WEIR_HTTP_CALL_ETAG_BYTES - rd->etag_len) {
        memcpy(etag + rd->etag_len, at, n);
        rd->etag_len += n;
        etag[rd->etag_len] = '\0';
    }
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct reading *rd = parser->data;
    rd->status = parser->status_code;
    rd->rc = rd->call->on_body(rd->call->arg, (weir_str){at, n});
    return rd->rc < 0 ? -1 : 0;
}

static int on_complete(llhttp_t *parser)
{
    struct reading *rd = parser->data;
    rd->status = parser->status_code;
    rd->complete = true;
    return HPE_PAUSED;
}

static int read_answer(int fd, struct reading *rd, struct weir_error *err)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    llhttp_t parser;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = rd;
    while (!rd->complete) {
        if (rd->call->stop && *rd->call->stop) {
            return WEIR_E_CANCELLED;
        }
        char bytes[READ_BYTES];
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return weir_error_set(err, WEIR_E_IO, "the connection broke: %s", strerror(errno));
        }
        llhttp_errno_t e = n ? llhttp_execute(&parser, bytes, (size_t)n) : llhttp_finish(&parser);
        if (rd->rc < 0) {
            return rd->rc;
        }
        if (!rd->complete && (e != HPE_OK || n == 0)) {
            return weir_error_set(err, WEIR_E_FORMAT, "the answer was cut off or is not HTTP");
        }
    }
    return 0;
}

int weir_http_call(const struct weir_http_call *call, int *ret_status, struct weir_error *err)
{
    struct place p;
    int r = split_url(call->url, &p, err);
    if (r < 0) {
        return r;
    }
    if (call->ret_etag) {
        call->ret_etag[0] = '\0';
    }
    int fd = open_connection(&p, err);
    if (fd < 0) {
        return fd;
    }
    struct reading rd = {.call = call};
    r = send_request(fd, &p, call);
    if (r < 0) {
        weir_error_set(err, r, "the request could not be sent: %s", strerror(errno));
    } else {
        r = read_answer(fd, &rd, err);
    }
    (void)close(fd);
    *ret_status = rd.status;
    return r;
}
