/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The tenants' versions in the store, and keeping this replica's table up to date with them.
 *
 * Two kinds of records: the head of a tenant ({"next":4,"active":3,...}), in one collection of the
 * whole installation so that all are listed in few calls; and versions, immutable, under the tenant
 * itself, so that they go when it is erased. Whoever changes a head publishes the tenant's name;
 * each replica then reads the head, compiles what it does not have, and swaps. A version that does
 * not compile here leaves what there was. Heads are also listed at the start, every half minute,
 * and after the connection was lost. Ownership: the plugin's. Threads: [main]. */
#include "instance.h"

enum { HEAD_MAX_HISTORY = 16, HEAD_JSON_BYTES = 512 };

#define RECORDS_HEADS "lua.policies"    /* collection of "", and the channel */
#define RECORDS_VERSIONS "lua.versions" /* collection of each tenant */

struct head { /* version numbers; 0: none */
    uint32_t next, active, canary, shadow;
    double percent;
    uint32_t history[HEAD_MAX_HISTORY], n_history; /* active before, the latest last */
};

void head_read(weir_str json, struct head *ret_head);
weir_str head_write(const struct head *head, char out[HEAD_JSON_BYTES]);
/* "0000000003" */
void head_version_name(uint32_t number, char out[16]);

int records_create(struct lua_plugin *p, struct records **ret_records);
void records_destroy(struct records *r); /* NULL ok */
/* Reads a tenant's head now; done(arg) (NULL ok) when the table has it. */
void records_sync(struct records *r, weir_str tenant, void (*done)(void *arg), void *arg);
