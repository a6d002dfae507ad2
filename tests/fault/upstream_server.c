/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/support/cmocka.h"
#include "weir/backend_stream.h"

enum { REQUEST_BYTES = 8192, N_KINDS = WEIR_GENERATION_EMBEDDING + 1, MAX_STREAMS = 64 };

struct upstream_server {
    int listener;
    uint16_t port;
    pthread_t thread;
    SSL_CTX *tls; /* NULL: plain */
};

static const char *const answers[N_KINDS] = {
    [WEIR_GENERATION_CHAT] =
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hello "
        "there\",\"tool_calls\":[{\"id\":\"c\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}",
    [WEIR_GENERATION_COMPLETION] = "{\"choices\":[{\"text\":\"ab\",\"logprobs\":{\"tokens\":[\"a\","
                                   "\"b\"],\"token_logprobs\":[-1,-2],"
                                   "\"top_logprobs\":[{\"a\":-1},{\"b\":-2}],\"text_offset\":[0,1]}"
                                   ",\"finish_reason\":\"length\"}]}",
    [WEIR_GENERATION_EMBEDDING] =
        "{\"data\":[{\"index\":0,\"embedding\":[0.5,1]},{\"index\":1,\"embedding\":[2]}],"
        "\"usage\":{\"prompt_tokens\":3}}",
};
static const char events[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
    "[DONE]\n\n";

static const char *body_for(const char *request, bool stream)
{
    return stream                            ? events
           : strstr(request, "\"messages\"") ? answers[WEIR_GENERATION_CHAT]
           : strstr(request, "\"input\"")    ? answers[WEIR_GENERATION_EMBEDDING]
                                             : answers[WEIR_GENERATION_COMPLETION];
}

/* ---- a connection ---- */

struct peer {
    int fd;
    SSL *tls; /* NULL: plain */
};

static ssize_t take(struct peer *p, void *to, size_t n)
{
    return p->tls ? SSL_read(p->tls, to, (int)n) : read(p->fd, to, n);
}

static bool give(struct peer *p, const void *from, size_t n)
{
    while (n > 0) {
        ssize_t done = p->tls ? SSL_write(p->tls, from, (int)n) : write(p->fd, from, n);
        if (done <= 0) {
            return false;
        }
        from = (const char *)from + done;
        n -= (size_t)done;
    }
    return true;
}

/* ---- HTTP/1.1 ---- */

static bool answer_h1(struct peer *p, const char *request)
{
    char text[2048];
    bool stream = strstr(request, "text/event-stream") != NULL;
    const char *body = body_for(request, stream);
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                     stream ? "text/event-stream" : "application/json", strlen(body), body);
    return give(p, text, (size_t)n);
}

/* True: the head and as many bytes behind it as it says. */
static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
    return end && length && strlen(end + 4) >= strtoul(length + 16, NULL, 10);
}

/* `request` holds the first n bytes. */
static void serve_h1(struct peer *p, char *request, size_t n)
{
    ssize_t got = 0;
    do {
        n += (size_t)got;
        request[n] = '\0';
        if (is_whole(request)) {
            if (!answer_h1(p, request)) {
                return;
            }
            n = 0;
        }
    } while ((got = take(p, request + n, REQUEST_BYTES - 1 - n)) > 0);
}

/* ---- HTTP/2 ---- */

struct stream {
    int32_t id; /* 0: free */
    char body[1024];
    size_t n;
    bool streams;
    const char *answer;
    size_t at;
};

struct session {
    struct peer *peer;
    struct stream streams[MAX_STREAMS];
};

static struct stream *find(struct session *s, int32_t id)
{
    for (int i = 0; i < MAX_STREAMS; i++) {
        if (s->streams[i].id == id) {
            return &s->streams[i];
        }
    }
    abort(); /* more at a time than the test has */
}

static ssize_t send_some(nghttp2_session *h2, const uint8_t *data, size_t n, int flags, void *user)
{
    struct session *s = user;
    (void)h2, (void)flags;
    return give(s->peer, data, n) ? (ssize_t)n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    (void)h2;
    *find(user, 0) = (struct stream){.id = frame->hd.stream_id};
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
    (void)h2, (void)flags;
    if (n_name == 6 && memcmp(name, "accept", 6) == 0) {
        find(user, frame->hd.stream_id)->streams = memmem(value, n_value, "event", 5) != NULL;
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *user)
{
    struct stream *st = find(user, id);
    (void)h2, (void)flags;
    if (n >= sizeof(st->body) - st->n) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(st->body + st->n, data, n);
    st->n += n;
    return 0;
}

static ssize_t read_answer(nghttp2_session *h2, int32_t id, uint8_t *to, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *st = source->ptr;
    size_t left = strlen(st->answer) - st->at, n = left < room ? left : room;
    (void)h2, (void)id, (void)user;
    memcpy(to, st->answer + st->at, n);
    st->at += n;
    *flags |= n == left ? NGHTTP2_DATA_FLAG_EOF : 0;
    return (ssize_t)n;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!ends || (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)) {
        return 0;
    }
    struct stream *st = find(user, frame->hd.stream_id);
    st->answer = body_for(st->body, st->streams);
    const char *type = st->streams ? "text/event-stream" : "application/json";
    nghttp2_nv list[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"content-type", (uint8_t *)type, 12, strlen(type), NGHTTP2_NV_FLAG_NONE},
    };
    nghttp2_data_provider provider = {.source = {.ptr = st}, .read_callback = read_answer};
    return nghttp2_submit_response(h2, st->id, list, 2, &provider);
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)h2, (void)code;
    find(user, id)->id = 0;
    return 0;
}

static void serve_h2(struct peer *p, uint8_t *bytes, size_t n)
{
    struct session s = {.peer = p};
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *h2 = NULL;
    (void)nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, send_some);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    (void)nghttp2_session_server_new(&h2, callbacks, &s);
    (void)nghttp2_submit_settings(h2, NGHTTP2_FLAG_NONE, NULL, 0);
    ssize_t got = (ssize_t)n;
    while (got > 0 && nghttp2_session_mem_recv(h2, bytes, (size_t)got) >= 0 &&
           nghttp2_session_send(h2) == 0) {
        got = take(p, bytes, REQUEST_BYTES - 1);
    }
    nghttp2_session_del(h2);
    nghttp2_session_callbacks_del(callbacks);
}

/* ---- connections ---- */

static void serve_peer(struct peer *p)
{
    char bytes[REQUEST_BYTES];
    ssize_t n = take(p, bytes, sizeof(bytes) - 1);
    if (n >= 3 && memcmp(bytes, "PRI", 3) == 0) {
        serve_h2(p, (uint8_t *)bytes, (size_t)n);
    } else if (n > 0) {
        serve_h1(p, bytes, (size_t)n);
    }
}

struct accepted {
    struct peer peer;
    SSL_CTX *tls;
};

static void *serve_one(void *arg)
{
    struct accepted a = *(struct accepted *)arg;
    OPENSSL_free(arg);
    if (a.tls) {
        a.peer.tls = SSL_new(a.tls);
        (void)SSL_set_fd(a.peer.tls, a.peer.fd);
    }
    if (!a.tls || SSL_accept(a.peer.tls) == 1) {
        serve_peer(&a.peer);
    }
    SSL_free(a.peer.tls);
    (void)close(a.peer.fd);
    return NULL;
}

static void *serve(void *arg)
{
    struct upstream_server *s = arg;
    int fd = 0;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        pthread_t thread;
        struct accepted *a = OPENSSL_zalloc(sizeof(*a));
        *a = (struct accepted){.peer = {.fd = fd}, .tls = s->tls};
        if (pthread_create(&thread, NULL, serve_one, a) == 0) {
            (void)pthread_detach(thread);
        } else {
            OPENSSL_free(a);
            (void)close(fd);
        }
    }
    return NULL;
}

/* ---- TLS ---- */

static int choose_protocol(SSL *tls, const unsigned char **out, unsigned char *n_out,
                           const unsigned char *in, unsigned n_in, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)tls, (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, n_out, ours, sizeof(ours) - 1,
                                 in, n_in) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

/* With a certificate that nobody need trust. */
static SSL_CTX *make_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    (void)X509_set_version(cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    (void)X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                     -1, -1, 0);
    (void)X509_set_issuer_name(cert, name);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(tls, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, key), 1);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return tls;
}

/* ---- life ---- */

struct upstream_server *upstream_server_start(bool tls)
{
    struct upstream_server *s = OPENSSL_zalloc(sizeof(*s));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    (void)signal(SIGPIPE, SIG_IGN);
    s->tls = tls ? make_tls() : NULL;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(s->listener, 64), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &n), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

uint16_t upstream_server_port(const struct upstream_server *s)
{
    return s->port;
}

void upstream_server_end(struct upstream_server *s)
{
    (void)shutdown(s->listener, SHUT_RDWR);
    (void)close(s->listener);
    (void)pthread_join(s->thread, NULL);
    SSL_CTX_free(s->tls); /* counted: connections that still end have their own */
    OPENSSL_free(s);
}
