/* SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"

enum {
    MAX_LIFE_US = 250000,   /* of a lease */
    LIFE_PART = 50,         /* and at most this part of the period */
    LATENCY_US = 50000,     /* how long exact units wait for the request that asked for them */
    KNOWN_US = 50000,       /* how long "there is not enough" is believed without asking again */
    PAUSE_US = 10000,       /* between two calls for a hot key that is used up */
    INTERVAL_US = 100000,   /* over which demand is measured */
    LEFT_PART = 2,          /* a lease takes at most this part of what is left, */
    DEPTH_PART = 16,        /* and of the depth */
    MIN_LEASED_BURST = 100, /* smaller limits would lose more than 2 % to the lease's margin */
};

/* a * b / c without overflow, saturated. */
static uint64_t scaled(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 x = (unsigned __int128)a * b / c;
    return x > INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)x;
}

static uint64_t refill(const struct bucket *b, uint64_t us)
{
    return scaled(b->rate.limit, us, b->rate.period_us);
}

static void set_lease(struct bucket *b, bool leased)
{
    uint64_t period_us = limit_window_s(&b->rate) * 1000000;
    uint64_t life = period_us / LIFE_PART < MAX_LIFE_US ? period_us / LIFE_PART : MAX_LIFE_US;
    uint64_t margin = refill(b, life) + 1;
    b->depth = b->rate.burst;
    b->life_us = 0;
    if (leased && b->rate.burst >= MIN_LEASED_BURST &&
        margin * LIFE_PART <= b->rate.burst + LIFE_PART) {
        b->depth -= margin;
        b->life_us = life;
    }
}

void bucket_init(struct bucket *b, const struct rate *rate, bool leased)
{
    *b = (struct bucket){.rate = *rate};
    set_lease(b, leased);
}

bool bucket_is_of(const struct bucket *b, const struct rate *rate)
{
    return b->rate.limit == rate->limit && b->rate.period_us == rate->period_us &&
           b->rate.burst == rate->burst;
}

void bucket_change(struct bucket *b, const struct rate *rate, bool leased, uint64_t now_us)
{
    b->rate = *rate;
    b->balance = b->balance < 0 ? b->balance : 0;
    b->left_at_us = 0;
    b->changed_us = now_us > b->changed_us ? now_us : b->changed_us + 1; /* another one each time */
    b->local_until_us = 0;
    set_lease(b, leased);
}

bool bucket_spend(struct bucket *b, uint64_t units, uint64_t now_us, bool fresh)
{
    if (b->balance < 0 || (uint64_t)b->balance < units || (!fresh && now_us > b->lease_until_us)) {
        return false;
    }
    b->balance -= (int64_t)units;
    return true;
}

void bucket_note(struct bucket *b, uint64_t units, uint64_t now_us)
{
    uint64_t elapsed = now_us > b->seen_us ? now_us - b->seen_us : 0; /* loops differ by a turn */
    if (elapsed >= INTERVAL_US) {
        uint64_t per_s = scaled(b->seen_units, 1000000, elapsed);
        b->per_s = elapsed >= (uint64_t)INTERVAL_US * 10 ? per_s : (b->per_s + per_s) / 2;
        b->seen_us = now_us;
        b->seen_units = 0;
    }
    b->seen_units += units;
}

static uint64_t lease_end(const struct bucket *b, uint64_t from_us)
{
    return from_us + (b->life_us ? b->life_us : LATENCY_US);
}

void bucket_credit(struct bucket *b, uint64_t units, uint64_t sent_us)
{
    /* Giving the old balance back and taking it again in the same call would have passed too, so
     * all of it is as young as this call. */
    b->lease_until_us = lease_end(b, sent_us);
    b->balance += (int64_t)units;
}

void bucket_refund(struct bucket *b, uint64_t units, uint64_t taken_us, uint64_t now_us)
{
    uint64_t whole_us = scaled(b->rate.burst, b->rate.period_us, b->rate.limit);
    if (units == 0 || now_us - taken_us >= whole_us || taken_us < b->changed_us) {
        return;
    }
    uint64_t until = lease_end(b, now_us);
    if (b->balance <= 0 || until < b->lease_until_us) {
        b->lease_until_us = until; /* the oldest unit decides for all */
    }
    b->balance += (int64_t)units;
}

void bucket_owe(struct bucket *b, uint64_t units)
{
    b->balance -= units > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)units;
}

void bucket_saw(struct bucket *b, int64_t left, uint64_t now_us)
{
    b->left = left;
    b->left_at_us = now_us;
}

uint64_t bucket_left(const struct bucket *b, uint64_t now_us)
{
    if (!b->left_at_us) {
        return b->depth;
    }
    uint64_t left = b->left > 0 ? (uint64_t)b->left : 0;
    left += now_us > b->left_at_us ? refill(b, now_us - b->left_at_us) : 0;
    return left < b->depth ? left : b->depth;
}

static uint64_t owned(const struct bucket *b)
{
    return b->balance > 0 ? (uint64_t)b->balance : 0;
}

bool bucket_is_short(const struct bucket *b, uint64_t units, uint64_t now_us)
{
    uint64_t age_us = now_us - b->left_at_us, left = bucket_left(b, now_us);
    if (b->life_us && age_us < PAUSE_US && b->left >= 0 && (uint64_t)b->left < left) {
        left = (uint64_t)b->left; /* let some refill before the store is asked again */
    }
    return b->left_at_us && age_us < KNOWN_US && units > owned(b) + left;
}

uint64_t bucket_ask(const struct bucket *b, uint64_t need, uint64_t now_us)
{
    uint64_t left = bucket_left(b, now_us), have = owned(b);
    uint64_t owes = b->balance < 0 ? (uint64_t)-b->balance : 0;
    uint64_t least = (need > have ? need - have : 0) + owes;
    uint64_t ask = (b->wanted > have ? b->wanted - have : 0) + owes;
    uint64_t lease = scaled(b->per_s, b->life_us, 1000000);
    if (lease > left / LEFT_PART) {
        lease = left / LEFT_PART;
    }
    if (lease > b->depth / DEPTH_PART) {
        lease = b->depth / DEPTH_PART;
    }
    if (b->life_us && lease > need) { /* else the key is cold */
        ask += lease;
    }
    if (b->left_at_us && ask > left) {
        ask = left;
    }
    ask = ask < b->depth ? ask : b->depth;
    return ask < least ? least : ask;
}

uint64_t bucket_expire(struct bucket *b, uint64_t now_us, bool all)
{
    if (b->balance <= 0 || (!all && now_us <= b->lease_until_us)) {
        return 0;
    }
    uint64_t units = (uint64_t)b->balance;
    b->balance = 0;
    return units;
}

uint64_t bucket_remaining(const struct bucket *b, uint64_t now_us)
{
    uint64_t n = owned(b) + bucket_left(b, now_us);
    return n < b->rate.burst ? n : b->rate.burst;
}

uint64_t bucket_reset_us(const struct bucket *b, uint64_t now_us)
{
    uint64_t missing = b->rate.burst - bucket_remaining(b, now_us);
    return scaled(missing, b->rate.period_us, b->rate.limit);
}

uint64_t bucket_retry_us(const struct bucket *b, uint64_t units, uint64_t now_us)
{
    uint64_t have = bucket_remaining(b, now_us);
    return units > have ? scaled(units - have, b->rate.period_us, b->rate.limit) + 1 : 1;
}

bool bucket_spend_local(struct bucket *b, uint64_t units, uint64_t now_us, uint32_t replicas)
{
    uint64_t burst_us = scaled(b->rate.burst, b->rate.period_us, b->rate.limit);
    uint64_t cost_us = scaled(units * replicas, b->rate.period_us, b->rate.limit);
    uint64_t until = b->local_until_us > now_us ? b->local_until_us : now_us;
    if (until + cost_us - now_us > burst_us) {
        return false;
    }
    b->local_until_us = until + cost_us;
    return true;
}
