#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/zones.txt: what Python's zoneinfo knows of clocks, for plugins/quota.

Lines: "offset ZONE UTC SECONDS_EAST" and "day ZONE DAYS_SINCE_1970 UTC", the first instant at which
the clocks show that day or a later one.

usage: make_zones.py
"""
import datetime
import pathlib
import zoneinfo

# Ordinary ones, half hours, southern and negative summer time, changes at midnight, a skipped day,
# offsets that changed for good.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
         "America/Havana", "Europe/Dublin", "America/Santiago", "Pacific/Apia", "America/Sao_Paulo",
         "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Africa/Cairo"]
YEARS = [1999, 2011, 2018, 2026, 2041]
EPOCH = datetime.datetime(1970, 1, 1)
UTC = datetime.timezone.utc


def local(zone, utc_s):
    moment = datetime.datetime.fromtimestamp(utc_s, UTC).astimezone(zone)
    return moment.replace(tzinfo=None)


def first_instant(zone, day):
    """By search: the local date never falls by more than the repeated hours of one change."""
    midnight = EPOCH + datetime.timedelta(days=day)
    u = day * 86400 - 26 * 3600
    while local(zone, u) < midnight:
        u += 900
    while local(zone, u - 1) >= midnight:
        u -= 1
    return u


def main():
    lines = []
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        for year in YEARS:
            start = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
            changes = []
            for u in range(start, start + 366 * 86400, 86400):
                if local(zone, u) - local(zone, u - 86400) != datetime.timedelta(days=1):
                    changes += range(u - 90000, u + 7200, 3600)
            for u in sorted({start, start + 180 * 86400, *changes}):
                offset = int((local(zone, u) - (EPOCH + datetime.timedelta(seconds=u))).total_seconds())
                lines.append(f"offset {name} {u} {offset}")
            days = {u // 86400 + d for u in [start, *changes] for d in (-1, 0, 1)}
            lines += [f"day {name} {day} {first_instant(zone, day)}" for day in sorted(days)]
    (pathlib.Path(__file__).parent / "zones.txt").write_text("\n".join(lines) + "\n")


main()
