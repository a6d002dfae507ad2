/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One operation of the policy routes, from the hook that began it to the answer.
 *
 * Ownership: the operation owns itself until admin_op_answer(), admin_op_error() or
 * admin_op_fail(), each of which ends and frees it; exactly one of them is called. Threads: [main].
 */
#include "records.h"

enum { ADMIN_OP_CALLER_BYTES = 200, ADMIN_OP_ROLE_BYTES = 16 };

struct admin_op {
    struct lua_plugin *p;
    weir_ticket ticket;
    char tenant[LUA_MAX_TENANT_BYTES + 1];
    char caller[ADMIN_OP_CALLER_BYTES]; /* "tenant/key" */
    char *if_match;                     /* NULL: not asked for */
    char *body;                         /* of the request; never NULL */
    uint32_t version;                   /* that the path names; 0: none */
    char role[ADMIN_OP_ROLE_BYTES];     /* the same place, when it is a word */
    struct head head;
    uint64_t head_version;              /* of its record; 0: there is none */
    int (*change)(struct admin_op *op); /* of the head; < 0: answered */
    double percent;
    uint32_t tries;
    char *source, *comment; /* of an upload */
    char *list;             /* JSON that grows */
    size_t n_list;
    uint32_t old; /* version that goes since there are newer ones; 0: none */
};

/* Reads the request and suspends it: WEIR_SUSPEND with *ret_op; any other value is what the hook
 * returns. change: If-Match must be there. */
int admin_op_begin(struct lua_plugin *p, weir_req *r, bool change, struct admin_op **ret_op);
/* Is the head what the caller has seen? False: answered. */
bool admin_op_matches(struct admin_op *op);

void admin_op_answer(struct admin_op *op, uint32_t status, bool with_etag, const char *body);
void admin_op_error(struct admin_op *op, uint32_t status, const char *code, const char *message);
void admin_op_fail(struct admin_op *op, int rc); /* what the store said */
int admin_op_resumed(void *plugin, weir_req *r, int rc,
                     weir_str data); /* on_resume of the routes */

/* Asks the store for the tenant's head, or for the version that the path names; a failure ends the
 * operation. */
void admin_op_find_head(struct admin_op *op, weir_store_done then);
void admin_op_find_version(struct admin_op *op, weir_store_done then);
/* Takes the head out of the store's answer. False: answered. */
bool admin_op_read_head(struct admin_op *op, const weir_store_result *result);
char *admin_op_head_body(const struct admin_op *op); /* as JSON; free(); NULL: no memory */

/* admin_read.c: routes that read. */
int admin_get_version(void *plugin, weir_req *r);
int admin_get_versions(void *plugin, weir_req *r);
/* admin.c: defines the routes. */
int admin_define(struct lua_plugin *p);
