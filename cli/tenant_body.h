/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The JSON that a `weir tenant` command sends: from --data, from --file, or edited by hand.
 * Ownership: results are the caller's: free(). Threads: [main]. Errors: one sentence. */
#include <yyjson.h>

#include "base/error.h"
#include "cli/command.h"

/* The object in --data, or in --file (JSON; "-" is standard input). *ret_text NULL: neither was
 * given. */
int weir_tenant_body_read(const struct weir_args *args, char **ret_text, struct weir_error *err);
/* The same object with one text member more. */
char *weir_tenant_body_with(const char *text, const char *name, const char *value);
/* Opens $EDITOR on the JSON until it is JSON again. *ret_text NULL: it was left as it was. */
int weir_tenant_body_edit(yyjson_val *value, char **ret_text, struct weir_error *err);
