/* SPDX-License-Identifier: Apache-2.0 */
#include "number_range.h"

#include <stdlib.h>

enum { MAX_DIGITS = WEIR_JSON_MAX_DIGITS };

/* Which bounds all digits so far are equal to. */
enum { AT_LOW = 1, AT_HIGH = 2, N_TIES = 4 };

struct span { /* magnitudes from low to high */
    struct weir_bound low, high;
    bool integers;
};

/* digits * 10^exponent, the digits of the text without its point. */
static int place_digits(const uint8_t *digits, long n, long exponent, struct weir_bound *b)
{
    long n_whole = n + exponent;
    if (n_whole > MAX_DIGITS) {
        return WEIR_E_TOOBIG;
    }
    if (exponent < -MAX_DIGITS) {
        return WEIR_E_ARG;
    }
    struct weir_decimal *d = &b->size;
    for (long i = 0; i < n_whole; i++) {
        d->whole[d->n_whole++] = i < n ? digits[i] : 0;
    }
    for (long i = n_whole; i < n; i++) {
        d->fraction[d->n_fraction++] = i >= 0 ? digits[i] : 0;
    }
    if (d->n_whole == 0) {
        d->whole[d->n_whole++] = 0;
    }
    return 0;
}

int weir_bound_read(weir_str text, struct weir_bound *ret)
{
    enum { MAX_READ = 40 };
    uint8_t digits[MAX_READ];
    long n = 0, behind = 0, exponent = 0;
    bool fraction = false;
    size_t i = text.n > 0 && text.p[0] == '-';
    *ret = (struct weir_bound){.given = true, .negative = i == 1};
    for (; i < text.n && (text.p[i] | 0x20) != 'e'; i++) {
        if (text.p[i] == '.') {
            fraction = true;
            continue;
        }
        behind += fraction;
        if (n == MAX_READ) {
            return fraction ? WEIR_E_ARG : WEIR_E_TOOBIG;
        }
        if (n > 0 || text.p[i] != '0') {
            digits[n++] = (uint8_t)(text.p[i] - '0');
        }
    }
    if (i < text.n) {
        exponent = strtol(text.p + i + 1, NULL, 10); /* yyjson's text ends with NUL */
    }
    while (n > 0 && digits[n - 1] == 0) {
        n--;
        behind--;
    }
    return n == 0 ? place_digits(digits, 0, 0, ret)
                  : place_digits(digits, n, exponent - behind, ret);
}

static uint8_t fraction_digit(const struct weir_bound *b, uint32_t i)
{
    return i < b->size.n_fraction ? b->size.fraction[i] : 0;
}

static bool rest_is_zero(const struct weir_bound *b, uint32_t from)
{
    for (uint32_t i = from; i < b->size.n_fraction; i++) {
        if (b->size.fraction[i] != 0) {
            return false;
        }
    }
    return true;
}

/* May a number end behind n digits of its fraction? What is missing counts as zeros. */
static bool may_end(const struct span *s, unsigned ties, uint32_t n)
{
    if (ties & AT_LOW && (!rest_is_zero(&s->low, n) || s->low.excluded)) {
        return false;
    }
    return !(ties & AT_HIGH) || !rest_is_zero(&s->high, n) || !s->high.excluded;
}

/* The next digit, at least `least`; targets[] by the ties that are left behind it. */
static void lay_digit(struct weir_automaton *a, uint32_t from, unsigned ties, uint8_t least,
                      uint8_t low, uint8_t high, const uint32_t *targets)
{
    for (uint8_t d = least; d <= 9; d++) {
        bool below = ties & AT_LOW && d < low, above = ties & AT_HIGH && d > high;
        unsigned left = ties;
        left &= d > low ? ~(unsigned)AT_LOW : ~0u;
        left &= d < high ? ~(unsigned)AT_HIGH : ~0u;
        if (!below && !above) {
            weir_automaton_range(a, from, (uint8_t)('0' + d), (uint8_t)('0' + d), targets[left]);
        }
    }
}

/* tails[ties]: behind the whole part. */
static void make_tails(struct weir_automaton *a, const struct span *s, uint32_t *tails)
{
    uint32_t next[N_TIES] = {0};
    for (uint32_t i = MAX_DIGITS + 1; !s->integers && i-- > 0;) {
        uint32_t at[N_TIES];
        for (unsigned ties = 0; ties < N_TIES; ties++) {
            at[ties] = weir_automaton_state(a);
            if (i > 0 && may_end(s, ties, i)) {
                weir_automaton_empty(a, at[ties], WEIR_STATE_POP);
            }
            if (i < MAX_DIGITS) {
                lay_digit(a, at[ties], ties, 0, fraction_digit(&s->low, i),
                          fraction_digit(&s->high, i), next);
            }
        }
        memcpy(next, at, sizeof(next));
    }
    for (unsigned ties = 0; ties < N_TIES; ties++) {
        tails[ties] = weir_automaton_state(a);
        if (may_end(s, ties, 0)) {
            weir_automaton_empty(a, tails[ties], WEIR_STATE_POP);
        }
        if (!s->integers) {
            weir_automaton_range(a, tails[ties], '.', '.', next[ties]);
        }
    }
}

/* Whole parts of n digits. */
static void lay_length(struct weir_automaton *a, uint32_t from, const struct span *s, uint32_t n,
                       const uint32_t *tails)
{
    unsigned first = (n == s->low.size.n_whole ? AT_LOW : 0) |
                     (s->high.given && n == s->high.size.n_whole ? AT_HIGH : 0);
    uint32_t next[N_TIES];
    memcpy(next, tails, sizeof(next));
    for (uint32_t i = n; i-- > 0;) {
        uint32_t at[N_TIES] = {0};
        for (unsigned ties = 0; ties < N_TIES; ties++) {
            if (ties & ~first) {
                continue;
            }
            at[ties] = i == 0 && ties == first ? from : weir_automaton_state(a);
            lay_digit(a, at[ties], ties, i == 0 && n > 1, ties & AT_LOW ? s->low.size.whole[i] : 0,
                      ties & AT_HIGH ? s->high.size.whole[i] : 9, next);
        }
        memcpy(next, at, sizeof(next));
    }
}

static void lay_span(struct weir_automaton *a, uint32_t from, const struct span *s)
{
    uint32_t tails[N_TIES];
    make_tails(a, s, tails);
    uint32_t n_low = s->low.size.n_whole;
    uint32_t n_high = s->high.given ? s->high.size.n_whole : n_low;
    for (uint32_t n = n_low; n <= n_high && a->code == 0; n++) {
        lay_length(a, from, s, n, tails);
    }
    if (!s->high.given && n_low < MAX_DIGITS) {
        uint32_t more = weir_json_digits(a, (int)n_low, MAX_DIGITS - 1, tails[0]);
        weir_automaton_range(a, from, '1', '9', more);
    }
}

static const struct weir_bound zero = {.given = true, .size = {.n_whole = 1}};

static bool is_zero(const struct weir_bound *b)
{
    return b->size.n_whole == 1 && b->size.whole[0] == 0 && rest_is_zero(b, 0);
}

void weir_number_range_lay(struct weir_automaton *a, uint32_t from,
                           const struct weir_number_range *range)
{
    struct weir_bound low = range->low, high = range->high;
    low.negative = low.negative && !is_zero(&low);
    high.negative = high.negative && !is_zero(&high);
    bool low_is_below = !low.given || low.negative;
    if (!high.given || !high.negative) {
        struct span s = {low_is_below ? zero : low, high, range->integers};
        uint32_t start = weir_automaton_state(a);
        lay_span(a, start, &s);
        weir_automaton_empty(a, from, start);
    }
    if (low_is_below) {
        bool up_to_zero = !high.given || !high.negative;
        struct span s = {up_to_zero ? zero : high, low, range->integers};
        s.low.excluded = up_to_zero || high.excluded; /* zero has no sign */
        uint32_t start = weir_automaton_state(a), minus = weir_automaton_state(a);
        weir_automaton_range(a, start, '-', '-', minus);
        lay_span(a, minus, &s);
        weir_automaton_empty(a, from, start);
    }
}
