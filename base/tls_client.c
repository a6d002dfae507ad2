/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tls_client.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { MAX_PIECE = 16384 }; /* bytes encrypted at a time */

struct weir_tls_client_context {
    SSL_CTX *ctx;
    bool is_verified, keeps_session;
    pthread_mutex_t lock; /* guards session */
    SSL_SESSION *session; /* NULL: none */
};

struct weir_tls_client {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    bool has_failed;
};

/* The reason of the last failure, without OpenSSL's numbers. */
static const char *reason(char *to, size_t cap)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    (void)snprintf(to, cap, "%s", text ? text : "unknown error");
    ERR_clear_error();
    return to;
}

/* The newest session, for all that connect until there is a newer one. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct weir_tls_client_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)pthread_mutex_lock(&c->lock);
    SSL_SESSION *old = c->session;
    c->session = session;
    (void)pthread_mutex_unlock(&c->lock);
    SSL_SESSION_free(old);
    return 1; /* it is ours now */
}

static SSL_SESSION *share_session(struct weir_tls_client_context *c)
{
    (void)pthread_mutex_lock(&c->lock);
    SSL_SESSION *session = c->session;
    if (session) {
        (void)SSL_SESSION_up_ref(session);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return session;
}

static int load_files(SSL_CTX *ctx, const struct weir_tls_client_settings *s,
                      struct weir_error *err)
{
    char why[128];
    if (s->ca ? SSL_CTX_load_verify_locations(ctx, s->ca, NULL) != 1
              : SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return weir_error_set(err, WEIR_E_IO, "tls.ca: cannot read the certificates of %s: %s",
                              s->ca ? s->ca : "the system", reason(why, sizeof(why)));
    }
    if (s->cert && SSL_CTX_use_certificate_chain_file(ctx, s->cert) != 1) {
        return weir_error_set(err, WEIR_E_IO, "tls.cert: cannot read the certificate %s: %s",
                              s->cert, reason(why, sizeof(why)));
    }
    if (s->cert && (SSL_CTX_use_PrivateKey_file(ctx, s->key, SSL_FILETYPE_PEM) != 1 ||
                    SSL_CTX_check_private_key(ctx) != 1)) {
        return weir_error_set(err, WEIR_E_IO, "tls.key: cannot use the key %s: %s", s->key,
                              reason(why, sizeof(why)));
    }
    return 0;
}

static int offer_protocols(SSL_CTX *ctx, const char *protocols)
{
    return protocols ? SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)protocols,
                                               (unsigned)strlen(protocols))
                     : 0;
}

int weir_tls_client_context_create(const struct weir_tls_client_settings *settings,
                                   struct weir_tls_client_context **ret_context,
                                   struct weir_error *err)
{
    struct weir_tls_client_context *c = calloc(1, sizeof(*c));
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!c || !ctx || offer_protocols(ctx, settings->protocols) != 0) {
        free(c);
        SSL_CTX_free(ctx);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    c->ctx = ctx;
    c->is_verified = !settings->is_unverified;
    c->keeps_session = settings->keeps_session;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, c->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (c->keeps_session) {
        SSL_CTX_set_app_data(ctx, c);
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
                                                      SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
    }
    int rc = load_files(ctx, settings, err);
    if (rc < 0) {
        weir_tls_client_context_destroy(c);
        return rc;
    }
    *ret_context = c;
    return 0;
}

void weir_tls_client_context_destroy(struct weir_tls_client_context *c)
{
    if (c) {
        SSL_SESSION_free(c->session);
        SSL_CTX_free(c->ctx);
        (void)pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

static bool expect_name(SSL *ssl, const char *name, bool is_verified)
{
    unsigned char address[16];
    bool is_address =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
    if (is_address) {
        return !is_verified || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (!is_verified || SSL_set1_host(ssl, name) == 1) &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

int weir_tls_client_create(struct weir_tls_client_context *context, const char *name,
                           struct weir_tls_client **ret_client)
{
    struct weir_tls_client *t = calloc(1, sizeof(*t));
    if (!t) {
        return WEIR_E_NOMEM;
    }
    t->ssl = SSL_new(context->ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!t->ssl || !in || !out || !expect_name(t->ssl, name, context->is_verified)) {
        BIO_free(in);
        BIO_free(out);
        weir_tls_client_destroy(t);
        return WEIR_E_NOMEM;
    }
    SSL_set_bio(t->ssl, in, out);
    t->in = in;
    t->out = out;
    SSL_SESSION *session = share_session(context);
    if (session) {
        (void)SSL_set_session(t->ssl, session); /* else the handshake is a full one */
        SSL_SESSION_free(session);
    }
    SSL_set_connect_state(t->ssl);
    *ret_client = t;
    return 0;
}

void weir_tls_client_destroy(struct weir_tls_client *t)
{
    if (t) {
        if (t->ssl && SSL_is_init_finished(t->ssl) && !t->has_failed) {
            /* Without this OpenSSL takes the connection for a broken one, and its session with it.
             */
            SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        SSL_free(t->ssl);
        free(t);
    }
}

bool weir_tls_client_speaks(const struct weir_tls_client *t, const char *protocol)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(t->ssl, &name, &n);
    return n == strlen(protocol) && memcmp(name, protocol, n) == 0;
}

int weir_tls_client_feed(struct weir_tls_client *t, const char *bytes, size_t n_bytes)
{
    return BIO_write(t->in, bytes, (int)n_bytes) == (int)n_bytes ? 0 : WEIR_E_NOMEM;
}

int weir_tls_client_read(struct weir_tls_client *t, char *to, size_t cap)
{
    int n = SSL_read(t->ssl, to, (int)cap);
    if (n > 0) {
        return n;
    }
    int why = SSL_get_error(t->ssl, n);
    if (why == SSL_ERROR_ZERO_RETURN) {
        return WEIR_E_GONE;
    }
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    t->has_failed = true;
    return WEIR_E_FORMAT;
}

int weir_tls_client_write(struct weir_tls_client *t, struct weir_buf *plain, struct weir_buf *out)
{
    if (!SSL_is_init_finished(t->ssl)) {
        int n = SSL_do_handshake(t->ssl);
        int why = n == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);
        if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
            return WEIR_E_FORMAT;
        }
    }
    size_t done = 0;
    while (SSL_is_init_finished(t->ssl) && done < plain->len) {
        size_t n = plain->len - done < MAX_PIECE ? plain->len - done : MAX_PIECE;
        if (SSL_write(t->ssl, plain->data + done, (int)n) != (int)n) {
            return WEIR_E_FORMAT; /* memory takes all of it */
        }
        done += n;
    }
    weir_buf_consume(plain, done);
    size_t pending = BIO_ctrl_pending(t->out);
    char *to = pending ? weir_buf_reserve(out, pending) : NULL;
    if (to) {
        int n = BIO_read(t->out, to, (int)pending);
        weir_buf_commit(out, n > 0 ? (size_t)n : 0);
    }
    return out->failed ? WEIR_E_NOMEM : 0;
}

bool weir_tls_client_is_ready(const struct weir_tls_client *t)
{
    return SSL_is_init_finished(t->ssl);
}

void weir_tls_client_why(const struct weir_tls_client *t, char *to, size_t cap)
{
    long verdict = SSL_get_verify_result(t->ssl);
    if (verdict != X509_V_OK) {
        (void)snprintf(to, cap, "TLS: %s", X509_verify_cert_error_string(verdict));
        ERR_clear_error();
        return;
    }
    char text[128];
    (void)snprintf(to, cap, "TLS: %s", reason(text, sizeof(text)));
}
