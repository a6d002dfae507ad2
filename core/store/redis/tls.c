/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { MAX_PIECE = 16384 }; /* bytes encrypted at a time */

struct weir_redis_tls_context {
    SSL_CTX *ctx;
};

struct weir_redis_tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
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

static int load_files(SSL_CTX *ctx, const char *ca, const char *cert, const char *key,
                      struct weir_error *err)
{
    char why[128];
    if (ca ? SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1
           : SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return weir_error_set(err, WEIR_E_IO, "cannot read the certificates of %s: %s",
                              ca ? ca : "the system", reason(why, sizeof(why)));
    }
    if (cert && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        return weir_error_set(err, WEIR_E_IO, "cannot read the certificate %s: %s", cert,
                              reason(why, sizeof(why)));
    }
    if (cert && (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
                 SSL_CTX_check_private_key(ctx) != 1)) {
        return weir_error_set(err, WEIR_E_IO, "cannot use the key %s: %s", key,
                              reason(why, sizeof(why)));
    }
    return 0;
}

int weir_redis_tls_context_create(const char *ca, const char *cert, const char *key,
                                  struct weir_redis_tls_context **ret_context,
                                  struct weir_error *err)
{
    struct weir_redis_tls_context *c = calloc(1, sizeof(*c));
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!c || !ctx) {
        free(c);
        SSL_CTX_free(ctx);
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    c->ctx = ctx;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    int rc = load_files(ctx, ca, cert, key, err);
    if (rc < 0) {
        weir_redis_tls_context_destroy(c);
        return rc;
    }
    *ret_context = c;
    return 0;
}

void weir_redis_tls_context_destroy(struct weir_redis_tls_context *c)
{
    if (c) {
        SSL_CTX_free(c->ctx);
        free(c);
    }
}

static bool expect_name(SSL *ssl, const char *name)
{
    unsigned char address[16];
    bool is_address =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
    if (is_address) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int weir_redis_tls_create(struct weir_redis_tls_context *context, const char *name,
                          struct weir_redis_tls **ret_tls)
{
    struct weir_redis_tls *t = calloc(1, sizeof(*t));
    if (!t) {
        return WEIR_E_NOMEM;
    }
    t->ssl = SSL_new(context->ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!t->ssl || !in || !out || !expect_name(t->ssl, name)) {
        BIO_free(in);
        BIO_free(out);
        weir_redis_tls_destroy(t);
        return WEIR_E_NOMEM;
    }
    SSL_set_bio(t->ssl, in, out);
    t->in = in;
    t->out = out;
    SSL_set_connect_state(t->ssl);
    *ret_tls = t;
    return 0;
}

void weir_redis_tls_destroy(struct weir_redis_tls *t)
{
    if (t) {
        SSL_free(t->ssl);
        free(t);
    }
}

int weir_redis_tls_feed(struct weir_redis_tls *t, const char *bytes, size_t n_bytes)
{
    return BIO_write(t->in, bytes, (int)n_bytes) == (int)n_bytes ? 0 : WEIR_E_NOMEM;
}

int weir_redis_tls_read(struct weir_redis_tls *t, char *to, size_t cap)
{
    int n = SSL_read(t->ssl, to, (int)cap);
    if (n > 0) {
        return n;
    }
    int why = SSL_get_error(t->ssl, n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : WEIR_E_FORMAT;
}

int weir_redis_tls_write(struct weir_redis_tls *t, struct weir_buf *plain, struct weir_buf *out)
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

bool weir_redis_tls_is_ready(const struct weir_redis_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

void weir_redis_tls_why(const struct weir_redis_tls *t, char *to, size_t cap)
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
