/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A host for policies without a daemon: a request, a clock that stands still, a store in memory,
 * and what the policy did to them.
 *
 * It runs policies by the same code as the plugin (plugins/lua/call.h), so that check, test, bench
 * and repl cannot disagree with it.
 * Ownership: the stage owns all; texts are copied. Threads: one. Errors: WEIR_E_*. */
#include <yyjson.h>

#include "base/arena.h"
#include "plugins/lua/call.h"

enum {
    LUA_STAGE_MAX_HEADERS = 32,
    LUA_STAGE_MAX_LOGS = 64,
    LUA_STAGE_N_FIELDS = WEIR_FIELD_TAGS + 1,
    LUA_STAGE_N_NUMBERS = WEIR_NUMBER_ARRIVED_US + 1,
};

struct lua_stage_log {
    int level;
    weir_str text;
};

struct weir_store;

struct lua_stage {
    weir_host host; /* first: host functions cast */
    weir_ext_store store;
    struct weir_store *memory;
    struct lua_services services;
    struct lua_version *version;
    struct weir_arena arena; /* of the request */
    uint64_t wall_us, mono_us;
    weir_str fields[LUA_STAGE_N_FIELDS]; /* .p NULL: not set */
    int64_t numbers[LUA_STAGE_N_NUMBERS];
    bool has_number[LUA_STAGE_N_NUMBERS];
    weir_str header_names[LUA_STAGE_MAX_HEADERS], header_values[LUA_STAGE_MAX_HEADERS];
    uint32_t n_headers;
    yyjson_doc *body;
    struct lua_notes *notes;
    struct lua_stage_log logs[LUA_STAGE_MAX_LOGS];
    uint32_t n_logs;
    bool prints_logs; /* to standard error */
    weir_str held;    /* text that on_chunk holds back */
};

int lua_stage_init(struct lua_stage *s, weir_str text, const char *name,
                   char error[LUA_SANDBOX_ERROR_BYTES]);
void lua_stage_finish(struct lua_stage *s);
/* A new request: a streamed chat of model "m" by tenant "test" with 12 prompt tokens. */
void lua_stage_request(struct lua_stage *s);
void lua_stage_field(struct lua_stage *s, int field, weir_str value);
void lua_stage_number(struct lua_stage *s, int number, int64_t value);
int lua_stage_header(struct lua_stage *s, weir_str name, weir_str value);
int lua_stage_body(struct lua_stage *s, weir_str json); /* WEIR_E_FORMAT */

/* Runs a hook to its end. On success the caller looks at *ret_call and ends it; a hook that is not
 * there gives NULL and 0. */
int lua_stage_run(struct lua_stage *s, enum lua_hook hook, const weir_chunk *chunk,
                  const weir_usage *usage, struct lua_call **ret_call,
                  char error[LUA_SANDBOX_ERROR_BYTES]);
/* "model" to its field, "max_tokens" to its number; 0: unknown. */
int lua_stage_field_named(const char *name);
int lua_stage_number_named(const char *name);

/* Reads a policy or test file. NULL: said to standard error. Free with free(). */
char *lua_stage_read_file(const char *path, size_t *ret_n);
