/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream.h"

#include <stdlib.h>

#include "base/tls_client.h"
#include "lane.h"

static const char old_protocol[] = "\x08http/1.1";

const char *weir_upstream_tls_name(const struct weir_upstream *u)
{
    return u->settings.server_name ? u->settings.server_name : u->settings.host;
}

static int open_parts(struct weir_upstream *u, weir_str config_json, struct weir_error *err)
{
    const struct weir_upstream_settings *s = &u->settings;
    int r = weir_upstream_settings_read(&u->settings, config_json, err);
    if (r < 0) {
        return r;
    }
    u->jobs = calloc(u->sink->max_tickets, sizeof(struct weir_upstream_job *));
    if (!u->jobs) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    if (!s->is_tls) {
        return 0;
    }
    struct weir_tls_client_settings tls = {
        .ca = s->ca,
        .cert = s->cert,
        .key = s->cert_key,
        .protocols = s->http2 == WEIR_HTTP2_AUTO ? "\x02h2\x08http/1.1"
                     : s->http2 == WEIR_HTTP2_ON ? "\x02h2"
                                                 : old_protocol,
        .is_unverified = !s->is_verified,
        .keeps_session = true,
    };
    r = weir_tls_client_context_create(&tls, &u->tls, err);
    tls.protocols = old_protocol; /* a check is one request by itself */
    return r < 0 ? r : weir_tls_client_context_create(&tls, &u->check_tls, err);
}

int weir_upstream_create(const weir_host *host, weir_str config_json, const weir_sink *sink,
                         struct weir_upstream **ret_upstream, struct weir_error *err)
{
    struct weir_upstream *u = calloc(1, sizeof(*u));
    if (!u) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    u->host = host;
    u->sink = sink;
    int r = open_parts(u, config_json, err);
    if (r < 0) {
        weir_upstream_destroy(u);
        return r;
    }
    weir_upstream_figures_define(&u->figures, host, u->settings.authority);
    *ret_upstream = u;
    return 0;
}

void weir_upstream_destroy(struct weir_upstream *u)
{
    for (uint32_t i = 0; i < u->n_lanes; i++) {
        weir_upstream_lane_destroy(u->lanes[i]);
    }
    weir_tls_client_context_destroy(u->check_tls);
    weir_tls_client_context_destroy(u->tls);
    weir_upstream_settings_finish(&u->settings);
    free(u->jobs);
    free(u);
}

static uint64_t total(const _Atomic uint64_t *of_lane)
{
    return atomic_load_explicit(of_lane, memory_order_relaxed);
}

void weir_upstream_status(struct weir_upstream *u, weir_target_status *out)
{
    weir_target_status st = {
        .state = WEIR_TARGET_READY,
        .progress = 1,
        .cancelled = total(&u->n_cancelled),
    };
    for (uint32_t i = 0; i < u->n_lanes; i++) {
        const struct weir_upstream_totals *t = u->lanes[i] ? &u->lanes[i]->totals : NULL;
        if (t) {
            st.running += (uint32_t)total(&t->running);
            st.steps += total(&t->done);
            st.prompt_tokens += total(&t->prompt_tokens);
            st.completion_tokens += total(&t->completion_tokens);
        }
    }
    for (int rank = 0; rank < 3; rank++) {
        st.max_sequences[rank] = u->settings.max_requests;
    }
    uint32_t size =
        out->struct_size && out->struct_size < sizeof(st) ? out->struct_size : (uint32_t)sizeof(st);
    st.struct_size = size;
    memcpy(out, &st, size);
}
