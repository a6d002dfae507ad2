/* SPDX-License-Identifier: Apache-2.0 */
#include "price_book.h"

#include <stdlib.h>
#include <string.h>

#include "price_book_internal.h"

static const struct price_model *find_model(const struct price_book *book, weir_str name)
{
    size_t low = 0, high = book->n_models;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = price_compare_names(book->models[mid].name, name);
        if (order == 0) {
            return &book->models[mid];
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return NULL;
}

const struct price *price_book_find(const struct price_book *book, weir_str model, uint64_t wall_us)
{
    const struct price_model *m = find_model(book, model);
    for (size_t i = m ? m->n_prices : 0; i-- > 0;) {
        if (m->prices[i].from_us <= wall_us) {
            return &m->prices[i];
        }
    }
    return NULL;
}

const char *price_book_currency(const struct price_book *book)
{
    return book->currency;
}

void price_book_destroy(struct price_book *book)
{
    if (!book) {
        return;
    }
    for (size_t i = 0; i < book->n_models; i++) {
        free((char *)book->models[i].name.p);
        free(book->models[i].prices);
    }
    free(book->models);
    free(book);
}

uint64_t price_amount(const struct price *price, const struct price_usage *usage)
{
    const uint64_t million = 1000000;
    uint64_t cached =
        usage->cached_tokens < usage->prompt_tokens ? usage->cached_tokens : usage->prompt_tokens;
    /* Millionths of a micro-unit; no sum of these products reaches 2^127. */
    unsigned __int128 sum = (unsigned __int128)(usage->prompt_tokens - cached) * price->prompt;
    sum += (unsigned __int128)cached * price->cached;
    sum += (unsigned __int128)usage->completion_tokens * price->completion;
    sum += (unsigned __int128)usage->gpu_us * price->gpu_second;
    sum += (unsigned __int128)usage->requests * price->request * million;
    sum = (sum + million - 1) / million;
    return sum > INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)sum;
}
