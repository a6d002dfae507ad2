/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the price book's reader fills in. */
#include "price_book.h"

struct price_model {
    weir_str name;        /* owned */
    struct price *prices; /* [n_prices] by from_us */
    size_t n_prices;
};

struct price_book {
    char currency[4];
    struct price_model *models; /* [n_models] by name */
    size_t n_models;
};

int price_compare_names(weir_str a, weir_str b);
