/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "billing.h"

static weir_str field(const struct billing *b, weir_req *r, int which)
{
    weir_str s = {NULL, 0};
    return b->host->req_get(b->host, r, which, &s) < 0 ? (weir_str){NULL, 0} : s;
}

void billing_facts_read(const struct billing *b, weir_req *r, bool may_have_key,
                        struct billing_facts *f)
{
    f->request_id = field(b, r, WEIR_FIELD_REQUEST_ID);
    f->tenant = field(b, r, WEIR_FIELD_TENANT);
    f->key = field(b, r, WEIR_FIELD_KEY_ID);
    f->user = field(b, r, WEIR_FIELD_USER);
    f->model = field(b, r, WEIR_FIELD_MODEL);
    f->target = field(b, r, WEIR_FIELD_TARGET);
    f->service_class = field(b, r, WEIR_FIELD_CLASS);
    f->tags = field(b, r, WEIR_FIELD_TAGS);
    f->idempotency_key = (weir_str){NULL, 0};
    if (may_have_key) {
        (void)b->host->req_header(b->host, r, weir_str_from("idempotency-key"),
                                  &f->idempotency_key);
    }
}

enum { N_TEXTS = 9 };

static void list_texts(struct billing_facts *f, weir_str *texts[N_TEXTS])
{
    weir_str *const all[N_TEXTS] = {&f->request_id, &f->tenant,        &f->key,
                                    &f->user,       &f->model,         &f->target,
                                    &f->tags,       &f->service_class, &f->idempotency_key};
    memcpy(texts, all, sizeof(all));
}

size_t billing_facts_bytes(struct billing_facts *f)
{
    weir_str *texts[N_TEXTS];
    size_t n = 0;
    list_texts(f, texts);
    for (int i = 0; i < N_TEXTS; i++) {
        n += texts[i]->n;
    }
    return n;
}

void billing_facts_keep(struct billing_facts *f, char *at)
{
    weir_str *texts[N_TEXTS];
    list_texts(f, texts);
    for (int i = 0; i < N_TEXTS; i++) {
        if (texts[i]->n) {
            memcpy(at, texts[i]->p, texts[i]->n);
            texts[i]->p = at;
            at += texts[i]->n;
        }
    }
}
