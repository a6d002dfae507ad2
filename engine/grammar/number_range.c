/* SPDX-License-Identifier: Apache-2.0 */
#include "number_range.h"

#include <assert.h>
#include <stdlib.h>

enum { MAX_DIGITS = WEIR_JSON_MAX_DIGITS };

/* Which bounds all digits so far are equal to. */
enum { AT_LOW = 1, AT_HIGH = 2, N_TIES = 4 };

/* The states behind some digits. A tie tells the digits and so their remainder; without one there
 * is a state for each remainder, from `free` on. */
struct place {
    uint32_t free;
    uint32_t tied[N_TIES];
};

/* States that no bound is tied to, the same for both signs; 0: not made yet. */
struct untied {
    uint32_t fraction[MAX_DIGITS + 1]; /* behind so many digits of it */
    uint32_t whole[MAX_DIGITS];        /* so many digits before the whole part's end */
    uint32_t longer, n_longer;         /* behind the first of more than n_longer whole digits */
};

struct span { /* magnitudes from low to high */
    struct weir_automaton *a;
    struct untied *untied;
    struct weir_bound low, high;
    uint32_t n_fraction, units;
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

int weir_number_step(const struct weir_bound *step, bool integers, struct weir_number_range *range)
{
    enum { MAX_STEP_DIGITS = 18 };
    const struct weir_decimal *d = &step->size;
    uint64_t units = 0;
    if (d->n_whole + d->n_fraction > MAX_STEP_DIGITS) {
        return WEIR_E_TOOBIG;
    }
    for (uint32_t i = 0; i < d->n_whole + d->n_fraction; i++) {
        units = units * 10 + (i < d->n_whole ? d->whole[i] : d->fraction[i - d->n_whole]);
    }
    if (step->negative || units == 0) {
        return WEIR_E_ARG;
    }
    /* Whole numbers are multiples of units / 10^k when they are of the units without their part of
     * 10^k. */
    for (uint32_t prime = 2; integers && prime <= 5; prime += 3) {
        for (uint32_t k = 0; k < d->n_fraction && units % prime == 0; k++) {
            units /= prime;
        }
    }
    if (units > WEIR_NUMBER_MAX_UNITS) {
        return WEIR_E_TOOBIG;
    }
    range->units = (uint32_t)units;
    range->n_fraction = integers ? 0 : d->n_fraction;
    return 0;
}

static uint8_t digit_of(const struct weir_bound *b, uint32_t i)
{
    const struct weir_decimal *d = &b->size;
    if (i < d->n_whole) {
        return d->whole[i];
    }
    return i - d->n_whole < d->n_fraction ? d->fraction[i - d->n_whole] : 0;
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

static const struct weir_bound *tied_bound(const struct span *s, unsigned ties)
{
    return ties & AT_LOW ? &s->low : &s->high;
}

/* Of the first n digits of the bound that is tied. */
static uint32_t tied_remainder(const struct span *s, unsigned ties, uint32_t n)
{
    uint32_t remainder = 0;
    for (uint32_t i = 0; i < n; i++) {
        remainder = (remainder * 10 + digit_of(tied_bound(s, ties), i)) % s->units;
    }
    return remainder;
}

static uint32_t make_free(const struct span *s)
{
    uint32_t first = weir_automaton_state(s->a);
    for (uint32_t i = 1; i < s->units; i++) {
        (void)weir_automaton_state(s->a);
    }
    return first;
}

/* May a number end behind n digits of its fraction? What is missing counts as zeros. */
static bool may_end(const struct span *s, unsigned ties, uint32_t remainder, uint32_t n)
{
    for (uint32_t i = n; i < s->n_fraction; i++) {
        remainder = remainder * 10 % s->units;
    }
    if (remainder != 0 || (ties & AT_LOW && (!rest_is_zero(&s->low, n) || s->low.excluded))) {
        return false;
    }
    return !(ties & AT_HIGH) || !rest_is_zero(&s->high, n) || !s->high.excluded;
}

/* Digit i of the tied bounds, at least `least`. */
static void lay_digit(const struct span *s, uint32_t from, unsigned ties, uint32_t remainder,
                      uint32_t i, uint8_t least, const struct place *next)
{
    uint8_t low = ties & AT_LOW ? digit_of(&s->low, i) : 0;
    uint8_t high = ties & AT_HIGH ? digit_of(&s->high, i) : 9;
    if (ties == 0 && s->units == 1) { /* all lead to the same place */
        weir_automaton_range(s->a, from, (uint8_t)('0' + least), '9', next->free);
        return;
    }
    for (uint8_t d = low > least ? low : least; d <= high; d++) {
        unsigned left = ties;
        left &= d > low ? ~(unsigned)AT_LOW : ~0u;
        left &= d < high ? ~(unsigned)AT_HIGH : ~0u;
        uint32_t to = left ? next->tied[left] : next->free + (remainder * 10 + d) % s->units;
        weir_automaton_range(s->a, from, (uint8_t)('0' + d), (uint8_t)('0' + d), to);
    }
}

/* Behind n digits of the fraction. */
static void lay_fraction(const struct span *s, uint32_t from, unsigned ties, uint32_t remainder,
                         uint32_t n, const struct place *next)
{
    if (n > 0 && may_end(s, ties, remainder, n)) {
        weir_automaton_empty(s->a, from, WEIR_STATE_POP);
    }
    if (n < s->n_fraction) {
        uint32_t i = tied_bound(s, ties)->size.n_whole + n;
        lay_digit(s, from, ties, remainder, i, 0, next);
    }
}

/* Behind the whole part. */
static void lay_end(const struct span *s, uint32_t from, unsigned ties, uint32_t remainder,
                    uint32_t fraction)
{
    if (may_end(s, ties, remainder, 0)) {
        weir_automaton_empty(s->a, from, WEIR_STATE_POP);
    }
    if (s->n_fraction > 0) {
        weir_automaton_range(s->a, from, '.', '.', fraction);
    }
}

/* The states behind each number of digits of the fraction. */
static void make_fraction(const struct span *s, struct place *ret)
{
    for (uint32_t n = s->n_fraction + 1; n-- > 0;) {
        uint32_t *free = &s->untied->fraction[n];
        bool made = *free != 0;
        *free = made ? *free : make_free(s);
        struct place at = {.free = *free};
        for (uint32_t rest = 0; !made && rest < s->units; rest++) {
            lay_fraction(s, at.free + rest, 0, rest, n, ret);
        }
        for (unsigned ties = 1; ties < N_TIES; ties++) {
            uint32_t rest = tied_remainder(s, ties, tied_bound(s, ties)->size.n_whole + n);
            at.tied[ties] = weir_automaton_state(s->a);
            lay_fraction(s, at.tied[ties], ties, rest, n, ret);
        }
        *ret = at;
    }
}

static void make_tails(const struct span *s, struct place *ret)
{
    struct place fraction = {0};
    if (s->n_fraction > 0) {
        make_fraction(s, &fraction);
    }
    bool made = s->untied->whole[0] != 0;
    ret->free = s->untied->whole[0] = made ? s->untied->whole[0] : make_free(s);
    for (uint32_t rest = 0; !made && rest < s->units; rest++) {
        lay_end(s, ret->free + rest, 0, rest, fraction.free + rest);
    }
    for (unsigned ties = 1; ties < N_TIES; ties++) {
        uint32_t rest = tied_remainder(s, ties, tied_bound(s, ties)->size.n_whole);
        ret->tied[ties] = weir_automaton_state(s->a);
        lay_end(s, ret->tied[ties], ties, rest, fraction.tied[ties]);
    }
}

/* States with one more digit of the whole part before others. */
static uint32_t digit_before(const struct span *s, uint32_t others)
{
    struct place next = {.free = others};
    uint32_t first = make_free(s);
    for (uint32_t rest = 0; rest < s->units; rest++) {
        lay_digit(s, first + rest, 0, rest, 0, 0, &next);
    }
    return first;
}

/* Whole parts of n digits. */
static void lay_length(const struct span *s, uint32_t from, uint32_t n, const struct place *tails)
{
    unsigned first = (n == s->low.size.n_whole ? AT_LOW : 0) |
                     (s->high.given && n == s->high.size.n_whole ? AT_HIGH : 0);
    struct place next = *tails;
    for (uint32_t i = n; i-- > 1;) {
        struct place at = {.free = s->untied->whole[n - i]};
        for (unsigned ties = 1; ties < N_TIES; ties++) {
            if (!(ties & ~first)) {
                at.tied[ties] = weir_automaton_state(s->a);
                lay_digit(s, at.tied[ties], ties, tied_remainder(s, ties, i), i, 0, &next);
            }
        }
        next = at;
    }
    lay_digit(s, from, first, 0, 0, n > 1, &next);
}

/* Behind the first digit of whole parts of more than n digits. */
static uint32_t make_longer(const struct span *s, uint32_t n)
{
    uint32_t tails = s->untied->whole[0], longer = tails;
    for (uint32_t left = MAX_DIGITS - 1; left > 0; left--) {
        longer = digit_before(s, longer);
        for (uint32_t rest = 0; left > n && rest < s->units; rest++) {
            weir_automaton_empty(s->a, longer + rest, tails + rest);
        }
    }
    return longer;
}

static void lay_longer(const struct span *s, uint32_t from, uint32_t n)
{
    struct untied *u = s->untied;
    if (u->n_longer != n) {
        u->longer = make_longer(s, n);
        u->n_longer = n;
    }
    struct place next = {.free = u->longer};
    lay_digit(s, from, 0, 0, 0, 1, &next);
}

static void lay_span(const struct span *s, uint32_t from)
{
    struct place tails = {0};
    make_tails(s, &tails);
    uint32_t n_low = s->low.size.n_whole;
    uint32_t n_high = s->high.given ? s->high.size.n_whole : n_low;
    uint32_t *whole = s->untied->whole;
    for (uint32_t k = 1; k < n_high; k++) {
        whole[k] = whole[k] ? whole[k] : digit_before(s, whole[k - 1]);
    }
    for (uint32_t n = n_low; n <= n_high && s->a->code == 0; n++) {
        lay_length(s, from, n, &tails);
    }
    if (!s->high.given && n_low < MAX_DIGITS) {
        lay_longer(s, from, n_low);
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
    assert(range->units >= 1);
    low.negative = low.negative && !is_zero(&low);
    high.negative = high.negative && !is_zero(&high);
    bool low_is_below = !low.given || low.negative;
    struct untied untied = {.n_longer = 0};
    if (!high.given || !high.negative) {
        struct span s = {a,    &untied,           low_is_below ? zero : low,
                         high, range->n_fraction, range->units};
        uint32_t start = weir_automaton_state(a);
        lay_span(&s, start);
        weir_automaton_empty(a, from, start);
    }
    if (low_is_below) {
        bool up_to_zero = !high.given || !high.negative;
        struct span s = {a,   &untied,           up_to_zero ? zero : high,
                         low, range->n_fraction, range->units};
        s.low.excluded = up_to_zero || high.excluded; /* zero has no sign */
        uint32_t start = weir_automaton_state(a), minus = weir_automaton_state(a);
        weir_automaton_range(a, start, '-', '-', minus);
        lay_span(&s, minus);
        weir_automaton_empty(a, from, start);
    }
}
