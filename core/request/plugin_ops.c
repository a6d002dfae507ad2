/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins can read and set of a request (weir/host.h), for the plugin host. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/admin/call.h"
#include "core/request/replay.h"
#include "core/request/request.h"
#include "core/request/tenant.h"
#include "core/server/worker.h"

static struct weir_request *from_req(weir_req *req)
{
    return (struct weir_request *)(void *)req;
}

static int give(weir_str value, weir_str *out)
{
    if (value.n == 0) {
        return WEIR_E_NOTFOUND;
    }
    *out = value;
    return 0;
}

static int get(weir_req *req, int field, weir_str *out)
{
    struct weir_request *r = from_req(req);
    switch (field) {
    case WEIR_FIELD_REQUEST_ID: return give(weir_str_from(r->id), out);
    case WEIR_FIELD_METHOD: return give(r->method, out);
    case WEIR_FIELD_PATH: return give(r->path, out);
    case WEIR_FIELD_MODEL: return give(r->api.model, out);
    case WEIR_FIELD_TENANT: return give(r->tenant, out);
    case WEIR_FIELD_KEY_ID: return give(r->key_id, out);
    case WEIR_FIELD_USER: return give(r->user, out);
    case WEIR_FIELD_CLASS:
        return give(weir_str_from(weir_class_name((enum weir_class)r->class_rank)), out);
    case WEIR_FIELD_PEER: return give(r->peer, out);
    case WEIR_FIELD_BODY: return give(r->body_text, out);
    case WEIR_FIELD_TARGET:
        if (r->replay) {
            return give(weir_str_from(r->replay->source), out);
        }
        return r->target ? give(weir_str_from(weir_target_name(r->target)), out) : WEIR_E_NOTFOUND;
    case WEIR_FIELD_TRACEPARENT: return give(r->traceparent, out);
    case WEIR_FIELD_TAGS: return give(r->tags, out);
    case WEIR_FIELD_KEY_LIMITS: return give(r->key_limits, out);
    case WEIR_FIELD_KEY_MODELS: return give(r->key_models, out);
    default: return WEIR_E_ARG;
    }
}

static int keep(struct weir_request *r, weir_str value, weir_str *to)
{
    weir_str copy = weir_arena_copy(&r->arena, value);
    if (!copy.p) {
        return WEIR_E_NOMEM;
    }
    *to = copy;
    return 0;
}

static int set_class(struct weir_request *r, weir_str value)
{
    enum weir_class c;
    int rc = weir_class_parse(value, &c);
    if (rc == 0) {
        r->class_rank = (uint32_t)c;
        r->class_given = true;
    }
    return rc;
}

/* Takes effect when the phase has passed: weir_generate_chat's follow-up. */
static int set_model(struct weir_request *r, weir_str value)
{
    struct weir_model *m = value.n ? weir_models_find(weir_worker_models(r->worker), value) : NULL;
    if (!r->model || !m || !weir_tenant_allows(r, m)) {
        return WEIR_E_NOTFOUND;
    }
    r->next_model = m;
    r->is_pinned = false;
    r->api.model = weir_str_from(weir_model_name(m));
    return 0;
}

static int set_target(struct weir_request *r, weir_str value)
{
    struct weir_model *m = r->next_model ? r->next_model : r->model;
    uint32_t n = m ? weir_model_n_targets(m) : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weir_str_is(value, weir_target_name(weir_model_target(m, i)))) {
            r->next_model = m;
            r->is_pinned = true;
            r->pinned_index = i;
            return 0;
        }
    }
    return WEIR_E_NOTFOUND;
}

static int set(weir_req *req, int field, weir_str value)
{
    struct weir_request *r = from_req(req);
    switch (field) {
    case WEIR_FIELD_MODEL: return set_model(r, value);
    case WEIR_FIELD_TARGET: return set_target(r, value);
    case WEIR_FIELD_TAGS: return keep(r, value, &r->tags);
    case WEIR_FIELD_TENANT: return keep(r, value, &r->tenant);
    case WEIR_FIELD_KEY_ID: return keep(r, value, &r->key_id);
    case WEIR_FIELD_KEY_LIMITS: return keep(r, value, &r->key_limits);
    case WEIR_FIELD_KEY_MODELS: return keep(r, value, &r->key_models);
    case WEIR_FIELD_USER: return keep(r, value, &r->user);
    case WEIR_FIELD_CLASS: return set_class(r, value);
    default: return WEIR_E_ARG;
    }
}

static int get_num(weir_req *req, int number, int64_t *out)
{
    struct weir_request *r = from_req(req);
    const weir_generation *g = &r->api.generation;
    switch (number) {
    case WEIR_NUMBER_PROMPT_TOKENS: *out = r->prepared.prompt_tokens; break;
    case WEIR_NUMBER_MAX_TOKENS: *out = r->prepared.max_tokens; break;
    case WEIR_NUMBER_N: *out = g->n; break;
    case WEIR_NUMBER_STREAM: *out = r->api.stream; break;
    case WEIR_NUMBER_PRIORITY: *out = r->priority; return 0;
    case WEIR_NUMBER_DEADLINE_MS: *out = r->deadline_ms; return 0;
    case WEIR_NUMBER_ARRIVED_US: *out = (int64_t)r->arrived_us; return 0;
    case WEIR_NUMBER_CACHED_ONLY: *out = r->cached_only; return 0;
    case WEIR_NUMBER_CACHE_BYTES: *out = weir_tenant_cache_bytes(r); return 0;
    case WEIR_NUMBER_OUTPUT_TOKENS: *out = (int64_t)r->n_out_tokens; return 0;
    default: return WEIR_E_ARG;
    }
    return r->is_prepared ? 0 : WEIR_E_NOTFOUND;
}

static int set_num(weir_req *req, int number, int64_t value)
{
    struct weir_request *r = from_req(req);
    if (value < 0 || value > INT32_MAX) {
        return WEIR_E_ARG;
    }
    switch (number) {
    case WEIR_NUMBER_MAX_TOKENS:
        if (value == 0 || !r->is_prepared || value > r->prepared.max_tokens) {
            return WEIR_E_ARG;
        }
        r->prepared.max_tokens = (uint32_t)value;
        r->api.generation.max_tokens = (uint32_t)value; /* and when it is prepared again */
        return 0;
    case WEIR_NUMBER_PRIORITY: r->priority = (int32_t)value; return 0;
    case WEIR_NUMBER_DEADLINE_MS: r->deadline_ms = (uint32_t)value; return 0;
    default: return WEIR_E_ARG;
    }
}

/* A field that came twice must not be read as one of the two: what stands behind reads the other.
 */
static int header(weir_req *req, weir_str name, weir_str *out)
{
    struct weir_request *r = from_req(req);
    weir_str all = {NULL, 0};
    for (size_t i = 0; r->ex && i < weir_http_n_headers(r->ex); i++) {
        weir_str field, value;
        weir_http_header_at(r->ex, i, &field, &value);
        if (field.n != name.n || strncasecmp(field.p, name.p, name.n) != 0) {
            continue;
        }
        all = all.p ? weir_arena_printf(&r->arena, "%.*s, %.*s", (int)all.n, all.p, (int)value.n,
                                        value.p)
                    : value;
        if (!all.p) {
            return WEIR_E_NOMEM;
        }
    }
    return give(all, out);
}

static int json(weir_req *req, const char *pointer, weir_str *out)
{
    struct weir_request *r = from_req(req);
    yyjson_val *v = yyjson_doc_ptr_get(r->body, pointer);
    if (!v) {
        return WEIR_E_NOTFOUND;
    }
    if (yyjson_is_str(v)) {
        *out = (weir_str){yyjson_get_str(v), yyjson_get_len(v)};
        return 0;
    }
    size_t n = 0;
    char *text = yyjson_val_write(v, 0, &n);
    weir_str copy = text ? weir_arena_copy(&r->arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    *out = copy;
    return copy.p ? 0 : WEIR_E_NOMEM;
}

static int deny(weir_req *req, int status, weir_str type, weir_str code, weir_str message)
{
    struct weir_request *r = from_req(req);
    r->answer_is_body = false;
    r->answer_replay = NULL;
    r->answer_status = status >= 400 && status <= 599 ? (uint32_t)status : 403;
    int a = keep(r, type, &r->answer_type);
    int b = keep(r, code, &r->answer_code);
    int c = keep(r, message, &r->answer_text);
    return a < 0 || b < 0 || c < 0 ? WEIR_E_NOMEM : 0;
}

static int respond(weir_req *req, int status, weir_str content_type, weir_str body)
{
    struct weir_request *r = from_req(req);
    r->answer_is_body = true;
    r->answer_replay = NULL;
    r->answer_status = status >= 200 && status <= 599 ? (uint32_t)status : 200;
    int a = keep(r, content_type, &r->answer_type);
    int b = keep(r, body, &r->answer_text);
    return a < 0 || b < 0 ? WEIR_E_NOMEM : 0;
}

static int answer_key(weir_req *req, const uint8_t *secret, weir_answer_key *out)
{
    return weir_replay_key(from_req(req), secret, out);
}

static int replay(weir_req *req, weir_str source, const weir_chunk *chunks, size_t n_chunks,
                  const weir_outcome *outcome)
{
    struct weir_request *r = from_req(req);
    bool embeds = r->api.generation.kind == WEIR_GENERATION_EMBEDDING;
    for (size_t i = 0; i < n_chunks; i++) {
        if (chunks[i].kind != WEIR_CHUNK_FINISH &&
            (chunks[i].kind == WEIR_CHUNK_EMBEDDING) != embeds) {
            return WEIR_E_ARG; /* an answer to something else */
        }
    }
    return weir_replay_make(&r->arena, source, chunks, n_chunks, outcome, &r->answer_replay);
}

static int set_header(weir_req *req, weir_str name, weir_str value)
{
    static const weir_str location = WEIR_STR_INIT("location");
    struct weir_request *r = from_req(req);
    if (!r->ex || weir_http_response_begun(r->ex)) {
        return WEIR_E_GONE;
    }
    if (r->admin && name.n == location.n && strncasecmp(name.p, location.p, name.n) == 0) {
        weir_admin_set_location(r, value);
        return 0;
    }
    return weir_http_add_header(r->ex, name, value);
}

/* NULL for admin requests, which go through no plugins. */
static struct weir_plugin_run *run(weir_req *req)
{
    struct weir_request *r = from_req(req);
    return r->run_begun ? &r->run : NULL;
}

static struct weir_plugin_admin *admin(weir_req *req)
{
    struct weir_request *r = from_req(req);
    return r->admin ? &r->admin->plugin : NULL;
}

const struct weir_plugin_request_ops weir_request_plugin_ops = {
    .get = get,
    .set = set,
    .get_num = get_num,
    .set_num = set_num,
    .header = header,
    .json = json,
    .deny = deny,
    .respond = respond,
    .set_header = set_header,
    .answer_key = answer_key,
    .replay = replay,
    .run = run,
    .admin = admin,
};
