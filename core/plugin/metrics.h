/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugins' own figures in /metrics: time, calls and failures per hook, quarantine, memory. */
#include "core/plugin/plugins_internal.h"

int weir_plugin_metrics_define(struct weir_plugins *ps);
void weir_plugin_metrics_release(struct weir_plugins *ps);
