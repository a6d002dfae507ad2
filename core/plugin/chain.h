/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugins that requests run through, in the order of the configuration; immutable.
 *
 * Ownership: reference-counted; a request holds the chain with which it began. The last unref, from
 * any thread, hands the chain to [main], which destroys the instances.
 * Threads: [any], unless said otherwise. */
#include "base/buf.h"
#include "core/plugin/plugins.h"

struct weir_plugin_chain *weir_plugin_chain_ref(struct weir_plugin_chain *chain);
void weir_plugin_chain_unref(struct weir_plugin_chain *chain); /* NULL ok */
size_t weir_plugin_chain_n(const struct weir_plugin_chain *chain);
/* Does any plugin look at chunks? When not, run_chunk() needs no call. */
bool weir_plugin_chain_has_chunk_hooks(const struct weir_plugin_chain *chain);

/* JSON for /admin/v1/plugins: [{"name","version","path","sha256","on_error","quarantined",
 * "failures","overruns","hooks":{"headers":{"calls","seconds"},…},"alloc_bytes","routes":[…]},…] */
void weir_plugin_chain_status(const struct weir_plugin_chain *chain, struct weir_buf *out);
