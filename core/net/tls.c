/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection over bytes in memory. */
#include "core/net/tls.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "core/net/tls_internal.h"

enum {
    RECORD_BYTES = 16 * 1024,
    MAX_OUTPUT_BYTES = 256 * 1024 /* handshake, a record and alerts; more is an attack */
};

struct weir_tls {
    SSL *ssl;
    const char *in; /* lent */
    size_t n_in;
    struct weir_buf out;
};

static int bio_read(BIO *bio, char *to, size_t cap, size_t *ret_n)
{
    struct weir_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->n_in == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size_t n = t->n_in < cap ? t->n_in : cap;
    memcpy(to, t->in, n);
    t->in += n;
    t->n_in -= n;
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t n, size_t *ret_n)
{
    struct weir_tls *t = BIO_get_data(bio);
    weir_buf_add(&t->out, bytes, n);
    *ret_n = n;
    return !t->out.failed;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing waits; all else is not known */
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *weir_tls_make_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir");
    if (m) {
        (void)BIO_meth_set_read_ex(m, bio_read);
        (void)BIO_meth_set_write_ex(m, bio_write);
        (void)BIO_meth_set_ctrl(m, bio_ctrl);
        (void)BIO_meth_set_create(m, bio_create);
    }
    return m;
}

int weir_tls_create(struct weir_tls_context *context, struct weir_tls **ret_tls)
{
    struct weir_tls *t = calloc(1, sizeof(*t));
    if (!t) {
        return WEIR_E_NOMEM;
    }
    weir_buf_init(&t->out, MAX_OUTPUT_BYTES);
    (void)pthread_mutex_lock(&context->mutex);
    t->ssl = SSL_new(context->ctx); /* holds the context from here on */
    (void)pthread_mutex_unlock(&context->mutex);
    BIO *bio = BIO_new(context->bio);
    if (!t->ssl || !bio) {
        BIO_free(bio);
        weir_tls_destroy(t);
        ERR_clear_error();
        return WEIR_E_NOMEM;
    }
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_accept_state(t->ssl);
    *ret_tls = t;
    return WEIR_OK;
}

void weir_tls_destroy(struct weir_tls *t)
{
    if (t) {
        SSL_free(t->ssl);
        weir_buf_finish(&t->out);
        free(t);
    }
}

void weir_tls_feed(struct weir_tls *t, const char *bytes, size_t n_bytes)
{
    t->in = bytes;
    t->n_in = n_bytes;
}

int weir_tls_read(struct weir_tls *t, char *to, size_t cap)
{
    ERR_clear_error(); /* what others left would be taken for ours */
    int n = SSL_read(t->ssl, to, cap < INT_MAX ? (int)cap : INT_MAX);
    if (n > 0) {
        return n;
    }
    int why = SSL_get_error(t->ssl, n);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ) {
        return t->out.failed ? WEIR_E_NOMEM : 0;
    }
    return why == SSL_ERROR_ZERO_RETURN ? WEIR_E_GONE : WEIR_E_FORMAT;
}

int weir_tls_write(struct weir_tls *t, const char *bytes, size_t n_bytes, size_t *ret_n)
{
    *ret_n = 0;
    if (n_bytes == 0 || !SSL_is_init_finished(t->ssl)) {
        return WEIR_OK;
    }
    int n = n_bytes < RECORD_BYTES ? (int)n_bytes : RECORD_BYTES;
    ERR_clear_error();
    if (SSL_write(t->ssl, bytes, n) != n) {
        ERR_clear_error();
        return WEIR_E_FORMAT; /* memory takes all of it, unless there is none left */
    }
    *ret_n = (size_t)n;
    return WEIR_OK;
}

void weir_tls_close(struct weir_tls *t)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl)) {
        (void)SSL_shutdown(t->ssl);
    }
    ERR_clear_error();
}

struct weir_buf *weir_tls_output(struct weir_tls *t)
{
    return &t->out;
}

bool weir_tls_is_ready(const struct weir_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

bool weir_tls_is_http2(const struct weir_tls *t)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}
