/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time zones of the IANA database, as compiled by zic (RFC 8536): offsets from UTC at an instant,
 * and the instant at which a local day begins.
 *
 * Why not localtime(): its zone is the whole process's. Files are read from the system's zoneinfo
 * folder; times behind a file's last transition follow its POSIX rule.
 * Ownership: a zone owns its memory. Threads: any, once loaded.
 * Errors: WEIR_E_NOTFOUND for a name that is none, WEIR_E_FORMAT for a damaged file. Bounds: names
 * 64 bytes, files 256 KiB. */
#include <stdint.h>

#include "weir/types.h"

struct zone;

/* "Europe/Berlin"; "UTC" needs no file. */
int zone_load(weir_str name, struct zone **ret_zone);
void zone_destroy(struct zone *z); /* NULL ok */

/* Seconds east of UTC at a time (seconds since 1970 UTC). */
int32_t zone_offset(const struct zone *z, int64_t utc_s);
/* The first instant that is not before local_s (seconds since 1970 as the zone's clocks show them):
 * where clocks were set forward over it, the moment of the change; where they show it twice, the
 * first time. */
int64_t zone_to_utc(const struct zone *z, int64_t local_s);
