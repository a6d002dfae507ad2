/* SPDX-License-Identifier: Apache-2.0 */
#include "packed.h"

enum {
    MARK = 'P',           /* JSON begins with a brace */
    MAX_TEXT_BYTES = 260, /* what JSON keeps of a text, and the rest of its last character */
};

enum text {
    ID,
    REQUEST_ID,
    TENANT,
    KEY,
    USER,
    MODEL,
    TARGET,
    CLASS,
    IDEMPOTENCY_KEY,
    TAGS,
    CURRENCY,
    VERSION,
    FINISH,
    ERROR,
    N_TEXTS
};

struct packed { /* before the texts */
    char mark;
    bool stream, has_price;
    uint16_t n[N_TEXTS];
    uint32_t attempts, status;
    uint64_t started_us, ended_us;
    struct billing_totals add;
    uint64_t prompt, cached, completion, request, gpu_second; /* prices */
};

static weir_str cut(weir_str s)
{
    return (weir_str){s.p, s.n < MAX_TEXT_BYTES ? s.n : MAX_TEXT_BYTES};
}

size_t billing_entry_pack(const struct billing_facts *f, const struct billing_totals *add,
                          const struct billing_end *end, char bytes[BILLING_PACKED_BYTES])
{
    const weir_str texts[N_TEXTS] = {
        [ID] = weir_str_from(f->id),
        [REQUEST_ID] = cut(f->request_id),
        [TENANT] = f->tenant,
        [KEY] = cut(f->key),
        [USER] = cut(f->user),
        [MODEL] = cut(f->model),
        [TARGET] = cut(f->target),
        [CLASS] = cut(f->service_class),
        [IDEMPOTENCY_KEY] = cut(f->idempotency_key),
        [TAGS] = f->tags,
        [CURRENCY] = weir_str_from(f->currency),
        [VERSION] = weir_str_from(f->price.version),
        [FINISH] = weir_str_from(end->finish),
        [ERROR] = weir_str_from(end->error),
    };
    struct packed head = {
        .mark = MARK,
        .stream = f->stream,
        .has_price = f->has_price,
        .attempts = f->attempts,
        .status = end->status,
        .started_us = f->started_us,
        .ended_us = end->ended_us,
        .add = *add,
        .prompt = f->price.prompt,
        .cached = f->price.cached,
        .completion = f->price.completion,
        .request = f->price.request,
        .gpu_second = f->price.gpu_second,
    };
    size_t n = sizeof(head);
    for (int i = 0; i < N_TEXTS; i++) {
        if (texts[i].n > BILLING_PACKED_BYTES - n) {
            return 0;
        }
        head.n[i] = (uint16_t)texts[i].n;
        if (texts[i].n) {
            memcpy(bytes + n, texts[i].p, texts[i].n);
            n += texts[i].n;
        }
    }
    memcpy(bytes, &head, sizeof(head));
    return n;
}

static bool copy_text(char *to, size_t cap, weir_str from)
{
    billing_copy(to, cap, from);
    return from.n < cap;
}

static bool read_texts(const struct packed *head, weir_str entry, weir_str texts[N_TEXTS])
{
    size_t at = sizeof(*head);
    for (int i = 0; i < N_TEXTS; i++) {
        if (head->n[i] > entry.n - at) {
            return false;
        }
        texts[i] = (weir_str){entry.p + at, head->n[i]};
        at += head->n[i];
    }
    return at == entry.n;
}

/* Texts point into the entry. */
static bool unpack(weir_str entry, struct billing_facts *f, struct billing_totals *add,
                   struct billing_end *end, char finish[BILLING_WORD_BYTES])
{
    struct packed head;
    weir_str texts[N_TEXTS];
    if (entry.n < sizeof(head)) {
        return false;
    }
    memcpy(&head, entry.p, sizeof(head));
    if (head.mark != MARK || !read_texts(&head, entry, texts)) {
        return false;
    }
    *f = (struct billing_facts){
        .request_id = texts[REQUEST_ID],
        .tenant = texts[TENANT],
        .key = texts[KEY],
        .user = texts[USER],
        .model = texts[MODEL],
        .target = texts[TARGET],
        .service_class = texts[CLASS],
        .idempotency_key = texts[IDEMPOTENCY_KEY],
        .tags = texts[TAGS],
        .stream = head.stream,
        .started_us = head.started_us,
        .attempts = head.attempts,
        .has_price = head.has_price,
        .price = {.prompt = head.prompt,
                  .cached = head.cached,
                  .completion = head.completion,
                  .request = head.request,
                  .gpu_second = head.gpu_second},
    };
    billing_month_of(f->started_us, f->month);
    *add = head.add;
    *end = (struct billing_end){
        .ended_us = head.ended_us, .status = head.status, .finish = finish, .source = "replica"};
    return copy_text(f->id, sizeof(f->id), texts[ID]) &&
           copy_text(f->currency, sizeof(f->currency), texts[CURRENCY]) &&
           copy_text(f->price.version, sizeof(f->price.version), texts[VERSION]) &&
           copy_text(finish, BILLING_WORD_BYTES, texts[FINISH]) &&
           copy_text(end->error, sizeof(end->error), texts[ERROR]);
}

weir_str billing_entry_text(weir_str entry, char room[BILLING_ENTRY_BYTES])
{
    const weir_str nothing = {NULL, 0};
    struct billing_facts f;
    struct billing_totals add;
    struct billing_end end;
    char facts[BILLING_FACTS_BYTES], finish[BILLING_WORD_BYTES];
    struct billing_text facts_text = {.bytes = facts, .cap = sizeof(facts)};
    struct billing_text t = {.bytes = room, .cap = BILLING_ENTRY_BYTES};
    if (entry.n && entry.p[0] == '{') {
        return entry;
    }
    if (!unpack(entry, &f, &add, &end, finish)) {
        return nothing;
    }
    billing_facts_write(&f, &facts_text);
    billing_entry_write(&t, billing_text_view(&facts_text), 0, &add, &end);
    return facts_text.failed || t.failed ? nothing : billing_text_view(&t);
}
