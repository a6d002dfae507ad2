/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The text of a listen address, understood.
 *
 * Why: configuration and command line use one notation; names are not looked up, because a server
 * must not depend on DNS to start.
 * Ownership: a value; `path` points into the text. Threads: any. */
#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

struct weir_listen_address {
    bool is_unix;
    bool is_any;      /* ":PORT": [::] with IPv4, or 0.0.0.0 where there is no IPv6 */
    const char *path; /* is_unix */
    struct sockaddr_storage address; /* otherwise; AF_INET or AF_INET6 */
};

/* "IPv4:PORT", "[IPv6]:PORT", "localhost:PORT", ":PORT" (every address), "unix:PATH".
 * WEIR_E_ARG and a sentence when it is none of them. */
int weir_listen_address_parse(const char *text, struct weir_listen_address *ret_address,
                              struct weir_error *err);
