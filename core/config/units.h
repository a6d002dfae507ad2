/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Quantities with units and addresses as people write them in a configuration.
 * Threads: any; pure functions. Errors: WEIR_E_ARG for anything else than the stated form or a
 * value that does not fit; outputs are then untouched. */
#include "weir/types.h"

/* A whole number and us, ms, s, m, h or d: "50ms", "30s", "7d". */
int weir_duration_parse(weir_str text, uint64_t *ret_us);
/* A whole number, optionally with B, a power of 1024 (Ki Mi Gi Ti, also KiB ...) or of 1000
 * (k K M G T, also kB KB MB ...): "1Gi", "64KiB", "10MB", "4096". */
int weir_bytes_parse(weir_str text, uint64_t *ret_bytes);
/* "host:port", "[v6]:port" or ":port" (all addresses); the port is 0..65535 and 0 asks the system
 * for a free one. *ret_host borrows from text, without brackets. */
int weir_host_port_parse(weir_str text, weir_str *ret_host, uint16_t *ret_port);
/* "scheme:rest" of printable ASCII without spaces. */
int weir_uri_check(weir_str text);
