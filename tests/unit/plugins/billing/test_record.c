/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the ledger, signatures and delays. */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "packed.h"
#include "record.h"
#include "tests/support/cmocka.h"
#include "webhook.h"

static void texts_are_json_whatever_clients_send(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        size_t max;
    } cases[] = {
        {"plain", "{\"a\":\"plain\"}", 99},

        {"q\"b\\", "{\"a\":\"q\\\"b\\\\\"}", 99},
        {"\n\x01\x7f", "{\"a\":\"\\u000a\\u0001\\u007f\"}", 99},
        {"\xff\xc3\x28\xe2\x82\xac\xed\xa0\x80",
         "{\"a\":\"?"
         "?(\xe2\x82\xac???\"}",
         99},
        {"\xf0\x9f\x98\x80\xf4\x90\x80\x80\xc0\xaf", "{\"a\":\"\xf0\x9f\x98\x80??????\"}", 99},
        {"ab\xe2\x82\xac", "{\"a\":\"ab\"}", 4}, /* the bound cuts the character */
        {"ab\xe2\x82\xac", "{\"a\":\"ab\xe2\x82\xac\"}", 5},
        {"ab\xe2\x82", "{\"a\":\"ab??\"}", 99},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char bytes[256];
        struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
        billing_text_literal(&t, "{\"a\":");
        billing_text_string(&t, weir_str_from(cases[i].in), cases[i].max);
        billing_text_literal(&t, "}");
        assert_false(t.failed);
        if (!weir_str_is(billing_text_view(&t), cases[i].out)) {
            fail_msg("%zu: %.*s", i, (int)t.n, bytes);
        }
        yyjson_doc *doc = yyjson_read(bytes, t.n, 0);
        assert_non_null(doc);
        yyjson_doc_free(doc);
    }
}

static void numbers_have_every_digit(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 7, -7, 1234567890123, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char bytes[32], expected[32];
        struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
        billing_text_number(&t, numbers[i]);
        (void)snprintf(expected, sizeof(expected), "%lld", (long long)numbers[i]);
        assert_true(weir_str_is(billing_text_view(&t), expected));
    }
}

static void what_does_not_fit_fails_and_stays_failed(void **state)
{
    (void)state;
    char bytes[4];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_text_literal(&t, "abc");
    billing_text_literal(&t, "de");
    assert_true(t.failed);
    billing_text_literal(&t, "f");
    assert_int_equal(t.n, 3);
}

static struct billing_facts some_facts(void)
{
    return (struct billing_facts){
        .id = "0123456789abcdef-1f",
        .month = "2026-02",
        .request_id = WEIR_STR_INIT("req_1"),
        .tenant = WEIR_STR_INIT("a\"c\\me,\"open\":{"),
        .key = WEIR_STR_INIT("web"),
        .user = WEIR_STR_INIT(",\"open\":{\"delivered_tokens\":999}}"),
        .model = WEIR_STR_INIT("m"),
        .stream = true,
        .started_us = 1770000000000000,
        .currency = "EUR",
        .has_price = true,
        .price = {.version = "2026-01-01",
                  .prompt = 2500000,
                  .cached = 1250000,
                  .completion = 10000000,
                  .request = 3,
                  .gpu_second = 500000},
    };
}

static void an_open_job_is_read_back_whatever_its_texts_hold(void **state)
{
    (void)state;
    const struct billing_facts facts = some_facts();
    char bytes[BILLING_ENTRY_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_text_literal(&t, "{");
    billing_facts_write(&facts, &t);
    size_t n_facts = t.n - 1;
    billing_text_literal(&t, ",\"open\":{\"prompt_tokens\":12,\"delivered_tokens\":64,"
                             "\"replay\":1,\"idem\":\"beef\"}}");
    struct billing_open open;
    assert_int_equal(billing_open_read(billing_text_view(&t), &open), 0);
    assert_true(weir_str_eq(open.facts.tenant, facts.tenant));
    assert_string_equal(open.facts.id, facts.id);
    assert_string_equal(open.facts.month, "2026-02");
    assert_string_equal(open.facts.price.version, "2026-01-01");
    assert_int_equal(open.facts.price.completion, 10000000);
    assert_int_equal(open.delivered_tokens, 64);
    assert_int_equal(open.prompt_tokens, 12);
    assert_true(open.replay);
    assert_string_equal(open.idem, "beef");
    assert_int_equal(open.facts_text.n, n_facts);
    billing_open_finish(&open);

    for (size_t n = 0; n < t.n; n++) { /* a broken one is no crash */
        if (billing_open_read((weir_str){bytes, n}, &open) == 0) {
            fail_msg("%zu bytes were taken", n);
        }
    }
}

/* What was packed, and the same written as JSON at once. */
static void expect_same_text(const struct billing_facts *facts, const struct billing_totals *add,
                             const struct billing_end *end)
{
    static char packed[BILLING_PACKED_BYTES], room[BILLING_ENTRY_BYTES];
    static char facts_bytes[BILLING_FACTS_BYTES], bytes[BILLING_ENTRY_BYTES];
    struct billing_text f = {.bytes = facts_bytes, .cap = sizeof(facts_bytes)};
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_facts_write(facts, &f);
    billing_entry_write(&t, billing_text_view(&f), 0, add, end);
    size_t n = billing_entry_pack(facts, add, end, packed);
    assert_true(n > 0 && !t.failed);
    weir_str text = billing_entry_text((weir_str){packed, n}, room);
    if (!weir_str_eq(text, billing_text_view(&t))) {
        fail_msg("%.*s is not %.*s", (int)text.n, text.p, (int)t.n, bytes);
    }
    weir_str same = billing_entry_text(text, room); /* JSON stays as it is */
    assert_ptr_equal(same.p, text.p);
    for (size_t k = 0; k < n; k++) { /* a broken one is no crash */
        assert_int_equal(billing_entry_text((weir_str){packed, k}, room).n, 0);
    }
}

static void a_packed_entry_is_the_same_json(void **state)
{
    (void)state;
    static char longer[600], tenant[500];
    struct billing_facts facts = some_facts();
    const struct billing_totals add = {1, 12, 4, 300, -5, 77, -123456789};
    struct billing_end end = {.ended_us = 1770000000000001,
                              .status = 200,
                              .finish = "stop",
                              .error = "some_error",
                              .source = "replica"};
    expect_same_text(&facts, &add, &end);
    memset(longer, 'x', sizeof(longer));
    memset(tenant, '"', sizeof(tenant));
    memcpy(longer + 254, "\xe2\x82\xac", 3); /* cut within a character */
    facts.user = facts.model = facts.target = facts.service_class = (weir_str){longer, 600};
    facts.idempotency_key = (weir_str){longer, 255};
    facts.tenant = (weir_str){tenant, sizeof(tenant)};
    facts.tags = (weir_str)WEIR_STR_INIT("{\"team\":\"x\",\"n\":1}");
    facts.has_price = false;
    facts.stream = false;
    facts.attempts = 3;
    end = (struct billing_end){.finish = "", .source = "replica", .status = 503};
    expect_same_text(&facts, &add, &end);
    memset(longer, '\xff', sizeof(longer));
    expect_same_text(&facts, &add, &end);
    static char tags[BILLING_PACKED_BYTES];
    facts.tags = (weir_str){tags, sizeof(tags)};
    static char packed[BILLING_PACKED_BYTES];
    assert_int_equal(billing_entry_pack(&facts, &add, &end, packed), 0);
}

static void an_entry_adds_up_to_what_was_written(void **state)
{
    (void)state;
    const struct billing_facts facts = some_facts();
    char facts_bytes[BILLING_FACTS_BYTES], bytes[BILLING_ENTRY_BYTES];
    struct billing_text f = {.bytes = facts_bytes, .cap = sizeof(facts_bytes)};
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_facts_write(&facts, &f);
    const struct billing_totals add = {1, 12, 4, 300, -5, 77, -123456789};
    const struct billing_end end = {
        .ended_us = 5, .status = 200, .finish = "stop", .error = "", .source = "replica"};
    billing_entry_write(&t, billing_text_view(&f), 3, &add, &end);
    assert_false(t.failed);
    struct billing_totals read;
    assert_int_equal(billing_entry_read(billing_text_view(&t), &read), 0);
    assert_true(billing_totals_equal(&add, &read));
    assert_non_null(memmem(bytes, t.n, "\"type\":\"adjustment\",\"seq\":3", 26));
    assert_int_equal(billing_entry_read((weir_str){bytes, t.n - 1}, &read), WEIR_E_FORMAT);
    assert_int_equal(billing_entry_read(weir_str_from("{}"), &read), WEIR_E_FORMAT);
}

static void tags_are_texts_whatever_was_set(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"team\":\"blue\",\"n\":\"a\\\"b\"}", ",\"tags\":{\"team\":\"blue\",\"n\":\"a\\\"b\"}"},
        {"{\"a\":1,\"b\":{\"open\":{}},\"c\":\"x\"}", ",\"tags\":{\"c\":\"x\"}"},
        {"{\"open\":{\"delivered_tokens\":9}}", NULL},
        {"{\"a\":\"b\"", NULL},
        {"[\"a\"]", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct billing_facts f = some_facts();
        f.tags = weir_str_from(cases[i].in);
        char bytes[BILLING_FACTS_BYTES];
        struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
        billing_facts_write(&f, &t);
        assert_false(t.failed);
        const char *out = cases[i].out ? cases[i].out : "\"tags\"";
        if ((memmem(bytes, t.n, out, strlen(out)) != NULL) != (cases[i].out != NULL)) {
            fail_msg("%zu: %.*s", i, (int)t.n, bytes);
        }
    }
}

static void the_longest_facts_fit(void **state)
{
    (void)state;
    char worst[4096];
    memset(worst, 1, sizeof(worst)); /* each byte becomes six */
    struct billing_facts f = some_facts();
    weir_str s = {worst, sizeof(worst)};
    f.request_id = f.key = f.user = f.model = f.target = f.service_class = f.idempotency_key = s;
    f.tenant = (weir_str){worst, 512};
    char tags[4096], *at = tags;
    at += snprintf(at, 64, "{");
    for (int c = 'a'; c <= 'h'; c++) {
        at += snprintf(at, 8, "%s\"%c\":\"", c == 'a' ? "" : ",", c);
        for (int i = 0; i < 80; i++) {
            at += snprintf(at, 8, "\\u0001");
        }
        at += snprintf(at, 8, "\"");
    }
    (void)snprintf(at, 8, "}");
    f.tags = weir_str_from(tags);
    char bytes[BILLING_FACTS_BYTES];
    struct billing_text t = {.bytes = bytes, .cap = sizeof(bytes)};
    billing_facts_write(&f, &t);
    assert_false(t.failed);
}

static void an_amount_is_that_of_the_sum_rounded_up_once(void **state)
{
    (void)state;
    const struct billing_facts facts = some_facts();
    /* 8 x 2.5 + 4 x 1.25 + 3 x 10 + 3 + 0.5 x 1.000001 s: by hand */
    struct billing_totals totals = {1, 12, 4, 9, 3, 1000001, 0};
    billing_totals_price(&totals, &facts);
    assert_int_equal(totals.amount, 20 + 5 + 30 + 3 + 500001);
    struct billing_totals one = {0, 1, 1, 0, 0, 0, 0};
    billing_totals_price(&one, &facts);
    assert_int_equal(one.amount, 2); /* 1.25 */
    struct billing_facts free_of_charge = facts;
    free_of_charge.has_price = false;
    billing_totals_price(&totals, &free_of_charge);
    assert_int_equal(totals.amount, 0);
}

static void months_are_utc(void **state)
{
    (void)state;
    char month[BILLING_MONTH_BYTES];
    billing_month_of(UINT64_C(1772323199999999), month); /* 2026-02-28T23:59:59.999999Z */
    assert_string_equal(month, "2026-02");
    billing_month_of(UINT64_C(1772323200000000), month);
    assert_string_equal(month, "2026-03");
}

static void a_signature_is_hmac_sha256_of_time_and_body(void **state)
{
    (void)state;
    char text[BILLING_SIGNATURE_BYTES];
    /* printf '1700000000.{"events":[]}' | openssl dgst -sha256 -hmac whsec_test */
    billing_webhook_sign("whsec_test", 1700000000, weir_str_from("{\"events\":[]}"), text);
    assert_string_equal(
        text, "t=1700000000,v1=4f6f9b7a41398ad124e52a1320534f978e522923f3f2b2724e31d7a9dbf78a7f");
}

static void delays_double_within_bounds_and_are_spread(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 40; n++) {
        uint64_t mean = n <= 12 ? UINT64_C(1000) << (n - 1) : 3600000;
        mean = mean < 3600000 ? mean : 3600000;
        assert_int_equal(billing_webhook_delay_ms(n, 0), mean / 2);
        assert_int_equal(billing_webhook_delay_ms(n, 1000), mean / 2 + mean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_json_whatever_clients_send),
        cmocka_unit_test(numbers_have_every_digit),
        cmocka_unit_test(what_does_not_fit_fails_and_stays_failed),
        cmocka_unit_test(an_open_job_is_read_back_whatever_its_texts_hold),
        cmocka_unit_test(a_packed_entry_is_the_same_json),
        cmocka_unit_test(an_entry_adds_up_to_what_was_written),
        cmocka_unit_test(tags_are_texts_whatever_was_set),
        cmocka_unit_test(the_longest_facts_fit),
        cmocka_unit_test(an_amount_is_that_of_the_sum_rounded_up_once),
        cmocka_unit_test(months_are_utc),
        cmocka_unit_test(a_signature_is_hmac_sha256_of_time_and_body),
        cmocka_unit_test(delays_double_within_bounds_and_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
