/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "civil.h"

enum { MAX_NAME_BYTES = 64, MAX_FILE_BYTES = 256 * 1024, MAX_RULE_BYTES = 128, DAY_S = 86400 };

/* When one half of a POSIX rule begins: "M3.5.0/2", "J60", "59". */
struct rule_date {
    enum { RULE_MONTH, RULE_JULIAN, RULE_DAY } kind;
    int month, week, day;
    int32_t time_s; /* of the local day; may be negative or above a day */
};

struct rule {                     /* what holds behind the last transition */
    int32_t standard_s, summer_s; /* east of UTC */
    bool has_summer;
    struct rule_date from, to; /* summer */
};

struct zone {
    int64_t *at;      /* [n] transitions, UTC */
    int32_t *offsets; /* [n] from then on */
    size_t n;
    int32_t first_s; /* before the first */
    struct rule rule;
    bool has_rule;
};

/* ---- the POSIX rule ---- */

static bool parse_number(const char **p, int max, int *ret)
{
    int n = 0, digits = 0;
    for (; **p >= '0' && **p <= '9' && digits < 4; (*p)++, digits++) {
        n = n * 10 + (**p - '0');
    }
    *ret = n;
    return digits > 0 && n <= max;
}

/* "[+-]hh[:mm[:ss]]" in seconds. */
static bool parse_time(const char **p, int32_t *ret)
{
    int sign = **p == '-' ? -1 : 1, h = 0, m = 0, s = 0;
    *p += **p == '-' || **p == '+';
    if (!parse_number(p, 167, &h)) {
        return false;
    }
    if (**p == ':') {
        (*p)++;
        if (!parse_number(p, 59, &m)) {
            return false;
        }
        if (**p == ':') {
            (*p)++;
            if (!parse_number(p, 59, &s)) {
                return false;
            }
        }
    }
    *ret = sign * (h * 3600 + m * 60 + s);
    return true;
}

/* "CET" or "<+03>". */
static bool skip_name(const char **p)
{
    const char *begin = *p;
    if (**p == '<') {
        while (**p && **p != '>') {
            (*p)++;
        }
        return *(*p)++ == '>';
    }
    while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z')) {
        (*p)++;
    }
    return *p - begin >= 3;
}

static bool parse_date(const char **p, struct rule_date *d)
{
    *d = (struct rule_date){.kind = RULE_DAY, .time_s = 2 * 3600};
    bool ok;
    if (**p == 'M') {
        d->kind = RULE_MONTH;
        (*p)++;
        ok = parse_number(p, 12, &d->month) && d->month >= 1 && *(*p)++ == '.' &&
             parse_number(p, 5, &d->week) && d->week >= 1 && *(*p)++ == '.' &&
             parse_number(p, 6, &d->day);
    } else {
        d->kind = **p == 'J' ? RULE_JULIAN : RULE_DAY;
        *p += **p == 'J';
        ok = parse_number(p, 365, &d->day);
    }
    if (ok && **p == '/') {
        (*p)++;
        ok = parse_time(p, &d->time_s);
    }
    return ok;
}

static bool parse_rule(const char *text, struct rule *r)
{
    const char *p = text;
    *r = (struct rule){.has_summer = false};
    if (!skip_name(&p) || !parse_time(&p, &r->standard_s)) {
        return false;
    }
    r->standard_s = -r->standard_s; /* POSIX counts west of UTC */
    if (*p == '\0') {
        return true;
    }
    r->has_summer = true;
    r->summer_s = r->standard_s + 3600;
    if (!skip_name(&p)) {
        return false;
    }
    if (*p != ',') {
        if (!parse_time(&p, &r->summer_s)) {
            return false;
        }
        r->summer_s = -r->summer_s;
    }
    return *p++ == ',' && parse_date(&p, &r->from) && *p++ == ',' && parse_date(&p, &r->to) &&
           *p == '\0';
}

/* Seconds since 1970 at which the date falls in a year, on clocks that are offset_s east of UTC. */
static int64_t date_at(const struct rule_date *d, int64_t year, int32_t offset_s)
{
    int64_t first = civil_to_days(year, 1, 1), days;
    if (d->kind == RULE_MONTH) {
        days = civil_to_days(year, (unsigned)d->month, 1);
        days += (d->day - (int)civil_weekday(days) + 7) % 7 + (d->week - 1) * 7;
        int64_t next = d->month == 12 ? civil_to_days(year + 1, 1, 1)
                                      : civil_to_days(year, (unsigned)d->month + 1, 1);
        days -= days >= next ? 7 : 0; /* week 5: the last one */
    } else {
        bool leap = civil_to_days(year + 1, 1, 1) - first == 366;
        days = first + d->day;
        if (d->kind == RULE_JULIAN) { /* 1..365, 29 February is never counted */
            days += -1 + (leap && d->day > 59);
        }
    }
    return days * DAY_S + d->time_s - offset_s;
}

static int32_t rule_offset(const struct rule *r, int64_t utc_s)
{
    if (!r->has_summer) {
        return r->standard_s;
    }
    int64_t year = civil_from_days(civil_floor_div(utc_s + r->standard_s, DAY_S)).year;
    int64_t from = date_at(&r->from, year, r->standard_s);
    int64_t to = date_at(&r->to, year, r->summer_s);
    bool summer = from < to ? utc_s >= from && utc_s < to : utc_s >= from || utc_s < to;
    return summer ? r->summer_s : r->standard_s;
}

/* ---- the file ---- */

struct counts {
    uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

enum { HEAD_BYTES = 44 };

static bool read_head(const unsigned char *p, size_t n, struct counts *c)
{
    if (n < HEAD_BYTES || memcmp(p, "TZif", 4) != 0 || p[4] < '2') {
        return false; /* version 1 has no 64-bit times; no zic writes it alone any more */
    }
    *c = (struct counts){be32(p + 20), be32(p + 24), be32(p + 28),
                         be32(p + 32), be32(p + 36), be32(p + 40)};
    const uint32_t max = MAX_FILE_BYTES;
    return c->isut <= max && c->isstd <= max && c->leap <= max && c->time <= max &&
           c->type <= max && c->chars <= max;
}

static size_t block_bytes(const struct counts *c, size_t time_bytes)
{
    return c->time * time_bytes + c->time + (size_t)c->type * 6 + c->chars +
           c->leap * (time_bytes + 4) + c->isstd + c->isut;
}

static int read_transitions(struct zone *z, const unsigned char *p, const struct counts *c)
{
    const unsigned char *index = p + (size_t)c->time * 8, *types = index + c->time;
    z->at = malloc((c->time + 1) * sizeof(*z->at));
    z->offsets = malloc((c->time + 1) * sizeof(*z->offsets));
    if (!z->at || !z->offsets) {
        return WEIR_E_NOMEM;
    }
    if (c->type == 0) {
        return WEIR_E_FORMAT;
    }
    z->first_s = (int32_t)be32(types);
    for (uint32_t i = 0; i < c->time; i++) {
        if (index[i] >= c->type) {
            return WEIR_E_FORMAT;
        }
        z->at[i] = be64(p + (size_t)i * 8);
        z->offsets[i] = (int32_t)be32(types + (size_t)index[i] * 6);
        if (i > 0 && z->at[i] <= z->at[i - 1]) {
            return WEIR_E_FORMAT;
        }
    }
    z->n = c->time;
    return 0;
}

/* "\nCET-1CEST,M3.5.0,M10.5.0/3\n" */
static int read_footer(struct zone *z, const unsigned char *p, size_t n)
{
    char text[MAX_RULE_BYTES];
    const unsigned char *end = n > 1 ? memchr(p + 1, '\n', n - 1) : NULL;
    if (!end || *p != '\n' || (size_t)(end - p) > sizeof(text)) {
        return WEIR_E_FORMAT;
    }
    size_t len = (size_t)(end - p - 1);
    if (len == 0) {
        return 0;
    }
    memcpy(text, p + 1, len);
    text[len] = '\0';
    z->has_rule = parse_rule(text, &z->rule);
    return z->has_rule ? 0 : WEIR_E_FORMAT;
}

static int parse(struct zone *z, const unsigned char *p, size_t n)
{
    struct counts c;
    if (!read_head(p, n, &c)) {
        return WEIR_E_FORMAT;
    }
    size_t skip = HEAD_BYTES + block_bytes(&c, 4); /* the 32-bit times */
    if (skip > n || !read_head(p + skip, n - skip, &c)) {
        return WEIR_E_FORMAT;
    }
    p += skip + HEAD_BYTES;
    n -= skip + HEAD_BYTES;
    size_t block = block_bytes(&c, 8);
    if (block > n) {
        return WEIR_E_FORMAT;
    }
    int rc = read_transitions(z, p, &c);
    return rc < 0 ? rc : read_footer(z, p + block, n - block);
}

/* Letters, digits and /_+-, no part of which begins with a dot: no way out of the folder. */
static bool is_name(weir_str s)
{
    if (s.n == 0 || s.n > MAX_NAME_BYTES || s.p[0] == '/') {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '/' || c == '_' || c == '+' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return true;
}

static int read_file(struct zone *z, weir_str name)
{
    char path[MAX_NAME_BYTES + 32];
    (void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%.*s", (int)name.n, name.p);
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = f ? malloc(MAX_FILE_BYTES) : NULL;
    if (!bytes) {
        int rc = f ? WEIR_E_NOMEM : WEIR_E_NOTFOUND;
        if (f) {
            (void)fclose(f);
        }
        return rc;
    }
    size_t n = fread(bytes, 1, MAX_FILE_BYTES, f);
    bool failed = ferror(f) || n == MAX_FILE_BYTES; /* a folder fails here too */
    (void)fclose(f);
    int rc = failed ? WEIR_E_NOTFOUND : parse(z, bytes, n);
    free(bytes);
    return rc;
}

int zone_load(weir_str name, struct zone **ret_zone)
{
    bool utc = weir_str_is(name, "UTC");
    if (!is_name(name)) {
        return WEIR_E_NOTFOUND;
    }
    struct zone *z = calloc(1, sizeof(*z));
    int rc = !z ? WEIR_E_NOMEM : utc ? 0 : read_file(z, name);
    if (rc < 0) {
        zone_destroy(z);
        return rc;
    }
    *ret_zone = z;
    return 0;
}

void zone_destroy(struct zone *z)
{
    if (z) {
        free(z->at);
        free(z->offsets);
        free(z);
    }
}

int32_t zone_offset(const struct zone *z, int64_t utc_s)
{
    size_t low = 0, high = z->n; /* how many transitions are not after utc_s */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (z->at[mid] <= utc_s) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == z->n && z->has_rule) {
        return rule_offset(&z->rule, utc_s);
    }
    return low == 0 ? z->first_s : z->offsets[low - 1];
}

int64_t zone_to_utc(const struct zone *z, int64_t local_s)
{
    /* At most one change of the clocks is looked for, within a day on either side. */
    int64_t low = local_s - DAY_S, high = local_s + DAY_S;
    int32_t before = zone_offset(z, low), after = zone_offset(z, high);
    if (before == after) {
        return local_s - before;
    }
    if (zone_offset(z, local_s - before) == before) {
        return local_s - before; /* the change comes later */
    }
    if (zone_offset(z, local_s - after) == after) {
        return local_s - after; /* the change has been */
    }
    while (high - low > 1) { /* in the gap: the moment of the change */
        int64_t mid = low + (high - low) / 2;
        if (zone_offset(z, mid) == before) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return high;
}
