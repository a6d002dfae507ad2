/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One operation of the key routes, from the hook that began it to the answer.
 *
 * Ownership: the operation owns itself until key_op_answer(), key_op_error() or key_op_fail(), each
 * of which ends and frees it; exactly one of them is called.
 * Threads: [main]. */
#include "auth.h"

enum { KEY_OP_CALLER_BYTES = 200 };

struct key_op {
    struct auth *auth;
    weir_ticket ticket;
    struct auth_name name; /* points into the texts below */
    char tenant[AUTH_MAX_TENANT_BYTES + 1], id[AUTH_ID_BYTES + 1];
    char caller[KEY_OP_CALLER_BYTES];   /* "tenant/key" for the record */
    bool bound;                         /* the caller may act for one tenant only */
    char *if_match;                     /* NULL: not asked for */
    char *body;                         /* of the request; never NULL */
    char *record;                       /* to be written, owned: free() */
    char key_text[AUTH_KEY_TEXT_BYTES]; /* a fresh secret, to be shown */
    uint64_t grace_us, version;
    uint32_t status; /* of success */
};

/* Reads the request and suspends it: WEIR_SUSPEND with *ret_op; any other value is what the hook
 * returns, the request is answered. change: If-Match must be there. The tenant is the path's, or
 * the body's "tenant". */
int key_op_begin(struct auth *a, weir_req *r, bool change, struct key_op **ret_op);
/* The same for lists. all: of every tenant; op->name.tenant is then empty, or the caller's own. */
int key_op_begin_list(struct auth *a, weir_req *r, bool all, struct key_op **ret_op);
void key_op_set_id(struct key_op *op, const char *id);
bool key_op_matches(const struct key_op *op, const char *etag);

/* etag and body may be NULL. */
void key_op_answer(struct key_op *op, uint32_t status, const char *etag, const char *body);
void key_op_error(struct key_op *op, uint32_t status, const char *code, const char *message);
void key_op_fail(struct key_op *op, int rc); /* what the store said */

/* The on_resume of every route. */
int key_op_resumed(void *arg, weir_req *r, int rc, weir_str data);
/* Answers that there is no such tenant; gives what the hook returns. */
int key_op_no_tenant(const struct auth *a, weir_req *r, weir_str tenant);
