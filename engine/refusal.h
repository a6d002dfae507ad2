/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Says what the client must mend: a 400 with parameter, code and a sentence. Threads: any. */
#include "weir/backend_stream.h"

/* Fills *refusal; returns WEIR_E_ARG, so that callers can `return weir_refusal_set(...)`. */
int weir_refusal_set(weir_refusal *refusal, const char *param, const char *code, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));
