/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The configuration in force, and another one in its place.
 *
 * Models, listeners and the store keep what they were made with; the rest reads the new one. One
 * that is wrong changes nothing. Threads: [main]. */
struct weir_config;
struct weir_server;

void weir_server_apply_logging(const struct weir_config *config);
/* Reads the file again; says in the log what came of it. */
void weir_server_reload(struct weir_server *s);
