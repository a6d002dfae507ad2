/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A thread that posts one body at a time with libcurl.
 *
 * Why a thread: libcurl's simple interface blocks, and no hook may. Redirects are not followed, and
 * only http and https are spoken. Threads: all [main]; done(arg) runs on [main] by host->post.
 * Ownership: send() takes the body (malloc). Errors: none reach the caller but "not 2xx". */
#include <stdbool.h>

#include "config.h"
#include "weir/host.h"

struct sender;

struct sender *sender_create(const weir_host *host, const struct billing_config *config);
/* Ends what is being sent; done() is not called any more. NULL ok. */
void sender_destroy(struct sender *s);
/* One at a time. */
void sender_send(struct sender *s, char *body, size_t n_bytes, void (*done)(void *arg), void *arg);
/* Inside done(): did the receiver answer 2xx? */
bool sender_take_result(struct sender *s);
