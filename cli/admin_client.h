/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Calls of commands to a running daemon's admin API.
 *
 * Where: --admin, else $WEIR_ADMIN, else http://127.0.0.1:9090. The key: $WEIR_ADMIN_KEY; never on
 * the command line, where others can read it.
 * Ownership: an answer is freed by weir_admin_answer_finish(). Threads: [main].
 * Errors: one sentence; an answer of 400 and above is one, with the API's own message. */
#include <yyjson.h>

#include "cli/command.h"
#include "cli/http_call.h"

struct weir_admin_answer {
    int status;
    char etag[WEIR_HTTP_CALL_ETAG_BYTES];
    yyjson_doc *json; /* NULL: no body, or no JSON */
};

struct weir_admin_request {
    const struct weir_args *args; /* has --admin */
    const char *method;
    const char *path; /* from the root, encoded */
    const char *body; /* JSON; NULL: none */
    const char *if_match;
};

int weir_admin_call(const struct weir_admin_request *request, struct weir_admin_answer *ret_answer,
                    struct weir_error *err);
void weir_admin_answer_finish(struct weir_admin_answer *answer);

/* Percent-encodes what a path's part may not hold. False: it does not fit. */
bool weir_admin_encode(const char *part, char *out, size_t size);
/* Prints the object or array as indented JSON. */
void weir_admin_print(yyjson_val *value);

/* All pages of a list that has "data", "has_more" and "next": fn for each item. */
int weir_admin_each(const struct weir_args *args, const char *path,
                    void (*fn)(void *arg, yyjson_val *item), void *arg, struct weir_error *err);

#define WEIR_ADMIN_OPTION                                                                          \
    {                                                                                              \
        "admin", 0, "URL",                                                                         \
            "where; default $WEIR_ADMIN, else http://127.0.0.1:9090"            \
    }
