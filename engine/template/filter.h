/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Filters by name. Threads: any; const tables. */
#include "engine/template/run.h"

struct weir_tpl_filter {
    const char *name;
    struct weir_tpl_value (*apply)(struct weir_tpl_run *run, struct weir_tpl_value in,
                                   const struct weir_tpl_args *args);
};

/* NULL when there is none of that name. */
const struct weir_tpl_filter *weir_tpl_filter_find(weir_str name);

/* The attribute `a.b.0` (or the index) `path` of an item; the item itself for NULL and None. A part
 * that is undefined becomes *otherwise when that is given. */
struct weir_tpl_value weir_tpl_item_path(struct weir_tpl_run *run, struct weir_tpl_value item,
                                         const struct weir_tpl_value *path,
                                         const struct weir_tpl_value *otherwise);

/* The tables that filter.c searches, each ended by a NULL name. */
extern const struct weir_tpl_filter weir_tpl_text_filters[];
extern const struct weir_tpl_filter weir_tpl_number_filters[];
extern const struct weir_tpl_filter weir_tpl_sequence_filters[];
extern const struct weir_tpl_filter weir_tpl_select_filters[];
