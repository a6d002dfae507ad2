/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoints.h"

#include <stdlib.h>

#include "core/api/json_body.h"
#include "core/api/param.h"
#include "core/request/answer.h"
#include "core/request/request.h"
#include "core/request/tenant.h"
#include "core/server/server.h"

enum { MAX_PAGE_BYTES = 64 * 1024 * 1024 };

static void answer_probe(struct weir_request *r, bool good, const char *why)
{
    struct weir_buf b;
    weir_buf_init(&b, 2048);
    weir_buf_add_text(&b, good ? "{\"status\":\"ok\"" : "{\"status\":\"unavailable\",\"reason\":");
    if (!good) {
        weir_buf_add_json_str(&b, weir_str_from(why));
    }
    weir_buf_add_char(&b, '}');
    weir_answer_json(r, good ? 200 : 503, weir_buf_view(&b));
    weir_buf_finish(&b);
}

void weir_endpoint_live(struct weir_request *r)
{
    answer_probe(r, weir_server_is_live(weir_worker_server(r->worker)), "an event loop hangs");
}

void weir_endpoint_ready(struct weir_request *r)
{
    struct weir_error why = {0};
    bool good = weir_server_is_ready(weir_worker_server(r->worker), &why);
    answer_probe(r, good, why.message);
}

void weir_endpoint_startup(struct weir_request *r)
{
    struct weir_server *s = weir_worker_server(r->worker);
    answer_probe(r, atomic_load_explicit(&s->started, memory_order_relaxed), "models are loading");
}

static void add_model(struct weir_buf *b, struct weir_model *m)
{
    weir_target_status status = {0};
    if (weir_model_n_targets(m)) {
        weir_target_read_status(weir_model_target(m, 0), &status);
    }
    weir_buf_add_text(b, "{\"id\":");
    weir_buf_add_json_str(b, weir_str_from(weir_model_name(m)));
    weir_buf_printf(b,
                    ",\"object\":\"model\",\"created\":%llu,\"owned_by\":\"weir\","
                    "\"max_model_len\":%u}",
                    (unsigned long long)weir_model_created_s(m), status.n_ctx);
}

void weir_endpoint_models(struct weir_request *r)
{
    const struct weir_models *models = weir_worker_models(r->worker);
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_buf_add_text(&b, "{\"object\":\"list\",\"data\":[");
    const char *comma = "";
    for (uint32_t i = 0; i < models->n; i++) {
        if (weir_tenant_allows(r, models->list[i])) {
            weir_buf_add_text(&b, comma);
            add_model(&b, models->list[i]);
            comma = ",";
        }
    }
    weir_buf_add_text(&b, "]}");
    weir_answer_json(r, 200, weir_buf_view(&b));
    weir_buf_finish(&b);
}

void weir_endpoint_model(struct weir_request *r)
{
    size_t prefix = sizeof("/v1/models/") - 1;
    weir_str name = {r->path.p + prefix, r->path.n - prefix};
    struct weir_model *m = weir_models_find(weir_worker_models(r->worker), name);
    if (!m || !weir_tenant_allows(r, m)) {
        weir_answer_unknown_model(r, name);
        return;
    }
    struct weir_buf b;
    weir_buf_init(&b, 4096);
    add_model(&b, m);
    weir_answer_json(r, 200, weir_buf_view(&b));
    weir_buf_finish(&b);
}

/* Parses the body and finds the target; answers and returns NULL when it cannot. */
static struct weir_target *read_body(struct weir_request *r, const weir_str *known)
{
    struct weir_error err = {0};
    if (weir_json_body_parse(weir_http_body(r->ex), &r->arena, &r->body, &err) < 0) {
        weir_answer_error(r, 400, "", "invalid_json", "%s.", err.message);
        return NULL;
    }
    yyjson_val *root = yyjson_doc_get_root(r->body);
    yyjson_val *model = yyjson_obj_get(root, "model");
    weir_str name = {NULL, 0};
    if (weir_param_known_keys(root, "body", known, &r->refusal) < 0 ||
        (model && !yyjson_is_null(model) &&
         weir_param_str(model, "model", 256, &name, &r->refusal) < 0)) {
        weir_answer_refusal(r, &r->refusal);
        return NULL;
    }
    r->model = weir_models_find(weir_worker_models(r->worker), name);
    if (!r->model || !weir_tenant_allows(r, r->model)) {
        weir_answer_unknown_model(r, name);
        return NULL;
    }
    struct weir_target *target =
        weir_model_choose(r->model, NULL, weir_worker_now_us(r->worker), NULL);
    if (!target) {
        weir_answer_busy(r, 503, "model_unavailable", 2000000, "The model '%s' cannot run now.",
                         weir_model_name(r->model));
    }
    return target;
}

static void answer_tokens(struct weir_request *r, const int32_t *tokens, size_t n)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_buf_add_text(&b, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) {
            weir_buf_add_char(&b, ',');
        }
        weir_buf_add_u64(&b, (uint64_t)tokens[i]);
    }
    weir_buf_printf(&b, "],\"count\":%zu}", n);
    weir_answer_json(r, 200, weir_buf_view(&b));
    weir_buf_finish(&b);
}

static void answer_failure(struct weir_request *r, int64_t rc)
{
    if (rc == WEIR_E_UNSUPPORTED) {
        weir_answer_error(r, 400, "model", "model_not_supported",
                          "This model's target cannot tokenize.");
    } else if (rc == WEIR_E_ARG) {
        weir_answer_error(r, 400, "tokens", "invalid_value",
                          "A token id is outside the vocabulary.");
    } else {
        weir_answer_error(r, 500, "", "internal_error", "%s.", weir_error_name((int)rc));
    }
}

void weir_endpoint_tokenize(struct weir_request *r)
{
    static const weir_str known[] = {
        WEIR_STR_INIT("model"), WEIR_STR_INIT("content"), WEIR_STR_INIT("add_special"), {NULL, 0}};
    struct weir_target *target = read_body(r, known);
    if (!target) {
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(r->body);
    weir_str content;
    bool add_special = false;
    yyjson_val *special = yyjson_obj_get(root, "add_special");
    if (weir_param_str(yyjson_obj_get(root, "content"), "content", SIZE_MAX, &content,
                       &r->refusal) < 0 ||
        (special && weir_param_bool(special, "add_special", &add_special, &r->refusal) < 0)) {
        weir_answer_refusal(r, &r->refusal);
        return;
    }
    size_t cap = content.n + 8; /* no tokenizer makes more tokens than bytes, specials apart */
    int32_t *tokens = malloc(cap * sizeof(*tokens));
    int64_t n =
        tokens ? weir_target_tokenize(target, content, add_special, tokens, cap) : WEIR_E_NOMEM;
    if (n >= 0 && (size_t)n <= cap) {
        answer_tokens(r, tokens, (size_t)n);
    } else {
        answer_failure(r, n < 0 ? n : WEIR_E_INTERNAL);
    }
    free(tokens);
}

static int read_tokens(struct weir_request *r, yyjson_val *list, int32_t *tokens)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(list, i, n, one)
    {
        uint32_t token = 0;
        int rc = weir_param_uint(one, "tokens", 0, INT32_MAX, &token, &r->refusal);
        if (rc < 0) {
            return rc;
        }
        tokens[i] = (int32_t)token;
    }
    return 0;
}

static void answer_content(struct weir_request *r, weir_str content)
{
    struct weir_buf b;
    weir_buf_init(&b, MAX_PAGE_BYTES);
    weir_buf_add_text(&b, "{\"content\":");
    weir_buf_add_json_str(&b, content);
    weir_buf_add_char(&b, '}');
    weir_answer_json(r, 200, weir_buf_view(&b));
    weir_buf_finish(&b);
}

void weir_endpoint_detokenize(struct weir_request *r)
{
    static const weir_str known[] = {WEIR_STR_INIT("model"), WEIR_STR_INIT("tokens"), {NULL, 0}};
    struct weir_target *target = read_body(r, known);
    if (!target) {
        return;
    }
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(r->body), "tokens");
    if (!yyjson_is_arr(list)) {
        (void)weir_param_wrong_type(list, "tokens", "an array of integers", &r->refusal);
        weir_answer_refusal(r, &r->refusal);
        return;
    }
    size_t n_tokens = yyjson_arr_size(list);
    int32_t *tokens = malloc((n_tokens + 1) * sizeof(*tokens));
    if (!tokens) {
        answer_failure(r, WEIR_E_NOMEM);
        return;
    }
    if (read_tokens(r, list, tokens) < 0) {
        weir_answer_refusal(r, &r->refusal);
        free(tokens);
        return;
    }
    int64_t n = weir_target_detokenize(target, tokens, n_tokens, NULL, 0);
    char *text = n >= 0 ? malloc((size_t)n + 1) : NULL;
    if (text) {
        n = weir_target_detokenize(target, tokens, n_tokens, text, (size_t)n);
    }
    if (n < 0 || !text) {
        answer_failure(r, n < 0 ? n : WEIR_E_NOMEM);
    } else {
        answer_content(r, (weir_str){text, (size_t)n});
    }
    free(text);
    free(tokens);
}
