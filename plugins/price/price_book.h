/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The price book: what a model costs, by date. Shared by the plugins that count money.
 *
 * File: {currency: EUR, models: {NAME: [{from: 2026-01-01, prompt, cached, completion, request,
 * gpu_second}]}}; docs/limits.md describes it. Prices are decimal numbers in the currency's unit
 * with at most six places: prompt, cached and completion per million tokens, the others each.
 * Why integers: a price is kept in micro-units, so an amount is exact until its one rounding.
 * Ownership: the book owns everything; a price lives as long as its book. Threads: any, once built;
 * nothing changes after that. Errors: a sentence with file, line and column. Bounds: 1 MiB of text,
 * 10000 models, 1000 prices for each. */
#include <stdint.h>

#include "weir/types.h"

enum { PRICE_BOOK_ERROR_BYTES = 320 };

struct price {
    char version[24]; /* `from` as written: with the model's name it says which price this is */
    uint64_t from_us; /* wall clock; in force until the next price's from_us */
    /* Micro-units of the currency: per million tokens, per request, per second. */
    uint64_t prompt, cached, completion;
    uint64_t request, gpu_second;
};

struct price_usage {
    uint64_t prompt_tokens; /* cached ones included */
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    uint64_t requests;
    uint64_t gpu_us;
};

struct price_book;

int price_book_read(const char *file, struct price_book **ret_book,
                    char error[PRICE_BOOK_ERROR_BYTES]);
/* The same from text; `name` stands for the file in errors. */
int price_book_parse(weir_str text, const char *name, struct price_book **ret_book,
                     char error[PRICE_BOOK_ERROR_BYTES]);
void price_book_destroy(struct price_book *book); /* NULL ok */

const char *price_book_currency(const struct price_book *book); /* three letters, ISO 4217 */
/* The price of a model at a time; NULL: the book has none for it. */
const struct price *price_book_find(const struct price_book *book, weir_str model,
                                    uint64_t wall_us);

/* What the usage costs in micro-units, rounded up once, at most INT64_MAX. */
uint64_t price_amount(const struct price *price, const struct price_usage *usage);
/* "2500", "0.15": decimal text to micro-units. WEIR_E_ARG: not such a number, negative, more than
 * six places, or above 10^9. */
int price_parse_amount(weir_str text, uint64_t *ret_micros);
/* RFC 3339: "2026-01-01" (00:00 UTC) or "2026-01-01T00:00:00Z". */
int price_parse_date(weir_str text, uint64_t *ret_us);
