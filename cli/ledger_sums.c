/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_sums.h"

#include <search.h>
#include <stdlib.h>

struct weir_ledger_sums {
    void *tree; /* of struct weir_ledger_sum */
};

static int compare(const void *a, const void *b)
{
    const struct weir_ledger_sum *x = a, *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    int names = strcmp(x->name, y->name);
    return names ? names : strcmp(x->currency, y->currency);
}

static void free_sum(void *p)
{
    struct weir_ledger_sum *sum = p;
    free(sum->name);
    free(sum->currency);
    free(sum);
}

int weir_ledger_sums_create(struct weir_ledger_sums **ret_sums)
{
    struct weir_ledger_sums *s = calloc(1, sizeof(*s));
    if (!s) {
        return WEIR_E_NOMEM;
    }
    *ret_sums = s;
    return 0;
}

void weir_ledger_sums_destroy(struct weir_ledger_sums *sums)
{
    if (sums) {
        tdestroy(sums->tree, free_sum);
        free(sums);
    }
}

void weir_ledger_totals_add(struct weir_ledger_totals *to, const struct weir_ledger_totals *more)
{
    to->requests += more->requests;
    to->prompt += more->prompt;
    to->cached += more->cached;
    to->completion += more->completion;
    to->delivered += more->delivered;
    to->gpu_us += more->gpu_us;
    to->amount += more->amount;
}

static int add_to(struct weir_ledger_sums *sums, enum weir_ledger_group group, const char *name,
                  const struct weir_ledger_entry *entry)
{
    struct weir_ledger_sum *sum = calloc(1, sizeof(*sum));
    if (!sum) {
        return WEIR_E_NOMEM;
    }
    *sum = (struct weir_ledger_sum){
        .group = group, .name = strdup(name), .currency = strdup(entry->currency)};
    void *node = sum->name && sum->currency ? tsearch(sum, &sums->tree, compare) : NULL;
    if (!node) {
        free_sum(sum);
        return WEIR_E_NOMEM;
    }
    struct weir_ledger_sum *there = *(struct weir_ledger_sum **)node;
    if (there != sum) {
        free_sum(sum);
    }
    weir_ledger_totals_add(&there->totals, &entry->add);
    return 0;
}

int weir_ledger_sums_add(struct weir_ledger_sums *sums, const struct weir_ledger_entry *entry)
{
    int a = add_to(sums, WEIR_LEDGER_TOTAL, "", entry);
    int b = add_to(sums, WEIR_LEDGER_MODEL, entry->model, entry);
    int c = add_to(sums, WEIR_LEDGER_KEY, entry->key, entry);
    int d = add_to(sums, WEIR_LEDGER_USER, entry->user, entry);
    return a < 0 || b < 0 || c < 0 || d < 0 ? WEIR_E_NOMEM : 0;
}

struct walk {
    void (*each)(void *arg, const struct weir_ledger_sum *sum);
    void *arg;
};

static void visit(const void *node, VISIT which, void *closure)
{
    const struct walk *w = closure;
    if (which == postorder || which == leaf) { /* in order, in the words of search.h */
        w->each(w->arg, *(struct weir_ledger_sum *const *)node);
    }
}

void weir_ledger_sums_each(const struct weir_ledger_sums *sums,
                           void (*each)(void *arg, const struct weir_ledger_sum *sum), void *arg)
{
    struct walk w = {each, arg};
    twalk_r(sums->tree, visit, &w);
}
