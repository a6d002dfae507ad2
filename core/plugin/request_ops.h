/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How the plugin host reaches into a request: filled once by core/request.
 *
 * Why: the host must not know the request's layout, so that `weir plugin test` can hand it
 * synthetic requests. The rules of weir/host.h (which field may be set when, max_tokens only down,
 * one answer per hook) are kept by the host before it calls; these functions only read and store.
 * weir_req is an opaque name for the owner's own struct (core: struct weir_request).
 * Threads: the request's loop. Errors: WEIR_E_NOTFOUND for a value that is not set yet. */
#include "weir/answer.h"
#include "weir/host.h"

struct weir_plugin_admin;
struct weir_plugin_run;

struct weir_plugin_request_ops {
    int (*get)(weir_req *, int field, weir_str *out);
    int (*set)(weir_req *, int field, weir_str value); /* copies */
    int (*get_num)(weir_req *, int number, int64_t *out);
    int (*set_num)(weir_req *, int number, int64_t value);
    /* Name in any case; fields of one name are joined by ", ". */
    int (*header)(weir_req *, weir_str name, weir_str *out);
    int (*json)(weir_req *, const char *pointer, weir_str *out);
    /* What will be sent; copies. A later call replaces an earlier one. Empty type, code or message:
     * the usual ones of that status. */
    int (*deny)(weir_req *, int status, weir_str type, weir_str code, weir_str message);
    int (*respond)(weir_req *, int status, weir_str content_type, weir_str body);
    /* Adds a field. WEIR_E_ARG for what HTTP does not allow. */
    int (*set_header)(weir_req *, weir_str name, weir_str value);
    /* secret NULL: the one that is the same everywhere */
    int (*answer_key)(weir_req *, const uint8_t *secret, weir_answer_key *out);
    /* Copies; `source` says who kept it. A later deny or respond replaces it. */
    int (*replay)(weir_req *, weir_str source, const weir_chunk *chunks, size_t n_chunks,
                  const weir_outcome *outcome);
    /* The request's run; NULL for an admin request, which has none. */
    struct weir_plugin_run *(*run)(weir_req *);
    /* … which has this instead; NULL for others. */
    struct weir_plugin_admin *(*admin)(weir_req *);
};
