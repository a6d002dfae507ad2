/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What tls.c and tls_context.c share. Private to core/net. Ownership, threads: see tls.h. */
#include <pthread.h>
#include <sys/types.h>

#include <openssl/ssl.h>

#include "core/net/tls.h"

enum { WEIR_TLS_N_FILES = 3 }; /* cert, key, client_ca */

struct weir_tls_stamp { /* tells a file from what it was; all 0: not there */
    ino_t inode;
    off_t size;
    time_t seconds;
    long nanoseconds;
};

struct weir_tls_context {
    struct weir_tls_files files;
    struct weir_tls_stamp stamps[WEIR_TLS_N_FILES];
    BIO_METHOD *bio;
    pthread_mutex_t mutex; /* guards `ctx`, which a reload swaps */
    SSL_CTX *ctx;
};

/* Reads what feed() lent and writes to the connection's output, so that no byte is kept twice. */
BIO_METHOD *weir_tls_make_bio_method(void);
