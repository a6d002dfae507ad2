/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets of a store that is in this process. Calls are made under the lock of the owners' shard:
 * they wait for nothing, and call nothing back. */
#include "ledger.h"

static void learn(struct reservation *r, uint32_t n)
{
    for (uint32_t i = r->n_done; i < r->n_done + n; i++) {
        r->holds[i].left = r->at_hand[i].left;
    }
    ledger_note(r, r->n_done, n);
}

void direct_hold(struct reservation *r)
{
    struct ledger *l = r->ledger;
    while (r->rc == 0 && r->n_done < r->n) {
        uint32_t n = ledger_next(r), by = 0;
        if (ledger_is_lost(l)) {
            r->rc = WEIR_E_IO;
            return;
        }
        r->rc = l->store->budget_hold(l->host, &r->at_hand[r->n_done], n, &by);
        ledger_answered(l, r->rc);
        if (r->rc == 0 || r->rc == WEIR_E_BUSY) {
            learn(r, n);
        }
        if (r->rc == WEIR_E_BUSY) {
            r->by = r->n_done + by;
        }
        r->n_done += r->rc == 0 ? n : 0;
    }
}

/* The next group. */
static int settle_next(struct reservation *r, uint32_t n)
{
    const struct ledger *l = r->ledger;
    struct level_shard *sh = r->holds[r->n_done].owner->e.shard;
    pthread_mutex_lock(&sh->lock);
    int rc = l->store->budget_settle(l->host, &r->at_hand[r->n_done], n);
    if (rc == 0) {
        learn(r, n);
        for (uint32_t i = r->n_done; i < r->n_done + n; i++) {
            r->holds[i].owner->e.pins--;
        }
    }
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

void direct_settle(struct reservation *r)
{
    while (r->n_done < r->n) {
        uint32_t n = ledger_next(r);
        int rc = settle_next(r, n);
        ledger_answered(r->ledger, rc);
        if (rc < 0) {
            ledger_put_off(r);
            return;
        }
        r->n_done += n;
    }
    ledger_free(r);
}

void direct_let_go(struct reservation *r)
{
    const struct ledger *l = r->ledger;
    uint32_t n_held = r->n_done;
    for (uint32_t i = 0; i < n_held; i++) {
        r->at_hand[i].units = 0;
    }
    for (r->n_done = 0; r->n_done < n_held; r->n_done += ledger_next(r)) {
        (void)l->store->budget_settle(l->host, &r->at_hand[r->n_done], ledger_next(r));
    }
}
