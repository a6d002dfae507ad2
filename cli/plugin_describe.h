/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a plugin says of itself, asked in a child process: a plugin that crashes while it is loaded
 * must not end `weir plugin list`.
 *
 * Ownership: *ret_json is the caller's: yyjson_doc_free(). Threads: [main], no others running.
 * Errors: a sentence. */
#include <yyjson.h>

#include "base/error.h"

/* {"name","version","license","description","path","sha256","abi","min_host_minor","provides":[],
 * "needs":[],"wants":[],"after":[],"before":[],"hooks":[],"req_state_bytes","unloadable","schema"}
 */
int weir_plugin_describe(const char *path, yyjson_doc **ret_json, struct weir_error *err);

/* Prints each step of loading; 0 when all succeeded. */
int weir_plugin_why(const char *path);
