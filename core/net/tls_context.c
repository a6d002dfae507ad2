/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate in force: reading, checking, changing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "core/net/tls_internal.h"

static char *copied(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* The reason of the last failure, without OpenSSL's numbers. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "unknown error";
}

static int choose_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_n,
                       const unsigned char *offered, unsigned n_offered, void *arg)
{
    static const unsigned char names[] = "\x02h2\x08http/1.1";
    enum { H2_BYTES = 3, ALL_BYTES = sizeof(names) - 1 };
    const struct weir_tls_context *c = arg;
    const unsigned char *known = c->files.has_http2 ? names : names + H2_BYTES;
    unsigned n_known = c->files.has_http2 ? ALL_BYTES : ALL_BYTES - H2_BYTES;
    unsigned char *name;
    (void)ssl;
    if (SSL_select_next_proto(&name, ret_n, known, n_known, offered, n_offered) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

static int load_pair(SSL_CTX *ctx, const struct weir_tls_files *f, struct weir_error *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1) {
        return weir_error_set(err, WEIR_E_IO, "cannot read the certificate %s: %s", f->cert,
                              reason());
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1) {
        return weir_error_set(err, WEIR_E_IO, "cannot use the key %s: %s", f->key, reason());
    }
    return SSL_CTX_check_private_key(ctx) == 1
               ? 0
               : weir_error_set(err, WEIR_E_IO, "the key %s is not that of the certificate %s",
                                f->key, f->cert);
}

static int load_client_ca(SSL_CTX *ctx, const char *file, struct weir_error *err)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (!names || SSL_CTX_load_verify_locations(ctx, file, NULL) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return weir_error_set(err, WEIR_E_IO, "cannot read the certificates of %s: %s", file,
                              reason());
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* which owns them now */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int load(struct weir_tls_context *c, SSL_CTX **ret_ctx, struct weir_error *err)
{
    static const unsigned char session_context[] = "weir";
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    (void)SSL_CTX_set_min_proto_version(ctx, c->files.is_13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20"); /* TLS 1.2: also HTTP/2's */
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do, without memory */
    (void)SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, c);
    int r = load_pair(ctx, &c->files, err);
    if (r == 0 && c->files.client_ca) {
        r = load_client_ca(ctx, c->files.client_ca, err);
    }
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    *ret_ctx = ctx;
    return 0;
}

static time_t end_of(const SSL_CTX *ctx)
{
    struct tm end;
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    return cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1 ? timegm(&end) : 0;
}

static void look(const char *path, struct weir_tls_stamp *ret_stamp)
{
    struct stat s;
    *ret_stamp = (struct weir_tls_stamp){0};
    if (path && stat(path, &s) == 0) {
        *ret_stamp =
            (struct weir_tls_stamp){s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
    }
}

bool weir_tls_context_has_changed(struct weir_tls_context *c)
{
    const char *paths[WEIR_TLS_N_FILES] = {c->files.cert, c->files.key, c->files.client_ca};
    bool changed = false;
    for (size_t i = 0; i < WEIR_TLS_N_FILES; i++) {
        struct weir_tls_stamp now;
        const struct weir_tls_stamp *then = &c->stamps[i];
        look(paths[i], &now);
        changed |= now.inode != then->inode || now.size != then->size ||
                   now.seconds != then->seconds || now.nanoseconds != then->nanoseconds;
        c->stamps[i] = now;
    }
    return changed;
}

int weir_tls_context_create(const struct weir_tls_files *files,
                            struct weir_tls_context **ret_context, struct weir_error *err)
{
    struct weir_tls_context *c = calloc(1, sizeof(*c));
    if (!c) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    (void)pthread_mutex_init(&c->mutex, NULL);
    c->files = *files;
    c->files.cert = copied(files->cert);
    c->files.key = copied(files->key);
    c->files.client_ca = copied(files->client_ca);
    c->bio = weir_tls_make_bio_method();
    bool is_whole = c->files.cert && c->files.key && c->bio && //
                    (c->files.client_ca || !files->client_ca);
    (void)weir_tls_context_has_changed(c); /* before the files are read: a change is seen later */
    int r = is_whole ? load(c, &c->ctx, err) : weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    if (r < 0) {
        weir_tls_context_destroy(c);
        return r;
    }
    *ret_context = c;
    return 0;
}

int weir_tls_context_reload(struct weir_tls_context *c, struct weir_error *err)
{
    SSL_CTX *fresh = NULL;
    int r = load(c, &fresh, err);
    if (r == 0 && end_of(fresh) <= time(NULL)) {
        SSL_CTX_free(fresh);
        return weir_error_set(err, WEIR_E_IO, "the certificate %s has expired", c->files.cert);
    }
    if (r < 0) {
        return r;
    }
    (void)pthread_mutex_lock(&c->mutex);
    SSL_CTX *old = c->ctx;
    c->ctx = fresh;
    (void)pthread_mutex_unlock(&c->mutex);
    SSL_CTX_free(old); /* connections hold references */
    return 0;
}

time_t weir_tls_context_not_after(struct weir_tls_context *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    time_t end = end_of(c->ctx);
    (void)pthread_mutex_unlock(&c->mutex);
    return end;
}

void weir_tls_context_destroy(struct weir_tls_context *c)
{
    if (c) {
        SSL_CTX_free(c->ctx);
        BIO_meth_free(c->bio);
        free((void *)c->files.cert);
        free((void *)c->files.key);
        free((void *)c->files.client_ca);
        (void)pthread_mutex_destroy(&c->mutex);
        free(c);
    }
}
