/* SPDX-License-Identifier: Apache-2.0 */
#include "error_body.h"

const char *weir_error_type(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static void add_or_null(struct weir_buf *out, weir_str s)
{
    if (s.n) {
        weir_buf_add_json_str(out, s);
    } else {
        weir_buf_add_text(out, "null");
    }
}

void weir_error_body_write_typed(struct weir_buf *out, weir_str type, weir_str message,
                                 weir_str param, weir_str code)
{
    weir_buf_add_text(out, "{\"error\":{\"message\":");
    weir_buf_add_json_str(out, message);
    weir_buf_add_text(out, ",\"type\":");
    weir_buf_add_json_str(out, type);
    weir_buf_add_text(out, ",\"param\":");
    add_or_null(out, param);
    weir_buf_add_text(out, ",\"code\":");
    add_or_null(out, code);
    weir_buf_add_text(out, "}}");
}

void weir_error_body_write(struct weir_buf *out, unsigned status, weir_str message, weir_str param,
                           weir_str code)
{
    weir_error_body_write_typed(out, weir_str_from(weir_error_type(status)), message, param, code);
}
