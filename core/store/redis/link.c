/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/link.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/store/redis/command.h"
#include "weir/store.h"

enum {
    MAX_OUT_BYTES = 128 * 1024 * 1024,
    MAX_IN_BYTES = 16 * 1024 * 1024, /* of an answer: ours are below 4 MiB */
    MAX_ELEMENTS = 4 * WEIR_STORE_MAX_ITEMS,
    KEEPALIVE_S = 15,
    MAX_LOGIN = 3
};

enum login_step { LOGIN_AUTH, LOGIN_NAME, LOGIN_SELECT };

struct weir_redis_link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    uv_connect_t connect;
    uv_write_t write;
    struct weir_redis_scratch *scratch;
    struct weir_redis_link_events events;
    void *user;
    struct weir_tls_client *tls;
    redisReader *reader;
    redisReplyObjectFunctions functions; /* of the reader */
    struct weir_buf out;                 /* plain bytes */
    struct weir_buf cipher;              /* TLS: what the socket should get */
    struct weir_buf sending;             /* being written */
    enum login_step login[MAX_LOGIN];
    uint32_t n_login, n_answered;
    bool is_sentinel, is_ready, is_sending, is_closed;
    int failed; /* a write failed inside flush(): told from the loop */
    char why[192];
};

bool weir_redis_address_is_same(const struct weir_redis_address *a,
                                const struct weir_redis_address *b)
{
    if (a->is_unix || b->is_unix) {
        return a->is_unix && b->is_unix && strcmp(a->path, b->path) == 0;
    }
    if (a->ip.ss_family != b->ip.ss_family || a->port != b->port) {
        return false;
    }
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->ip;
    const struct sockaddr_in *b4 = (const struct sockaddr_in *)&b->ip;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->ip;
    const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->ip;
    return a->ip.ss_family == AF_INET
               ? a4->sin_addr.s_addr == b4->sin_addr.s_addr
               : memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static void free_link(struct weir_redis_link *link)
{
    weir_tls_client_destroy(link->tls);
    if (link->reader) {
        redisReaderFree(link->reader);
    }
    weir_buf_finish(&link->out);
    weir_buf_finish(&link->cipher);
    weir_buf_finish(&link->sending);
    free(link);
}

static void on_handle_closed(uv_handle_t *handle)
{
    free_link(handle->data);
}

void weir_redis_link_close(struct weir_redis_link *link)
{
    if (link && !link->is_closed) {
        link->is_closed = true;
        uv_close(&link->h.handle, on_handle_closed);
    }
}

static void fail(struct weir_redis_link *link, const char *why)
{
    if (!link->is_closed) {
        char text[192];
        (void)snprintf(text, sizeof(text), "%s", why);
        weir_redis_link_close(link);
        link->events.down(link->user, link, text);
    }
}

static void on_written(uv_write_t *req, int status);

/* Writes what the socket takes at once; the rest waits for it. */
static int send_bytes(struct weir_redis_link *link, struct weir_buf *bytes)
{
    if (link->is_sending || bytes->len == 0) {
        return 0;
    }
    uv_buf_t b = uv_buf_init(bytes->data, (unsigned)bytes->len);
    int n = uv_try_write(&link->h.stream, &b, 1);
    if (n == (int)bytes->len) {
        weir_buf_reset(bytes);
        return 0;
    }
    if (n < 0 && n != UV_EAGAIN) {
        return n;
    }
    weir_buf_consume(bytes, n > 0 ? (size_t)n : 0);
    struct weir_buf swap = link->sending;
    link->sending = *bytes;
    *bytes = swap;
    b = uv_buf_init(link->sending.data, (unsigned)link->sending.len);
    n = uv_write(&link->write, &link->h.stream, &b, 1, on_written);
    link->is_sending = n == 0;
    return n;
}

static int flush(struct weir_redis_link *link)
{
    if (link->out.failed || link->cipher.failed) {
        return UV_ENOBUFS;
    }
    if (!link->tls) {
        return send_bytes(link, &link->out);
    }
    if (weir_tls_client_write(link->tls, &link->out, &link->cipher) < 0) {
        return UV_EPROTO;
    }
    return send_bytes(link, &link->cipher);
}

static void fail_write(struct weir_redis_link *link, int status)
{
    char why[160];
    if (link->tls && status == UV_EPROTO) {
        weir_tls_client_why(link->tls, why, sizeof(why));
        fail(link, why);
    } else {
        fail(link, uv_strerror(status));
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct weir_redis_link *link = req->data;
    link->is_sending = false;
    weir_buf_reset(&link->sending);
    if (link->is_closed) {
        return;
    }
    status = status < 0 ? status : flush(link);
    if (status < 0) {
        fail_write(link, status);
    }
}

/* A failure is told from the loop: the end of the connection that the shutdown brings is read. */
void weir_redis_link_flush(struct weir_redis_link *link)
{
    int status = link->is_closed || link->failed ? 0 : flush(link);
    uv_os_fd_t fd;
    if (status < 0) {
        link->failed = status;
        if (uv_fileno(&link->h.handle, &fd) == 0) {
            (void)shutdown(fd, SHUT_RDWR);
        }
    }
}

struct weir_buf *weir_redis_link_out(struct weir_redis_link *link)
{
    return &link->out;
}

/* ---- login ---- */

static void add_login(struct weir_redis_link *link, const struct weir_redis_login *l)
{
    struct weir_buf *b = &link->out;
    if (*l->password) {
        link->login[link->n_login++] = LOGIN_AUTH;
        weir_redis_command_begin(b, *l->user ? 3 : 2);
        weir_redis_command_text(b, "AUTH");
        if (*l->user) {
            weir_redis_command_text(b, l->user);
        }
        weir_redis_command_text(b, l->password);
    }
    link->login[link->n_login++] = LOGIN_NAME;
    weir_redis_command_begin(b, 3);
    weir_redis_command_text(b, "CLIENT");
    weir_redis_command_text(b, "SETNAME");
    weir_redis_command_text(b, "weir");
    if (l->db && !l->is_sentinel) {
        link->login[link->n_login++] = LOGIN_SELECT;
        weir_redis_command_begin(b, 2);
        weir_redis_command_text(b, "SELECT");
        weir_redis_command_add_u64(b, l->db);
    }
}

static void take_login_reply(struct weir_redis_link *link, const redisReply *reply)
{
    enum login_step step = link->login[link->n_answered++];
    /* The name is for people; a Sentinel may have no password where its Redis has one. */
    bool matters = step != LOGIN_NAME && !(link->is_sentinel && step == LOGIN_AUTH);
    if (reply->type == REDIS_REPLY_ERROR && matters) {
        char why[192];
        (void)snprintf(why, sizeof(why), "%s: %s", step == LOGIN_AUTH ? "login" : "database",
                       reply->str);
        fail(link, why);
    } else if (link->n_answered == link->n_login) {
        link->is_ready = true;
        link->events.ready(link->user, link);
    }
}

/* ---- input ---- */

#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif

/* As hiredis' own, which takes whatever size the server names. */
static void *create_array(const redisReadTask *task, array_size n)
{
    redisReply *r = n > MAX_ELEMENTS || (int)n < 0 ? NULL : calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->type = task->type;
    r->element = n ? calloc((size_t)n, sizeof(redisReply *)) : NULL;
    if (n && !r->element) {
        free(r);
        return NULL;
    }
    r->elements = (size_t)n;
    if (task->parent) {
        redisReply *parent = task->parent->obj;
        parent->element[task->idx] = r;
    }
    return r;
}

static redisReader *create_reader(redisReplyObjectFunctions *functions)
{
    redisReader *reader = redisReaderCreate();
    if (reader) {
        *functions = *reader->fn;
        functions->createArray = create_array;
        reader->fn = functions;
    }
    return reader;
}

static void take_replies(struct weir_redis_link *link)
{
    void *object = NULL;
    while (!link->is_closed) {
        if (redisReaderGetReply(link->reader, &object) != REDIS_OK) {
            fail(link, link->reader->errstr);
            return;
        }
        if (!object) {
            return;
        }
        redisReply *reply = object;
        if (link->n_answered < link->n_login) {
            take_login_reply(link, reply);
        } else {
            link->events.reply(link->user, link, reply);
        }
        freeReplyObject(reply);
    }
}

static void take_plain(struct weir_redis_link *link, const char *bytes, size_t n)
{
    if (redisReaderFeed(link->reader, bytes, n) != REDIS_OK) {
        fail(link, "out of memory");
    } else if (link->reader->len > MAX_IN_BYTES) {
        fail(link, "an answer is too large");
    } else {
        take_replies(link);
    }
}

static void take_cipher(struct weir_redis_link *link, const char *bytes, size_t n)
{
    int rc = weir_tls_client_feed(link->tls, bytes, n);
    while (rc >= 0 && !link->is_closed) {
        rc = weir_tls_client_read(link->tls, link->scratch->plain, sizeof(link->scratch->plain));
        if (rc <= 0) {
            break;
        }
        take_plain(link, link->scratch->plain, (size_t)rc);
    }
    if (link->is_closed) {
        return;
    }
    int status = rc < 0 ? UV_EPROTO : flush(link); /* the handshake's next message, the login */
    if (status < 0) {
        fail_write(link, status);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct weir_redis_link *link = handle->data;
    *ret_buf = uv_buf_init(link->scratch->input, sizeof(link->scratch->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct weir_redis_link *link = stream->data;
    if (n == 0) {
        return;
    }
    if (n < 0) {
        fail(link, link->failed  ? uv_strerror(link->failed)
                   : n == UV_EOF ? "the server closed the connection"
                                 : uv_strerror((int)n));
        return;
    }
    if (link->tls) {
        take_cipher(link, buf->base, (size_t)n);
    } else {
        take_plain(link, buf->base, (size_t)n);
    }
}

static void on_connected(uv_connect_t *req, int status)
{
    struct weir_redis_link *link = req->data;
    if (link->is_closed) {
        return;
    }
    if (status == 0) {
        status = uv_read_start(&link->h.stream, on_alloc, on_read);
    }
    if (status == 0) {
        status = flush(link);
    }
    if (status < 0) {
        fail_write(link, status);
    }
}

/* On failure the link is gone. */
static int start(uv_loop_t *loop, struct weir_redis_link *link,
                 const struct weir_redis_address *address)
{
    int rc =
        address->is_unix ? uv_pipe_init(loop, &link->h.pipe, 0) : uv_tcp_init(loop, &link->h.tcp);
    if (rc < 0) {
        free_link(link);
        return WEIR_E_IO;
    }
    link->h.handle.data = link;
    link->connect.data = link;
    link->write.data = link;
    if (address->is_unix) {
        uv_pipe_connect(&link->connect, &link->h.pipe, address->path, on_connected);
        return 0;
    }
    (void)uv_tcp_nodelay(&link->h.tcp, 1);
    (void)uv_tcp_keepalive(&link->h.tcp, 1, KEEPALIVE_S);
    rc = uv_tcp_connect(&link->connect, &link->h.tcp, (const struct sockaddr *)&address->ip,
                        on_connected);
    if (rc < 0) {
        weir_redis_link_close(link); /* frees it */
        return WEIR_E_IO;
    }
    return 0;
}

int weir_redis_link_open(uv_loop_t *loop, struct weir_redis_scratch *scratch,
                         const struct weir_redis_address *address,
                         const struct weir_redis_login *login,
                         const struct weir_redis_link_events *events, void *user,
                         struct weir_redis_link **ret_link)
{
    struct weir_redis_link *link = calloc(1, sizeof(*link));
    if (!link) {
        return WEIR_E_NOMEM;
    }
    link->scratch = scratch;
    link->events = *events;
    link->user = user;
    link->is_sentinel = login->is_sentinel;
    weir_buf_init(&link->out, MAX_OUT_BYTES);
    weir_buf_init(&link->cipher, MAX_OUT_BYTES);
    weir_buf_init(&link->sending, MAX_OUT_BYTES);
    link->reader = create_reader(&link->functions);
    int rc = link->reader ? 0 : WEIR_E_NOMEM;
    if (rc == 0 && login->tls) {
        rc = weir_tls_client_create(login->tls, login->tls_name ? login->tls_name : address->name,
                                    &link->tls);
    }
    if (rc < 0) {
        free_link(link);
        return rc;
    }
    add_login(link, login);
    rc = start(loop, link, address);
    if (rc == 0) {
        *ret_link = link;
    }
    return rc;
}
