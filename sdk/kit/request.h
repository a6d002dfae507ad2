/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A synthetic request: what core/request is to the daemon, this is to the conformance kit.
 *
 * Ownership: texts are copied into the request's arena. Threads: one. Errors: WEIR_E_NOMEM. */
#include <yyjson.h>

#include "core/plugin/admin.h"
#include "core/plugin/run.h"

enum {
    WEIR_KIT_MAX_HEADERS = 32,
    WEIR_KIT_N_FIELDS = WEIR_FIELD_KEY_MODELS + 1,
    WEIR_KIT_N_NUMBERS = WEIR_NUMBER_CACHE_BYTES + 1,
};

struct weir_kit_header {
    weir_str name, value;
};

struct weir_kit_request {
    struct weir_arena arena;
    struct weir_plugin_run run;
    bool is_admin; /* has `admin` in place of a run */
    struct weir_plugin_admin admin;
    enum weir_plugin_admin_outcome admin_outcome; /* after a suspension */
    weir_str fields[WEIR_KIT_N_FIELDS];
    bool has_field[WEIR_KIT_N_FIELDS];
    int64_t numbers[WEIR_KIT_N_NUMBERS];
    bool has_number[WEIR_KIT_N_NUMBERS];
    struct weir_kit_header headers[WEIR_KIT_MAX_HEADERS];
    size_t n_headers;
    yyjson_doc *body;

    /* What plugins answered. */
    int status; /* 0: nothing */
    bool is_respond;
    weir_str type, code, text;
    struct weir_kit_header sent[WEIR_KIT_MAX_HEADERS];
    size_t n_sent;
    uint32_t n_resumed; /* calls of `resumed` */
    enum weir_plugin_outcome outcome;
    uint32_t n_unpaused; /* calls of `output_resumed` */
    enum weir_plugin_outcome output;
};

extern const struct weir_plugin_request_ops weir_kit_request_ops;

/* A POST /v1/chat/completions of model "m" with `body` (JSON). */
int weir_kit_request_init(struct weir_kit_request *r, const char *body);
/* Puts it on a chain; the run is finished by weir_kit_request_finish(). */
int weir_kit_request_begin(struct weir_kit_request *r, struct weir_plugin_chain *chain,
                           struct weir_plugin_loop *loop);
/* Runs a request to the admin API: guard, then the route of method and path; a request without
 * "authorization" is an admin's. The answer is in the request; SUSPENDED: it will be when
 * `n_resumed` has grown. */
enum weir_plugin_admin_outcome weir_kit_request_admin(struct weir_kit_request *r,
                                                      struct weir_plugin_chain *chain,
                                                      struct weir_plugin_loop *loop,
                                                      const char *method, const char *path);
void weir_kit_request_finish(struct weir_kit_request *r);

void weir_kit_request_field(struct weir_kit_request *r, int field, const char *value);
void weir_kit_request_header(struct weir_kit_request *r, const char *name, const char *value);
weir_req *weir_kit_request_handle(struct weir_kit_request *r);
/* A header that plugins set, or the empty string. */
weir_str weir_kit_request_sent(const struct weir_kit_request *r, const char *name);
