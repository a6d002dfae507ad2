/* SPDX-License-Identifier: Apache-2.0 */
#include "service_class.h"

static const char *const names[] = {
    [WEIR_CLASS_CRITICAL_API] = "critical_api",
    [WEIR_CLASS_INTERACTIVE_UI] = "interactive_ui",
    [WEIR_CLASS_BATCH] = "batch",
};

const char *weir_class_name(enum weir_class c)
{
    return names[c];
}

int weir_class_parse(weir_str name, enum weir_class *ret_class)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (weir_str_is(name, names[i])) {
            *ret_class = (enum weir_class)i;
            return 0;
        }
    }
    return WEIR_E_ARG;
}
