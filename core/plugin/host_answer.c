/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.answer/1". */
#include "core/plugin/plugins_internal.h"
#include "core/plugin/run.h"

static const struct weir_plugin_request_ops *ops_of(const weir_host *h)
{
    return weir_host_instance(h)->plugins->options.ops;
}

static int key(const weir_host *h, weir_req *r, weir_answer_key *out)
{
    const struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    return run && out ? ops_of(h)->answer_key(r, NULL, out) : WEIR_E_ARG;
}

static int own_key(const weir_host *h, weir_req *r, const uint8_t secret[WEIR_ANSWER_SECRET_BYTES],
                   weir_answer_key *out)
{
    const struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    return run && secret && out ? ops_of(h)->answer_key(r, secret, out) : WEIR_E_ARG;
}

static bool is_sound(const weir_chunk *c)
{
    return c->kind >= WEIR_CHUNK_TEXT && c->kind <= WEIR_CHUNK_EMBEDDING &&
           c->choice < WEIR_PLUGIN_MAX_CHOICES;
}

static int replay(const weir_host *h, weir_req *r, const weir_chunk *chunks, size_t n_chunks,
                  const weir_outcome *outcome)
{
    struct weir_plugin_run *run = r ? ops_of(h)->run(r) : NULL;
    bool in_time = run && run->in_phase_hook && !run->answered &&
                   (run->phase == WEIR_PHASE_BODY || run->phase == WEIR_PHASE_ROUTE);
    if (!in_time || !outcome || n_chunks == 0) {
        return WEIR_E_ARG;
    }
    for (size_t i = 0; i < n_chunks; i++) {
        if (!is_sound(&chunks[i])) {
            return WEIR_E_ARG;
        }
    }
    weir_str source = weir_str_from(weir_host_instance(h)->lib->about.name);
    int rc = ops_of(h)->replay(r, source, chunks, n_chunks, outcome);
    if (rc == 0) {
        run->answered = true;
        run->responded = true;
        run->chunks_from = run->called + 1;
    }
    return rc;
}

const weir_ext_answer weir_host_answer = {
    .struct_size = sizeof(weir_host_answer),
    .key = key,
    .replay = replay,
    .own_key = own_key,
};
