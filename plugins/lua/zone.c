/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_ZONES = 64, MAX_FILE_BYTES = 64 * 1024, MAX_NAME_BYTES = 64, MAX_TYPES = 256 };
enum { DAY_S = 24 * 3600 };

struct type {
    int32_t offset_s;
    bool is_dst;
};

/* "M3.5.0/2": the last (5th) Sunday of March, two o'clock. month 0: there is no rule. */
struct change {
    int month, week, weekday;
    int32_t second;
};

struct rule {
    bool has, has_dst;
    struct type standard, daylight;
    struct change to_daylight, to_standard;
};

struct zone {
    char name[MAX_NAME_BYTES];
    uint32_t n;
    int64_t *at;   /* [n] when it changes */
    uint8_t *type; /* [n] to which */
    struct type types[MAX_TYPES];
    uint32_t n_types;
    struct rule rule; /* behind the list */
};

struct zones {
    pthread_mutex_t lock; /* the list */
    struct zone *list[MAX_ZONES];
    uint32_t n;
};

/* ---- the calendar ---- */

/* Days since 1970 to a date of the Gregorian calendar; H. Hinnant, chrono-compatible date
 * algorithms. */
static void civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int weekday_of(int64_t days) /* 0 Sunday */
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

/* ---- the footer ---- */

struct text {
    const char *p, *end;
};

static int read_number(struct text *t, int most)
{
    int value = 0, digits = 0;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9' && digits < 4) {
        value = value * 10 + (*t->p++ - '0');
        digits++;
    }
    return digits && value <= most ? value : -1;
}

static bool take_char(struct text *t, char c)
{
    bool is = t->p < t->end && *t->p == c;
    t->p += is;
    return is;
}

static bool skip_name(struct text *t)
{
    const char *begin = t->p;
    if (take_char(t, '<')) {
        while (t->p < t->end && *t->p != '>') {
            t->p++;
        }
        return take_char(t, '>');
    }
    while (t->p < t->end && ((*t->p | 0x20) >= 'a' && (*t->p | 0x20) <= 'z')) {
        t->p++;
    }
    return t->p - begin >= 3;
}

static bool read_clock(struct text *t, int32_t *ret_s)
{
    bool negative = take_char(t, '-');
    int minutes = 0, seconds = 0;
    if (!negative) {
        (void)take_char(t, '+');
    }
    int hours = read_number(t, 167);
    if (hours >= 0 && take_char(t, ':')) {
        minutes = read_number(t, 59);
        if (minutes >= 0 && take_char(t, ':')) {
            seconds = read_number(t, 59);
        }
    }
    *ret_s = (hours * 3600 + minutes * 60 + seconds) * (negative ? -1 : 1);
    return hours >= 0 && minutes >= 0 && seconds >= 0;
}

static bool read_change(struct text *t, struct change *c)
{
    c->second = 2 * 3600;
    if (!take_char(t, ',') || !take_char(t, 'M') || (c->month = read_number(t, 12)) < 1 ||
        !take_char(t, '.') || (c->week = read_number(t, 5)) < 1 || !take_char(t, '.') ||
        (c->weekday = read_number(t, 6)) < 0) {
        return false;
    }
    return !take_char(t, '/') || read_clock(t, &c->second);
}

/* "CET-1CEST,M3.5.0,M10.5.0/3". The rare forms by day of the year are not taken: then the last
 * change of the list stays in force. */
static void read_rule(struct text t, struct rule *r)
{
    int32_t west;
    if (!skip_name(&t) || !read_clock(&t, &west)) {
        return;
    }
    r->standard = (struct type){-west, false};
    if (t.p == t.end) {
        r->has = true;
        return;
    }
    r->daylight = (struct type){-west + 3600, true};
    if (!skip_name(&t)) {
        return;
    }
    if (t.p < t.end && *t.p != ',') {
        if (!read_clock(&t, &west)) {
            return;
        }
        r->daylight.offset_s = -west;
    }
    r->has = r->has_dst = read_change(&t, &r->to_daylight) && read_change(&t, &r->to_standard);
}

/* When a change happens in a year, in seconds since 1970 of the local clock before it. */
static int64_t change_at(const struct change *c, int64_t year)
{
    int64_t first = days_from_civil(year, c->month, 1);
    int64_t next =
        c->month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, c->month + 1, 1);
    int64_t day = first + (c->weekday - weekday_of(first) + 7) % 7 + (int64_t)(c->week - 1) * 7;
    while (day >= next) {
        day -= 7;
    }
    return day * DAY_S + c->second;
}

static const struct type *apply_rule(const struct rule *r, int64_t unix_s)
{
    if (!r->has_dst) {
        return &r->standard;
    }
    int64_t year;
    int month, day;
    civil_from_days(floor_div(unix_s + r->standard.offset_s, DAY_S), &year, &month, &day);
    int64_t begin = change_at(&r->to_daylight, year) - r->standard.offset_s;
    int64_t end = change_at(&r->to_standard, year) - r->daylight.offset_s;
    bool is_dst = begin < end ? unix_s >= begin && unix_s < end : unix_s >= begin || unix_s < end;
    return is_dst ? &r->daylight : &r->standard;
}

/* ---- TZif ---- */

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum { HEADER_BYTES = 44 };

struct counts {
    uint32_t isutc, isstd, leap, time, type, chars;
};

static bool read_header(weir_str file, size_t at, struct counts *c)
{
    const unsigned char *p = (const unsigned char *)file.p + at;
    if (at > file.n || file.n - at < HEADER_BYTES || memcmp(p, "TZif", 4) != 0) {
        return false;
    }
    *c = (struct counts){read_u32(p + 20), read_u32(p + 24), read_u32(p + 28),
                         read_u32(p + 32), read_u32(p + 36), read_u32(p + 40)};
    return c->isutc <= MAX_TYPES && c->isstd <= MAX_TYPES && c->leap <= 1024 && c->time <= 8192 &&
           c->type >= 1 && c->type <= MAX_TYPES && c->chars <= 1024;
}

static size_t body_bytes(const struct counts *c, size_t time_bytes)
{
    return c->time * (time_bytes + 1) + c->type * 6u + c->chars + c->leap * (time_bytes + 4) +
           c->isstd + c->isutc;
}

static bool read_body(struct zone *z, const unsigned char *p, const struct counts *c)
{
    z->at = calloc(c->time + 1, sizeof(*z->at));
    z->type = calloc(c->time + 1, 1);
    if (!z->at || !z->type) {
        return false;
    }
    for (uint32_t i = 0; i < c->time; i++) {
        z->at[i] = (int64_t)((uint64_t)read_u32(p + 8 * i) << 32 | read_u32(p + 8 * i + 4));
        z->type[i] = p[8u * c->time + i];
        if (z->type[i] >= c->type) {
            return false;
        }
    }
    p += 9u * c->time;
    for (uint32_t i = 0; i < c->type; i++, p += 6) {
        z->types[i] = (struct type){(int32_t)read_u32(p), p[4] != 0};
        if (z->types[i].offset_s < -DAY_S * 2 || z->types[i].offset_s > DAY_S * 2) {
            return false;
        }
    }
    z->n = c->time;
    z->n_types = c->type;
    return true;
}

static int parse(struct zone *z, weir_str file)
{
    struct counts first, second;
    if (!read_header(file, 0, &first)) {
        return WEIR_E_FORMAT;
    }
    size_t at = HEADER_BYTES + body_bytes(&first, 4);
    if (!read_header(file, at, &second)) {
        return WEIR_E_FORMAT; /* the 32-bit format of before 2005 */
    }
    at += HEADER_BYTES;
    size_t n = body_bytes(&second, 8);
    if (n > file.n - at || !read_body(z, (const unsigned char *)file.p + at, &second)) {
        return WEIR_E_FORMAT;
    }
    at += n;
    if (at + 2 <= file.n && file.p[at] == '\n' && file.p[file.n - 1] == '\n') {
        read_rule((struct text){file.p + at + 1, file.p + file.n - 1}, &z->rule);
    }
    return 0;
}

static void zone_finish(struct zone *z)
{
    free(z->at);
    free(z->type);
}

static const struct type *type_at(const struct zone *z, int64_t unix_s)
{
    uint32_t low = 0, high = z->n; /* the number of changes that have happened */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (z->at[mid] <= unix_s) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == z->n && z->rule.has) {
        return apply_rule(&z->rule, unix_s);
    }
    return &z->types[low ? z->type[low - 1] : 0];
}

int zone_parse_offset(weir_str file, int64_t unix_s, int32_t *ret_offset_s)
{
    struct zone z = {.n = 0};
    int rc = parse(&z, file);
    if (rc == 0) {
        *ret_offset_s = type_at(&z, unix_s)->offset_s;
    }
    zone_finish(&z);
    return rc;
}

/* ---- the set ---- */

struct zones *zones_create(void)
{
    struct zones *z = calloc(1, sizeof(*z));
    if (z && pthread_mutex_init(&z->lock, NULL) != 0) {
        free(z);
        return NULL;
    }
    return z;
}

void zones_destroy(struct zones *z)
{
    for (uint32_t i = 0; z && i < z->n; i++) {
        zone_finish(z->list[i]);
        free(z->list[i]);
    }
    if (z) {
        pthread_mutex_destroy(&z->lock);
        free(z);
    }
}

/* Letters, digits and _ + - between single slashes: it names a file below the directory. */
static bool is_name(weir_str s)
{
    bool good = s.n > 0 && s.n < MAX_NAME_BYTES && s.p[0] != '/';
    for (size_t i = 0; good && i < s.n; i++) {
        char c = s.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '+' || c == '-' || (c == '/' && s.p[i - 1] != '/');
    }
    return good;
}

static int load(struct zone *z, weir_str name)
{
    char path[512];
    const char *dir = getenv("TZDIR");
    (void)snprintf(z->name, sizeof(z->name), "%.*s", (int)name.n, name.p);
    (void)snprintf(path, sizeof(path), "%.300s/%s", dir && *dir ? dir : "/usr/share/zoneinfo",
                   z->name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        return WEIR_E_NOTFOUND;
    }
    char *bytes = malloc(MAX_FILE_BYTES);
    int rc = WEIR_E_NOMEM;
    if (bytes) {
        size_t n = fread(bytes, 1, MAX_FILE_BYTES, f);
        rc = ferror(f) ? WEIR_E_NOTFOUND : parse(z, (weir_str){bytes, n});
    }
    (void)fclose(f);
    free(bytes);
    return rc;
}

/* With the lock held: a zone's file is small and read once. */
static int find(struct zones *zs, weir_str name, const struct zone **ret_zone)
{
    for (uint32_t i = 0; i < zs->n; i++) {
        if (weir_str_is(name, zs->list[i]->name)) {
            *ret_zone = zs->list[i];
            return 0;
        }
    }
    if (zs->n == MAX_ZONES) {
        return WEIR_E_NOMEM;
    }
    struct zone *z = calloc(1, sizeof(*z));
    int rc = z ? load(z, name) : WEIR_E_NOMEM;
    if (rc < 0) {
        if (z) {
            zone_finish(z);
        }
        free(z);
        return rc;
    }
    *ret_zone = zs->list[zs->n++] = z;
    return 0;
}

int zones_local_time(struct zones *zs, weir_str name, int64_t unix_s, struct zone_time *t)
{
    static const struct type utc = {0, false};
    struct type type = utc;
    if (unix_s < INT64_C(-62135596800) || unix_s > INT64_C(253402300799)) { /* years 1 to 9999 */
        return WEIR_E_ARG;
    }
    if (!weir_str_is(name, "UTC")) {
        const struct zone *z = NULL;
        if (!is_name(name)) {
            return WEIR_E_NOTFOUND;
        }
        pthread_mutex_lock(&zs->lock);
        int rc = find(zs, name, &z);
        pthread_mutex_unlock(&zs->lock);
        if (rc < 0) {
            return rc;
        }
        type = *type_at(z, unix_s);
    }
    int64_t local = unix_s + type.offset_s, days = floor_div(local, DAY_S);
    int second = (int)(local - days * DAY_S), weekday = weekday_of(days);
    civil_from_days(days, &t->year, &t->month, &t->day);
    t->hour = second / 3600;
    t->minute = second / 60 % 60;
    t->second = second % 60;
    t->weekday = weekday ? weekday : 7;
    t->year_day = (int)(days - days_from_civil(t->year, 1, 1)) + 1;
    t->offset_s = type.offset_s;
    t->is_dst = type.is_dst;
    return 0;
}
