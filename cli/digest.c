/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_BYTES = 1024 * 1024 };

struct stream {
    EVP_MD_CTX *digest;
    unsigned char *piece; /* [PIECE_BYTES] */
    int to;               /* -1: only digest */
};

static int start(struct stream *s, struct weir_error *err)
{
    *s = (struct stream){.digest = EVP_MD_CTX_new(), .piece = malloc(PIECE_BYTES), .to = -1};
    if (!s->digest || !s->piece || EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    return 0;
}

static int write_all(int fd, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno != EINTR) {
            return WEIR_E_IO;
        }
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        }
    }
    return 0;
}

static int pass(struct stream *s, const char *path, struct weir_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
    }
    int r = 0;
    for (bool more = true; more && r == 0;) {
        ssize_t n = read(fd, s->piece, PIECE_BYTES);
        if (n < 0) {
            r = errno == EINTR ? 0
                               : weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
            continue;
        }
        more = n > 0;
        (void)EVP_DigestUpdate(s->digest, s->piece, (size_t)n);
        if (s->to >= 0 && write_all(s->to, s->piece, (size_t)n) < 0) {
            r = weir_error_set(err, WEIR_E_IO, "cannot write the model: %s", strerror(errno));
        }
    }
    close(fd);
    return r;
}

static void finish(struct stream *s, char out[WEIR_DIGEST_HEX_BYTES])
{
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    if (s->digest) {
        (void)EVP_DigestFinal_ex(s->digest, sum, NULL);
    }
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
    }
    EVP_MD_CTX_free(s->digest);
    free(s->piece);
}

int weir_digest_file(const char *path, char out[WEIR_DIGEST_HEX_BYTES], struct weir_error *err)
{
    struct stream s;
    int r = start(&s, err);
    if (r == 0) {
        r = pass(&s, path, err);
    }
    finish(&s, out);
    return r;
}

int weir_digest_join(const char *const *pieces, size_t n, const char *to,
                     char out[WEIR_DIGEST_HEX_BYTES], struct weir_error *err)
{
    struct stream s;
    int r = start(&s, err);
    if (r == 0) {
        s.to = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (s.to < 0) {
            r = weir_error_set(err, WEIR_E_IO, "%s: %s", to, strerror(errno));
        }
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        r = pass(&s, pieces[i], err);
    }
    if (r == 0 && fsync(s.to) < 0) {
        r = weir_error_set(err, WEIR_E_IO, "%s: %s", to, strerror(errno));
    }
    if (s.to >= 0) {
        close(s.to);
    }
    finish(&s, out);
    return r;
}
