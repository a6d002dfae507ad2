/* SPDX-License-Identifier: Apache-2.0 */
#include "etag.h"

#include "core/request/answer.h"
#include "core/request/request.h"

static weir_str trim(weir_str s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t')) {
        s = (weir_str){s.p + 1, s.n - 1};
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Our tags hold no comma. Weak tags never match here. */
static bool list_has(weir_str list, const char *etag)
{
    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        weir_str one = {list.p, comma ? (size_t)(comma - list.p) : list.n};
        size_t used = one.n + (comma != NULL);
        list = (weir_str){list.p + used, list.n - used};
        one = trim(one);
        if (weir_str_is(one, etag) || weir_str_is(one, "*")) {
            return true;
        }
    }
    return false;
}

bool weir_etag_matches(struct weir_request *r, const char *etag)
{
    weir_str given = weir_http_header(r->ex, "if-match");
    if (given.n == 0) {
        weir_answer_error(r, 428, "", "if_match_required",
                          "Send If-Match with the ETag of what you want to change, or *.");
        return false;
    }
    if (!list_has(given, etag)) {
        (void)weir_http_add_header(r->ex, weir_str_from("ETag"), weir_str_from(etag));
        weir_answer_error(r, 412, "", "changed_meanwhile",
                          "It was changed meanwhile: read it again and repeat the change.");
        return false;
    }
    return true;
}
