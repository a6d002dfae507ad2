/* SPDX-License-Identifier: Apache-2.0 */
#include "price_book.h"

#include <stdio.h>

#include "tests/support/cmocka.h"

#define DAY_US UINT64_C(86400000000)
#define JAN_2026_US UINT64_C(1767225600000000)

static const char prices[] =
    "currency: EUR\n"
    "models:\n"
    "  big:\n"
    "    - {from: 2026-02-01, prompt: 4, completion: 12}\n"
    "    - {from: 2026-01-01, prompt: 2.50, cached: 0.25, completion: 10,\n"
    "       request: 0.001, gpu_second: 0.0005}\n"
    "  small: [{from: '2026-01-01T12:00:00Z', prompt: 0.15}]\n";

static struct price_book *parse(const char *text)
{
    struct price_book *book = NULL;
    char error[PRICE_BOOK_ERROR_BYTES] = "";
    if (price_book_parse(weir_str_from(text), "prices.yaml", &book, error) < 0) {
        fail_msg("%s", error);
    }
    return book;
}

static const struct price *find(const struct price_book *book, const char *model, uint64_t us)
{
    return price_book_find(book, weir_str_from(model), us);
}

static void the_price_of_the_day_holds(void **state)
{
    (void)state;
    struct price_book *book = parse(prices);
    assert_string_equal(price_book_currency(book), "EUR");
    assert_null(find(book, "big", JAN_2026_US - 1));
    assert_string_equal(find(book, "big", JAN_2026_US)->version, "2026-01-01");
    assert_string_equal(find(book, "big", JAN_2026_US + 31 * DAY_US - 1)->version, "2026-01-01");
    assert_string_equal(find(book, "big", JAN_2026_US + 31 * DAY_US)->version, "2026-02-01");
    assert_null(find(book, "small", JAN_2026_US));
    assert_non_null(find(book, "small", JAN_2026_US + DAY_US / 2));
    assert_null(find(book, "smal", JAN_2026_US + DAY_US));
    price_book_destroy(book);
}

static void amounts_are_exact_and_rounded_up_once(void **state)
{
    (void)state;
    struct price_book *book = parse(prices);
    const struct price *big = find(book, "big", JAN_2026_US);
    assert_int_equal(big->prompt, 2500000);
    assert_int_equal(big->cached, 250000);
    /* 600 at 2.50, 400 at 0.25, 100 at 10 per million; one request; 2 s: micro-euros. */
    struct price_usage u = {1000, 400, 100, 1, 2000000};
    assert_int_equal(price_amount(big, &u), 1500 + 100 + 1000 + 1000 + 1000);
    /* One token at 0.15 per million is 0.15 micro-units. */
    const struct price *small = find(book, "small", JAN_2026_US + DAY_US);
    assert_int_equal(small->cached, small->prompt);
    assert_int_equal(price_amount(small, &(struct price_usage){.prompt_tokens = 1}), 1);
    assert_int_equal(price_amount(small, &(struct price_usage){.prompt_tokens = 20}), 3);
    assert_int_equal(price_amount(small, &(struct price_usage){.completion_tokens = 20}), 0);
    u = (struct price_usage){UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_int_equal(price_amount(big, &u), INT64_MAX);
    price_book_destroy(book);
}

static void amounts_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t micros;
    } good[] = {{"0", 0}, {"2500", 2500000000}, {"0.000001", 1}, {"1.5", 1500000}};
    static const char *const bad[] = {"", ".5", "1.", "-1", "1e3", "0.0000001", "1000000001", "1 "};
    uint64_t micros;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(price_parse_amount(weir_str_from(good[i].text), &micros), 0);
        assert_int_equal(micros, good[i].micros);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(price_parse_amount(weir_str_from(bad[i]), &micros), WEIR_E_ARG);
    }
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "p.yaml:1:1: must be {currency"},
        {"currency: EUR\n", "p.yaml:1:1: needs currency and models"},
        {"currency: euro\nmodels: {}\n", "p.yaml:1:11: currency: must be three letters"},
        {"currency: EUR\nmodel: {}\n", "p.yaml:2:1: unknown or repeated key"},
        {"currency: EUR\nmodels: {m: {}}\n", "p.yaml:2:13: models.m: must be a list"},
        {"currency: EUR\nmodels: {m: []}\n", "models.m: needs 1 to 1000 prices"},
        {"currency: EUR\nmodels: {m: [{prompt: 1}]}\n", "models.m: needs from"},
        {"currency: EUR\nmodels: {m: [{from: soon}]}\n", "from must be a date"},
        {"currency: EUR\nmodels: {m: [{from: 2026-01-01, prompt: -1}]}\n", "a price is a number"},
        {"currency: EUR\nmodels: {m: [{from: 2026-01-01, promt: 1}]}\n", "unknown key"},
        {"currency: EUR\nmodels: {m: [{from: 2026-01-01, from: 2026-01-01}]}\n", "stands twice"},
        {"currency: EUR\nmodels: {m: [{from: 2026-01-01}, {from: 2026-01-01}]}\n", "same date"},
        {"currency: EUR\nmodels: {m: [{from: 2026-01-01}], m: [{from: 2026-01-01}]}\n",
         "a model stands twice"},
        {"currency: [\n", "p.yaml:2:1:"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct price_book *book = NULL;
        char error[PRICE_BOOK_ERROR_BYTES] = "";
        assert_true(price_book_parse(weir_str_from(cases[i].text), "p.yaml", &book, error) < 0);
        if (!strstr(error, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", error, cases[i].says);
        }
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct price_book *book = NULL;
    char error[PRICE_BOOK_ERROR_BYTES];
    assert_int_equal(price_book_read("no/such/prices.yaml", &book, error), WEIR_E_IO);
    assert_string_equal(error, "no/such/prices.yaml: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_price_of_the_day_holds),
        cmocka_unit_test(amounts_are_exact_and_rounded_up_once),
        cmocka_unit_test(amounts_are_read_exactly),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
