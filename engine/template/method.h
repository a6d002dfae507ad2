/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Methods of strings, dicts, lists and loops. Threads: any; const tables. */
#include "engine/template/run.h"

/* Of strings; ended by a NULL name. weir_tpl_method_find() searches it. */
extern const struct weir_tpl_method weir_tpl_text_methods[];
