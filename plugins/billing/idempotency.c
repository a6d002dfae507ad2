/* SPDX-License-Identifier: Apache-2.0 */
#include "idempotency.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <yyjson.h>

#include "expiry.h"

enum { SUSPEND_MS = 5000, VALUE_BYTES = 512 };

struct record {
    char body[BILLING_IDEM_BYTES]; /* hash of the body */
    char id[BILLING_ID_BYTES];     /* chain */
    char month[BILLING_MONTH_BYTES];
    char running[BILLING_ID_BYTES]; /* job of the request that runs; "" */
    uint32_t replays;
    uint64_t expires_us;
};

enum step { FIND, TAKE, GOES_ON, MISMATCH, IN_USE, USED_UP, UNAVAILABLE };

struct idempotency {
    struct billing *b;
    uint32_t refs; /* the request, and the operation under way; all on one loop */
    enum step step;
    bool waits;         /* an operation is under way */
    bool left;          /* the request is gone, or waits no longer */
    weir_ticket ticket; /* of the suspension */
    struct bill *bill;  /* while TAKE is under way */
    struct record record;
    bool exists;
    uint64_t version;
    char name[BILLING_IDEM_BYTES], body[BILLING_IDEM_BYTES];
    size_t n_tenant;
    char tenant[];
};

static void unref(struct idempotency *it)
{
    if (--it->refs == 0) {
        it->b->host->free(it->b->host, it);
    }
}

static weir_str tenant_of(const struct idempotency *it)
{
    return (weir_str){it->tenant, it->n_tenant};
}

/* SHA-256 over both texts, in hex. */
static bool hash(weir_str first, weir_str second, char out[BILLING_IDEM_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32] = {0};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, first.p, first.n) == 1 && EVP_DigestUpdate(ctx, "\n", 1) == 1 &&
              EVP_DigestUpdate(ctx, second.p, second.n) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
    return ok;
}

static bool copy(yyjson_val *object, const char *name, char *to, size_t cap)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    int n = text ? snprintf(to, cap, "%s", text) : -1;
    return n >= 0 && (size_t)n < cap;
}

static bool read_record(weir_str value, struct record *out)
{
    yyjson_doc *doc = yyjson_read(value.p, value.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = copy(root, "body", out->body, sizeof(out->body)) &&
              copy(root, "id", out->id, sizeof(out->id)) &&
              copy(root, "month", out->month, sizeof(out->month)) &&
              copy(root, "running", out->running, sizeof(out->running));
    out->replays = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "replays"));
    out->expires_us = yyjson_get_uint(yyjson_obj_get(root, "expires_us"));
    yyjson_doc_free(doc);
    return ok;
}

uint64_t billing_idempotency_expires_us(weir_str record)
{
    struct record rec;
    return read_record(record, &rec) ? rec.expires_us : UINT64_MAX;
}

static void write_record(const struct record *rec, struct billing_text *t)
{
    billing_text_literal(t, "{\"body\":");
    billing_text_string(t, weir_str_from(rec->body), SIZE_MAX);
    BILLING_NAME(t, "id");
    billing_text_string(t, weir_str_from(rec->id), SIZE_MAX);
    BILLING_NAME(t, "month");
    billing_text_string(t, weir_str_from(rec->month), SIZE_MAX);
    BILLING_NAME(t, "running");
    billing_text_string(t, weir_str_from(rec->running), SIZE_MAX);
    BILLING_NAME(t, "replays");
    billing_text_number(t, rec->replays);
    BILLING_NAME(t, "expires_us");
    billing_text_number(t, (int64_t)rec->expires_us);
    billing_text_literal(t, "}");
}

/* ---- the check of a request ---- */

/* An operation has ended: the hook that waits goes on. */
static void wake(struct idempotency *it)
{
    it->waits = false;
    if (it->ticket && !it->left) {
        (void)it->b->host->resume(it->b->host, it->ticket, 0, (weir_str){NULL, 0});
    }
    unref(it);
}

static void on_found(void *arg, const weir_store_result *result)
{
    struct idempotency *it = arg;
    uint64_t now_us = it->b->host->wall_us(it->b->host);
    if (result->rc < 0 && result->rc != WEIR_E_NOTFOUND) {
        it->step = UNAVAILABLE;
    } else {
        it->exists = result->rc == 0 && read_record(result->value, &it->record) &&
                     it->record.expires_us > now_us;
        it->version = result->rc == 0 ? (uint64_t)result->number : 0;
        it->step = !it->exists                                   ? TAKE
                   : strcmp(it->record.body, it->body) != 0      ? MISMATCH
                   : it->record.running[0]                       ? IN_USE
                   : it->record.replays >= it->b->config.replays ? USED_UP
                                                                 : TAKE;
    }
    wake(it);
}

static void on_taken(void *arg, const weir_store_result *result)
{
    struct idempotency *it = arg;
    it->step = result->rc == 0             ? GOES_ON
               : result->rc == WEIR_E_BUSY ? IN_USE /* somebody was faster */
                                           : UNAVAILABLE;
    wake(it);
}

static int start_find(struct idempotency *it)
{
    struct billing *b = it->b;
    return b->store->find(b->host, tenant_of(it), weir_str_from(BILLING_COLLECTION_IDEM),
                          weir_str_from(it->name), on_found, it);
}

/* Opens the bill, then takes the record for it. */
static int start_take(struct idempotency *it, weir_req *r)
{
    struct billing *b = it->b;
    const struct bill_extra extra = {
        .id = it->exists ? it->record.id : NULL,
        .month = it->exists ? it->record.month : NULL,
        .idem = it->name,
        .replay = it->exists,
    };
    int rc = bill_open(b, r, &extra, &it->bill);
    if (rc < 0) {
        return rc;
    }
    struct record *rec = &it->record;
    if (!it->exists) {
        *rec = (struct record){.expires_us = b->host->wall_us(b->host) + BILLING_IDEM_KEEP_US};
        (void)snprintf(rec->body, sizeof(rec->body), "%s", it->body);
        (void)snprintf(rec->id, sizeof(rec->id), "%s", bill_id(it->bill));
        (void)snprintf(rec->month, sizeof(rec->month), "%s", bill_month(it->bill));
        billing_expiry_plan(b, tenant_of(it), it->name);
    }
    rec->replays += it->exists;
    (void)snprintf(rec->running, sizeof(rec->running), "%s", bill_job(it->bill));
    char bytes[VALUE_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    write_record(rec, &t);
    return b->store->put(b->host, tenant_of(it), weir_str_from(BILLING_COLLECTION_IDEM),
                         weir_str_from(it->name), billing_text_view(&t), it->version, on_taken, it);
}

static int refuse(struct billing *b, weir_req *r, int status, const char *code, const char *message)
{
    const char *type = status == 503 ? "server_error" : "invalid_request_error";
    (void)b->host->deny(b->host, r, status, weir_str_from(type), weir_str_from(code),
                        weir_str_from(message));
    return WEIR_DENY;
}

/* The store says nothing of the key. */
static int go_without(struct billing *b, weir_req *r)
{
    return b->config.on_store_loss == BILLING_LOSS_DENY
               ? refuse(b, r, 503, "billing_unavailable",
                        "The Idempotency-Key cannot be checked now; retry.")
               : WEIR_CONTINUE;
}

static int conclude(struct idempotency *it, weir_req *r, struct bill **bill)
{
    struct billing *b = it->b;
    if (it->step == GOES_ON) {
        *bill = it->bill;
        it->bill = NULL;
        if (it->exists) {
            billing_count(b, BILLING_IDEM_REPLAYED);
            (void)b->host->set_header(b->host, r, weir_str_from("x-weir-idempotent-replay"),
                                      weir_str_from("true"));
        }
        return WEIR_CONTINUE;
    }
    if (it->bill) {
        bill_cancel(it->bill);
        it->bill = NULL;
    }
    switch (it->step) {
    case MISMATCH:
        billing_count(b, BILLING_IDEM_MISMATCHED);
        return refuse(b, r, 422, "idempotency_key_reused",
                      "This Idempotency-Key was used with another request body.");
    case IN_USE:
        billing_count(b, BILLING_IDEM_RUNNING);
        return refuse(b, r, 409, "idempotency_key_in_use",
                      "A request with this Idempotency-Key is running.");
    case USED_UP:
        return refuse(b, r, 409, "idempotency_key_used",
                      "The request with this Idempotency-Key has ended, and ran again as often as "
                      "this server allows.");
    default: return go_without(b, r);
    }
}

/* Runs steps until one has to be waited for. */
static int go_on(struct idempotency *it, weir_req *r, struct bill **bill)
{
    while (it->step == FIND || it->step == TAKE) {
        it->waits = true;
        it->ticket = 0;
        it->refs++; /* the operation's */
        int rc = it->step == FIND ? start_find(it) : start_take(it, r);
        if (rc < 0) {
            it->step = UNAVAILABLE;
            it->waits = false;
            unref(it);
            break;
        }
        if (it->waits) {
            it->ticket = it->b->host->suspend(it->b->host, r, SUSPEND_MS);
            if (it->ticket) {
                return WEIR_SUSPEND;
            }
            it->left = true;
            it->step = UNAVAILABLE;
        }
    }
    return conclude(it, r, bill);
}

int billing_idempotency_begin(struct billing *b, weir_req *r, weir_str key,
                              struct idempotency **state, struct bill **bill)
{
    weir_str tenant = {NULL, 0}, path = {NULL, 0}, body = {NULL, 0};
    (void)b->host->req_get(b->host, r, WEIR_FIELD_TENANT, &tenant);
    (void)b->host->req_get(b->host, r, WEIR_FIELD_PATH, &path);
    (void)b->host->req_get(b->host, r, WEIR_FIELD_BODY, &body);
    struct idempotency *it = b->host->alloc(b->host, sizeof(*it) + tenant.n);
    if (!it) {
        return WEIR_FAIL;
    }
    *it = (struct idempotency){.b = b, .refs = 1, .step = FIND, .n_tenant = tenant.n};
    if (tenant.n) {
        memcpy(it->tenant, tenant.p, tenant.n);
    }
    *state = it;
    if (!hash((weir_str){"", 0}, key, it->name) || !hash(path, body, it->body)) {
        return WEIR_FAIL;
    }
    return go_on(it, r, bill);
}

int billing_idempotency_resumed(struct idempotency *it, weir_req *r, int rc, struct bill **bill)
{
    it->ticket = 0;
    if (it->waits) { /* the suspension timed out, or a stranger ended it */
        (void)rc;
        it->left = true;
        it->step = UNAVAILABLE;
        return conclude(it, r, bill);
    }
    return go_on(it, r, bill);
}

void billing_idempotency_leave(struct idempotency *it)
{
    if (!it) {
        return;
    }
    it->left = true;
    if (it->bill) {
        bill_cancel(it->bill);
        it->bill = NULL;
    }
    unref(it);
}

/* ---- the end of a run ---- */

struct release {
    struct billing *b;
    weir_store_done done;
    void *arg;
    char name[BILLING_IDEM_BYTES];
    char job[BILLING_ID_BYTES];
    size_t n_tenant;
    char tenant[];
};

static void release_ended(struct release *rel, const weir_store_result *result)
{
    weir_store_done done = rel->done;
    void *arg = rel->arg;
    rel->b->host->free(rel->b->host, rel);
    done(arg, result);
}

static void release_ended_rc(struct release *rel, int rc)
{
    release_ended(rel, &(weir_store_result){.struct_size = sizeof(weir_store_result), .rc = rc});
}

static void on_released(void *arg, const weir_store_result *result)
{
    release_ended(arg, result);
}

static void on_release_found(void *arg, const weir_store_result *result)
{
    struct release *rel = arg;
    struct record rec;
    if (result->rc == WEIR_E_NOTFOUND) {
        release_ended_rc(rel, 0);
        return;
    }
    if (result->rc < 0) {
        release_ended(rel, result);
        return;
    }
    if (!read_record(result->value, &rec) || strcmp(rec.running, rel->job) != 0) {
        release_ended_rc(rel, 0); /* another request's, or broken */
        return;
    }
    rec.running[0] = '\0';
    char bytes[VALUE_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    write_record(&rec, &t);
    int rc = rel->b->store->put(rel->b->host, (weir_str){rel->tenant, rel->n_tenant},
                                weir_str_from(BILLING_COLLECTION_IDEM), weir_str_from(rel->name),
                                billing_text_view(&t), (uint64_t)result->number, on_released, rel);
    if (rc < 0) {
        release_ended_rc(rel, rc);
    }
}

int billing_idempotency_settled(struct billing *b, weir_str tenant, const char *name, weir_str job,
                                weir_store_done done, void *arg)
{
    struct release *rel = b->host->alloc(b->host, sizeof(*rel) + tenant.n);
    if (!rel) {
        return WEIR_E_NOMEM;
    }
    *rel = (struct release){.b = b, .done = done, .arg = arg, .n_tenant = tenant.n};
    (void)snprintf(rel->name, sizeof(rel->name), "%s", name);
    (void)snprintf(rel->job, sizeof(rel->job), "%.*s", (int)job.n, job.n ? job.p : "");
    if (tenant.n) {
        memcpy(rel->tenant, tenant.p, tenant.n);
    }
    int rc = b->store->find(b->host, tenant, weir_str_from(BILLING_COLLECTION_IDEM),
                            weir_str_from(rel->name), on_release_found, rel);
    if (rc < 0) {
        b->host->free(b->host, rel);
    }
    return rc;
}
