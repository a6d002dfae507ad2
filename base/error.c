/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <stdio.h>

int(weir_error_set)(struct weir_error *err, int code, const char *fmt, ...)
{
    if (!err) {
        return code;
    }
    err->code = code;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    return code;
}

int(weir_error_prefix)(struct weir_error *err, const char *fmt, ...)
{
    if (!err) {
        return WEIR_E_INTERNAL;
    }
    char old[sizeof(err->message)];
    memcpy(old, err->message, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at + 2 < sizeof(err->message)) {
        memcpy(err->message + at, ": ", 2);
        at += 2;
        size_t len = strnlen(old, sizeof(err->message) - 1 - at);
        memcpy(err->message + at, old, len);
        err->message[at + len] = '\0';
    }
    return err->code;
}

const char *weir_error_name(int code)
{
    switch (code) {
    case WEIR_OK: return "ok";
    case WEIR_E_ARG: return "invalid value";
    case WEIR_E_NOMEM: return "out of memory";
    case WEIR_E_GONE: return "gone";
    case WEIR_E_UNSUPPORTED: return "unsupported";
    case WEIR_E_BUSY: return "busy";
    case WEIR_E_TIMEOUT: return "timed out";
    case WEIR_E_DEVICE: return "device failed";
    case WEIR_E_INTERNAL: return "internal error";
    case WEIR_E_IO: return "input/output error";
    case WEIR_E_NOTFOUND: return "not found";
    case WEIR_E_FORMAT: return "malformed";
    case WEIR_E_CANCELLED: return "cancelled";
    case WEIR_E_TOOBIG: return "too large";
    default: return "unknown error";
    }
}
