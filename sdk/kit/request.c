/* SPDX-License-Identifier: Apache-2.0 */
#include "sdk/kit/request.h"

#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

#include "base/http_field.h"

enum { ARENA_BYTES = 1024 * 1024 };

weir_req *weir_kit_request_handle(struct weir_kit_request *r)
{
    return (weir_req *)r;
}

static struct weir_kit_request *from(weir_req *r)
{
    return (struct weir_kit_request *)r;
}

static int get(weir_req *req, int field, weir_str *out)
{
    const struct weir_kit_request *r = from(req);
    if (!r->has_field[field]) {
        return WEIR_E_NOTFOUND;
    }
    *out = r->fields[field];
    return 0;
}

static int set(weir_req *req, int field, weir_str value)
{
    struct weir_kit_request *r = from(req);
    weir_str copy = weir_arena_copy(&r->arena, value);
    if (!copy.p) {
        return WEIR_E_NOMEM;
    }
    r->fields[field] = copy;
    r->has_field[field] = true;
    return 0;
}

static int get_num(weir_req *req, int number, int64_t *out)
{
    const struct weir_kit_request *r = from(req);
    if (!r->has_number[number]) {
        return WEIR_E_NOTFOUND;
    }
    *out = r->numbers[number];
    return 0;
}

static int set_num(weir_req *req, int number, int64_t value)
{
    struct weir_kit_request *r = from(req);
    r->numbers[number] = value;
    r->has_number[number] = true;
    return 0;
}

static bool same_name(weir_str a, weir_str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static int header(weir_req *req, weir_str name, weir_str *out)
{
    const struct weir_kit_request *r = from(req);
    for (size_t i = 0; i < r->n_headers; i++) {
        if (same_name(r->headers[i].name, name)) {
            *out = r->headers[i].value;
            return 0;
        }
    }
    return WEIR_E_NOTFOUND;
}

static int json(weir_req *req, const char *pointer, weir_str *out)
{
    struct weir_kit_request *r = from(req);
    yyjson_val *v = r->body ? yyjson_doc_ptr_get(r->body, pointer) : NULL;
    if (!v) {
        return WEIR_E_NOTFOUND;
    }
    if (yyjson_is_str(v)) {
        *out = (weir_str){yyjson_get_str(v), yyjson_get_len(v)};
        return 0;
    }
    size_t n = 0;
    char *text = yyjson_val_write(v, 0, &n);
    *out = text ? weir_arena_copy(&r->arena, (weir_str){text, n}) : (weir_str){NULL, 0};
    free(text);
    return out->p ? 0 : WEIR_E_NOMEM;
}

static int deny(weir_req *req, int status, weir_str type, weir_str code, weir_str message)
{
    struct weir_kit_request *r = from(req);
    r->status = status;
    r->is_respond = false;
    r->type = weir_arena_copy(&r->arena, type);
    r->code = weir_arena_copy(&r->arena, code);
    r->text = weir_arena_copy(&r->arena, message);
    return r->type.p && r->code.p && r->text.p ? 0 : WEIR_E_NOMEM;
}

static int respond(weir_req *req, int status, weir_str content_type, weir_str body)
{
    struct weir_kit_request *r = from(req);
    r->status = status;
    r->is_respond = true;
    r->type = weir_arena_copy(&r->arena, content_type);
    r->text = weir_arena_copy(&r->arena, body);
    return r->type.p && r->text.p ? 0 : WEIR_E_NOMEM;
}

static int set_header(weir_req *req, weir_str name, weir_str value)
{
    struct weir_kit_request *r = from(req);
    if (!weir_http_is_token(name) || !weir_http_is_field_value(value)) {
        return WEIR_E_ARG;
    }
    if (r->n_sent == WEIR_KIT_MAX_HEADERS) {
        return WEIR_E_NOMEM;
    }
    struct weir_kit_header *h = &r->sent[r->n_sent];
    *h = (struct weir_kit_header){weir_arena_copy(&r->arena, name),
                                  weir_arena_copy(&r->arena, value)};
    if (!h->name.p || !h->value.p) {
        return WEIR_E_NOMEM;
    }
    r->n_sent++;
    return 0;
}

/* The body's text in place of what a server would make of it. */
static int answer_key(weir_req *req, const uint8_t *secret, weir_answer_key *out)
{
    const struct weir_kit_request *r = from(req);
    weir_str body = r->fields[WEIR_FIELD_BODY], tenant = r->fields[WEIR_FIELD_TENANT];
    *out = (weir_answer_key){.struct_size = sizeof(*out), .flags = WEIR_ANSWER_LIMITED};
    XXH128_hash_t h = XXH3_128bits_withSeed(body.p, body.n, XXH3_64bits(tenant.p, tenant.n));
    (void)secret;
    memcpy(out->digest, &h, sizeof(h));
    return 0;
}

static int replay(weir_req *req, weir_str source, const weir_chunk *chunks, size_t n_chunks,
                  const weir_outcome *outcome)
{
    struct weir_kit_request *r = from(req);
    (void)source;
    (void)outcome;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < n_chunks; i++) {
        n += chunks[i].text.n;
    }
    char *text = weir_arena_alloc(&r->arena, n + 1);
    for (size_t i = 0; text && i < n_chunks; i++) {
        if (chunks[i].text.n) {
            memcpy(text + at, chunks[i].text.p, chunks[i].text.n);
            at += chunks[i].text.n;
        }
    }
    r->status = 200;
    r->is_respond = true;
    r->text = (weir_str){text, n};
    return text ? 0 : WEIR_E_NOMEM;
}

static struct weir_plugin_run *run_of(weir_req *req)
{
    struct weir_kit_request *r = from(req);
    return r->is_admin ? NULL : &r->run;
}

static struct weir_plugin_admin *admin_of(weir_req *req)
{
    struct weir_kit_request *r = from(req);
    return r->is_admin ? &r->admin : NULL;
}

const struct weir_plugin_request_ops weir_kit_request_ops = {
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
    .run = run_of,
    .admin = admin_of,
};

void weir_kit_request_field(struct weir_kit_request *r, int field, const char *value)
{
    (void)set(weir_kit_request_handle(r), field, weir_str_from(value));
}

void weir_kit_request_header(struct weir_kit_request *r, const char *name, const char *value)
{
    if (r->n_headers < WEIR_KIT_MAX_HEADERS) {
        r->headers[r->n_headers++] =
            (struct weir_kit_header){weir_arena_copy(&r->arena, weir_str_from(name)),
                                     weir_arena_copy(&r->arena, weir_str_from(value))};
    }
}

weir_str weir_kit_request_sent(const struct weir_kit_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_sent; i++) {
        if (same_name(r->sent[i].name, weir_str_from(name))) {
            return r->sent[i].value;
        }
    }
    return (weir_str){NULL, 0};
}

int weir_kit_request_init(struct weir_kit_request *r, const char *body)
{
    *r = (struct weir_kit_request){0};
    weir_arena_init(&r->arena, ARENA_BYTES);
    r->body = yyjson_read(body, strlen(body), 0);
    weir_kit_request_field(r, WEIR_FIELD_REQUEST_ID, "req-1");
    weir_kit_request_field(r, WEIR_FIELD_METHOD, "POST");
    weir_kit_request_field(r, WEIR_FIELD_PATH, "/v1/chat/completions");
    weir_kit_request_field(r, WEIR_FIELD_MODEL, "m");
    weir_kit_request_field(r, WEIR_FIELD_CLASS, "interactive_ui");
    weir_kit_request_field(r, WEIR_FIELD_PEER, "192.0.2.1");
    weir_kit_request_field(r, WEIR_FIELD_BODY, body);
    weir_req *req = weir_kit_request_handle(r);
    (void)set_num(req, WEIR_NUMBER_PROMPT_TOKENS, 12);
    (void)set_num(req, WEIR_NUMBER_MAX_TOKENS, 100);
    (void)set_num(req, WEIR_NUMBER_N, 1);
    (void)set_num(req, WEIR_NUMBER_STREAM, 1);
    return r->body && r->has_field[WEIR_FIELD_BODY] ? 0 : WEIR_E_NOMEM;
}

static void on_resumed(struct weir_plugin_run *run, enum weir_plugin_outcome outcome)
{
    struct weir_kit_request *r = from(run->req);
    r->n_resumed++;
    r->outcome = outcome;
}

static void on_output_resumed(struct weir_plugin_run *run, enum weir_plugin_outcome outcome)
{
    struct weir_kit_request *r = from(run->req);
    r->n_unpaused++;
    r->output = outcome;
}

int weir_kit_request_begin(struct weir_kit_request *r, struct weir_plugin_chain *chain,
                           struct weir_plugin_loop *loop)
{
    int rc = weir_plugin_run_init(&r->run, chain, weir_kit_request_handle(r), loop, &r->arena,
                                  on_resumed);
    r->run.output_resumed = on_output_resumed;
    return rc;
}

static enum weir_plugin_admin_outcome admin_route(struct weir_kit_request *r)
{
    uint32_t scopes = 0;
    int rc = weir_plugin_admin_find(&r->admin, r->fields[WEIR_FIELD_METHOD],
                                    r->fields[WEIR_FIELD_PATH], &scopes);
    if (rc < 0) {
        r->status = rc == WEIR_E_UNSUPPORTED ? 405 : 404;
        return WEIR_PLUGIN_ADMIN_ANSWERED;
    }
    return weir_plugin_admin_call(&r->admin);
}

static void on_admin_resumed(struct weir_plugin_admin *a, enum weir_plugin_admin_outcome outcome)
{
    struct weir_kit_request *r = from(a->req);
    if (outcome == WEIR_PLUGIN_ADMIN_DONE) {
        outcome = admin_route(r);
    }
    r->admin_outcome = outcome;
    r->n_resumed += outcome != WEIR_PLUGIN_ADMIN_SUSPENDED;
}

enum weir_plugin_admin_outcome weir_kit_request_admin(struct weir_kit_request *r,
                                                      struct weir_plugin_chain *chain,
                                                      struct weir_plugin_loop *loop,
                                                      const char *method, const char *path)
{
    const char *query = strchr(path, '?');
    weir_str before = {path, query ? (size_t)(query - path) : strlen(path)};
    r->is_admin = true;
    weir_kit_request_field(r, WEIR_FIELD_METHOD, method);
    (void)set(weir_kit_request_handle(r), WEIR_FIELD_PATH, before);
    weir_plugin_admin_init(&r->admin, chain, weir_kit_request_handle(r), loop, &r->arena,
                           on_admin_resumed);
    r->admin.query = weir_str_from(query ? query + 1 : "");
    weir_str credentials;
    bool shown =
        header(weir_kit_request_handle(r), weir_str_from("authorization"), &credentials) == 0;
    if (!shown) {
        r->admin.caller = (weir_admin_caller){.struct_size = sizeof(weir_admin_caller),
                                              .scopes = WEIR_SCOPE_ADMIN};
        return admin_route(r);
    }
    enum weir_plugin_admin_outcome outcome = weir_plugin_admin_guard(&r->admin);
    return outcome == WEIR_PLUGIN_ADMIN_DONE ? admin_route(r) : outcome;
}

void weir_kit_request_finish(struct weir_kit_request *r)
{
    weir_plugin_admin_finish(&r->admin);
    weir_plugin_run_finish(&r->run);
    yyjson_doc_free(r->body);
    weir_arena_finish(&r->arena);
}
