/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Log lines to standard error, as text for people or JSON for machines.
 *
 * Why: the edges (main, server, plugin loader) log once; everything below returns errors.
 * One line is one write(2), so lines of several threads do not mix.
 * Levels: error (someone must act), warn (we continue), info (lifecycle), debug, trace. Prompt and
 * completion text may appear at trace only.
 * Threads: any. The sink is the process's one global besides main's. */
#include <stdbool.h>

#include "weir/types.h"

enum weir_log_level {
    WEIR_LOG_ERROR,
    WEIR_LOG_WARN,
    WEIR_LOG_INFO,
    WEIR_LOG_DEBUG,
    WEIR_LOG_TRACE,
};

/* Call once, before threads start; a configuration reload may call it again (atomic fields). */
void weir_log_configure(enum weir_log_level level, bool json);
bool weir_log_enabled(enum weir_log_level level);
/* 0 and the level, or WEIR_E_ARG for an unknown name. */
int weir_log_level_parse(weir_str name, enum weir_log_level *ret_level);

/* `component` names the part ("http", "plugin.auth"); `request_id` may be NULL.
 * The message is one line; control characters are escaped. Lines are cut at 4096 bytes. */
void weir_log(enum weir_log_level level, const char *component, const char *request_id,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));
