/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* store.url taken apart.
 *
 *   redis://[[user]:password@]host[:6379][/db]        rediss:// the same over TLS
 *   redis+unix:///path/of/socket[?db=N]
 *   redis+sentinel://[[user]:password@]host[:26379][,host…]/master[/db]   rediss+sentinel://
 *
 * User and password are percent-decoded; an IPv6 address stands in brackets.
 * Threads: any. Errors: WEIR_E_ARG with a sentence that never shows the password. */
#include <stdbool.h>

#include "base/error.h"

enum { WEIR_STORE_URL_MAX_HOSTS = 16 };

enum weir_store_url_kind { WEIR_STORE_URL_TCP, WEIR_STORE_URL_UNIX, WEIR_STORE_URL_SENTINEL };

struct weir_store_host {
    char name[256]; /* without brackets */
    uint16_t port;
};

struct weir_store_url {
    enum weir_store_url_kind kind;
    bool tls;
    uint32_t n_hosts;
    struct weir_store_host hosts[WEIR_STORE_URL_MAX_HOSTS];
    char path[108];   /* UNIX */
    char master[128]; /* SENTINEL */
    char user[256], password[512];
    uint32_t db;
};

int weir_store_url_parse(const char *text, struct weir_store_url *ret_url, struct weir_error *err);
