/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of a bill share: bill.c makes it and holds its output, bill_job.c tells the store
 * of it, bill_end.c settles it. Nobody else includes this. */
#include "bill.h"
#include "facts.h"

struct bill {
    struct bill *next, *prev; /* under billing.bills_lock */
    struct billing *b;
    atomic_uint refs;
    struct billing_facts facts; /* [loop] its texts lie in `later`, or behind the struct */
    char *later;                /* allocated */
    char job[BILLING_ID_BYTES];
    char idem[BILLING_IDEM_BYTES];
    bool replay;
    bool stream;              /* [loop] */
    bool has_marks;           /* a stream whose job is in the store */
    bool admitted;            /* [loop] ADMIT has been seen */
    _Atomic uint64_t n_given; /* tokens of the chunks seen, the present one included */
    /* Read without it where nearly every chunk passes: a value that is a
     * little old only leads to the lock. */
    _Atomic uint64_t n_delivered, n_marked; /* marked: acknowledged by the store */
    atomic_bool is_open;                    /* the store has acknowledged the job */
    atomic_bool is_held;                    /* `ticket` is open */
    int64_t prompt_tokens;

    pthread_mutex_t lock; /* everything below */
    weir_str facts_text;  /* allocated */
    uint64_t n_out;       /* tokens that had gone out before the present chunk */
    uint64_t n_asked;     /* of the put under way */
    bool in_flight;       /* a put is under way */
    bool again;           /* put once more when it has ended */
    bool ended;
    uint64_t put_us;     /* of the last put */
    uint64_t failing_us; /* since when puts fail; 0: they do not */
    weir_ticket ticket;  /* of the pause; 0: output goes on */

    struct billing_totals want; /* [loop] at the end */
    struct billing_end end;     /* the same */
    char texts[];
};

/* Gives a reference back; the last one frees the bill. */
void bill_unref(struct bill *bill);
/* Nobody finds it in billing.bills any more. */
void bill_unlink(struct bill *bill);

/* Under the lock. May the present chunk go out? */
bool bill_may_go_out(const struct bill *bill);
/* Under the lock. Output waits for the ticket; 0: it goes on. */
void bill_set_ticket(struct bill *bill, weir_ticket ticket);
/* Puts the job when a mark is due or `now` asks for it; else the put under way is followed by
 * another. */
void bill_tell_store(struct bill *bill, bool now);
