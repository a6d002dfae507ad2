/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/server.h"

enum { HEARTBEAT_LIMIT_US = 5 * 1000000 };

bool weir_server_is_live(const struct weir_server *s)
{
    for (uint32_t i = 0; i < s->n_workers; i++) {
        if (weir_worker_heartbeat_age_us(s->workers[i]) > HEARTBEAT_LIMIT_US) {
            return false;
        }
    }
    return true;
}

/* An upstream that is away is no reason to take this replica out, since others see the same; but
 * with no model at all it is of no use. */
static bool models_are_ready(const struct weir_models *models, struct weir_error *ret_why)
{
    static const char *const words[] = {"unknown", "loading", "ready", "stalled", "failed"};
    const struct weir_model *bad = NULL;
    uint32_t bad_state = 0, n_ready = 0;
    bool blocks = false;
    for (uint32_t i = 0; i < models->n; i++) {
        struct weir_model *m = models->list[i];
        uint32_t state = weir_model_state(m);
        n_ready += state == WEIR_TARGET_READY;
        if (state != WEIR_TARGET_READY && (!bad || !weir_model_is_remote(m))) {
            bad = m;
            bad_state = state;
            blocks = blocks || !weir_model_is_remote(m);
        }
    }
    if (bad && (blocks || n_ready == 0)) {
        weir_error_set(ret_why, WEIR_E_BUSY, "model %s is %s", weir_model_name(bad),
                       words[bad_state <= 4 ? bad_state : 0]);
        return false;
    }
    return true;
}

bool weir_server_is_ready(struct weir_server *s, struct weir_error *ret_why)
{
    if (atomic_load_explicit(&s->draining, memory_order_relaxed)) {
        weir_error_set(ret_why, WEIR_E_GONE, "shutting down");
        return false;
    }
    if (!weir_tenant_records_were_tried(s->records)) {
        weir_error_set(ret_why, WEIR_E_BUSY, "the tenants are being read");
        return false;
    }
    return models_are_ready(&s->models, ret_why);
}
