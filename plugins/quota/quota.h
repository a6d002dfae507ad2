/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's instance, for its settings, answers, metrics and admin route. */
#include "ledger.h"

extern const char quota_schema[];

struct quota_metrics {
    const weir_ext_metrics *ext; /* NULL: the host has none */
    weir_metric requests, degraded, store_lost, store_failures, dropped, pending, warnings;
};

struct quota {
    struct ledger ledger; /* first */
    uint64_t assumed_tokens;
    struct quota_metrics metrics;
    uint64_t timer;
};

enum { QUOTA_ERROR_BYTES = 400 };

/* settings.c: fills in the ledger's part too. */
int quota_read_settings(struct quota *q, weir_str json, char error[QUOTA_ERROR_BYTES]);
/* answer.c */
void quota_answer(const struct quota *q, weir_req *r, const struct reservation *by,
                  enum reserve_result why);
void quota_warn(const struct quota *q, weir_req *r, const struct reservation *v);
/* metrics.c: define only inside instance_create; publish once a second [main]. */
void quota_define_metrics(struct quota *q);
void quota_publish(struct quota *q);
/* admin.c: GET tenants/NAME [loop] */
int quota_show(void *quota, weir_req *r);
