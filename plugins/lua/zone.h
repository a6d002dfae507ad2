/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time zones of the system's database, for weir.time("Europe/Berlin").
 *
 * Why not localtime(): its zone is the process's, from the environment; policies each name theirs.
 * Files are TZif (RFC 8536) under /usr/share/zoneinfo, or $TZDIR; each is read once. Times beyond a
 * file's list follow its footer, a POSIX TZ rule.
 * Ownership: the set owns its zones. Threads: [any], one lock. Bounds: 64 zones, 64 KiB a file;
 * names cannot leave the directory. */
#include <stdbool.h>

#include "weir/types.h"

struct zones;

struct zone_time {
    int64_t year;
    int month, day, hour, minute, second; /* month, day from 1 */
    int weekday;                          /* 1 Monday to 7 Sunday */
    int year_day;                         /* from 1 */
    int32_t offset_s;                     /* east of UTC */
    bool is_dst;
};

struct zones *zones_create(void);
void zones_destroy(struct zones *z); /* NULL ok */
/* WEIR_E_NOTFOUND: no such zone; WEIR_E_FORMAT: its file is broken; WEIR_E_NOMEM. */
int zones_local_time(struct zones *z, weir_str name, int64_t unix_s, struct zone_time *ret_time);
/* Parses a TZif file and gives the offset at a time; for tests. */
int zone_parse_offset(weir_str file, int64_t unix_s, int32_t *ret_offset_s);
