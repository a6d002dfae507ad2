/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

int weir_refusal_set(weir_refusal *refusal, const char *param, const char *code, const char *fmt,
                     ...)
{
    refusal->status = 400;
    (void)snprintf(refusal->param, sizeof(refusal->param), "%s", param);
    (void)snprintf(refusal->code, sizeof(refusal->code), "%s", code);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(refusal->message, sizeof(refusal->message), fmt, ap);
    va_end(ap);
    return WEIR_E_ARG;
}
