/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The lists of keys: one tenant's, and all tenants' one behind the other.
 *
 * A page holds `limit` keys of the store at most; a configured tenant's own keys come in front of
 * its first page. `next` is where the following page begins. A page of all tenants looks at
 * KEY_LIST_MAX_TENANTS tenants at most and may be short.
 * Threads: [main]. */
#include "key_op.h"

enum { KEY_LIST_MAX_TENANTS = 64 };

int key_list_tenant(void *arg, weir_req *r);
int key_list_all(void *arg, weir_req *r);
