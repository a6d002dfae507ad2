/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugin's configuration, as its schema checked it. */
#include <stdbool.h>
#include <stdint.h>

#include "circuit.h"
#include "weir/types.h"

enum billing_store_loss {
    BILLING_LOSS_DENY,  /* nothing is served that the ledger does not know of */
    BILLING_LOSS_LOCAL, /* serve while the backlog has room */
    BILLING_LOSS_ALLOW, /* serve; what the backlog cannot hold is lost, and counted */
};

struct billing_config {
    char price_book[1024]; /* file; "": nothing has a price */
    enum billing_store_loss on_store_loss;
    uint32_t backlog; /* settlements kept in memory */
    bool idempotency;
    uint32_t replays;       /* further runs under one Idempotency-Key */
    char webhook_url[1024]; /* "": none */
    char webhook_secret[257];
    uint32_t webhook_attempts, webhook_timeout_ms, webhook_batch;
    struct circuit_settings webhook_circuit;
};

extern const char billing_schema[]; /* JSON Schema */
/* WEIR_E_FORMAT: the host did not check it. */
int billing_config_read(weir_str json, struct billing_config *ret_config);
