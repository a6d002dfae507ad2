/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `weir plugin new`: a folder with a plugin that builds and passes its test untouched. */
#include <stdbool.h>

/* Returns an exit code; has printed what is to know. */
int weir_plugin_new(const char *name, bool backend);
