/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The service classes, in the order in which queues serve them. Threads: any. */
#include "weir/types.h"

enum weir_class {
    WEIR_CLASS_CRITICAL_API = 0,
    WEIR_CLASS_INTERACTIVE_UI = 1,
    WEIR_CLASS_BATCH = 2,
};

/* "critical_api" and so on; never NULL. */
const char *weir_class_name(enum weir_class c);
/* WEIR_E_ARG for an unknown name. */
int weir_class_parse(weir_str name, enum weir_class *ret_class);
