/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the price book's file: YAML nodes to prices, with the place of every mistake. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yaml.h>

#include "price_book_internal.h"

enum { MAX_FILE_BYTES = 1024 * 1024, MAX_MODELS = 10000, MAX_PRICES = 1000, MAX_NAME_BYTES = 256 };

struct reader {
    yaml_document_t *doc;
    const char *file;
    char *error; /* [PRICE_BOOK_ERROR_BYTES] */
};

static int complain(const struct reader *in, const yaml_node_t *at, const char *path,
                    const char *what)
{
    (void)snprintf(in->error, PRICE_BOOK_ERROR_BYTES, "%s:%zu:%zu: %.120s%s%s", in->file,
                   at ? at->start_mark.line + 1 : 1, at ? at->start_mark.column + 1 : 1, path,
                   *path ? ": " : "", what);
    return WEIR_E_FORMAT;
}

static weir_str text_of(const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE) {
        return (weir_str){NULL, 0};
    }
    return (weir_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static yaml_node_t *node_at(const struct reader *in, int index)
{
    return yaml_document_get_node(in->doc, index);
}

int price_compare_names(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

int price_parse_amount(weir_str text, uint64_t *ret_micros)
{
    uint64_t whole = 0, micros = 0, place = 1000000;
    size_t i = 0;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        whole = whole * 10 + (uint64_t)(text.p[i] - '0');
        if (whole > 1000000000) {
            return WEIR_E_ARG;
        }
    }
    if (i == 0) {
        return WEIR_E_ARG;
    }
    if (i < text.n && text.p[i] == '.') {
        for (i++; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && place > 1; i++) {
            place /= 10;
            micros += place * (uint64_t)(text.p[i] - '0');
        }
        if (place == 1000000) {
            return WEIR_E_ARG;
        }
    }
    if (i != text.n) {
        return WEIR_E_ARG;
    }
    *ret_micros = whole * 1000000 + micros;
    return 0;
}

int price_parse_date(weir_str text, uint64_t *ret_us)
{
    char copy[24];
    struct tm tm = {0};
    if (text.n >= sizeof(copy) || text.n < 10) {
        return WEIR_E_ARG;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    const char *end = strptime(copy, text.n > 10 ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d", &tm);
    time_t t = end && *end == '\0' ? timegm(&tm) : -1;
    if (t < 0) {
        return WEIR_E_ARG;
    }
    *ret_us = (uint64_t)t * 1000000;
    return 0;
}

/* One `key: value` of a price. */
static int read_field(const struct reader *in, const char *path, const yaml_node_t *key,
                      const yaml_node_t *value, struct price *price, unsigned *seen)
{
    const struct {
        const char *name;
        uint64_t *to;
    } fields[] = {{"prompt", &price->prompt},
                  {"cached", &price->cached},
                  {"completion", &price->completion},
                  {"request", &price->request},
                  {"gpu_second", &price->gpu_second}};
    weir_str name = text_of(key), text = text_of(value);
    if (weir_str_is(name, "from")) {
        if (text.n >= sizeof(price->version) || price_parse_date(text, &price->from_us) < 0) {
            return complain(in, value, path,
                            "from must be a date like 2026-01-01 or 2026-01-01T00:00:00Z");
        }
        memcpy(price->version, text.p, text.n);
        *seen |= 1;
        return 0;
    }
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (weir_str_is(name, fields[i].name)) {
            *seen |= 2u << i;
            return price_parse_amount(text, fields[i].to) == 0
                       ? 0
                       : complain(in, value, path,
                                  "a price is a number from 0 to 10^9 with at most six places");
        }
    }
    return complain(in, key, path,
                    "unknown key; there are from, prompt, cached, completion, request, gpu_second");
}

static int read_price(const struct reader *in, const char *path, const yaml_node_t *node,
                      struct price *price)
{
    unsigned seen = 0;
    if (node->type != YAML_MAPPING_NODE) {
        return complain(in, node, path, "must be a list of {from: DATE, prompt: NUMBER, ...}");
    }
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        unsigned before = seen;
        int rc = read_field(in, path, node_at(in, p->key), node_at(in, p->value), price, &seen);
        if (rc < 0) {
            return rc;
        }
        if (seen == before) {
            return complain(in, node_at(in, p->key), path, "the key stands twice");
        }
    }
    if (!(seen & 1)) {
        return complain(in, node, path, "needs from: the date from which the price holds");
    }
    if (!(seen & 4)) {
        price->cached = price->prompt; /* no rebate */
    }
    return 0;
}

static int compare_prices(const void *a, const void *b)
{
    uint64_t x = ((const struct price *)a)->from_us, y = ((const struct price *)b)->from_us;
    return (x > y) - (x < y);
}

static int read_model(const struct reader *in, const yaml_node_t *key, const yaml_node_t *list,
                      struct price_model *model)
{
    weir_str name = text_of(key);
    char path[MAX_NAME_BYTES + 16];
    if (name.n == 0 || name.n > MAX_NAME_BYTES) {
        return complain(in, key, "models", "a model needs a name of at most 256 bytes");
    }
    (void)snprintf(path, sizeof(path), "models.%.*s", (int)name.n, name.p);
    if (list->type != YAML_SEQUENCE_NODE) {
        return complain(in, list, path, "must be a list of {from: DATE, prompt: NUMBER, ...}");
    }
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (n == 0 || n > MAX_PRICES) {
        return complain(in, list, path, "needs 1 to 1000 prices");
    }
    char *copy = malloc(name.n);
    model->prices = calloc(n, sizeof(*model->prices));
    if (!copy || !model->prices) {
        free(copy);
        return WEIR_E_NOMEM;
    }
    memcpy(copy, name.p, name.n);
    model->name = (weir_str){copy, name.n};
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *node = node_at(in, list->data.sequence.items.start[i]);
        int rc = read_price(in, path, node, &model->prices[i]);
        if (rc < 0) {
            return rc;
        }
    }
    model->n_prices = n;
    qsort(model->prices, n, sizeof(*model->prices), compare_prices);
    for (size_t i = 1; i < n; i++) {
        if (model->prices[i].from_us == model->prices[i - 1].from_us) {
            return complain(in, list, path, "two prices begin on the same date");
        }
    }
    return 0;
}

static int compare_models(const void *a, const void *b)
{
    return price_compare_names(((const struct price_model *)a)->name,
                               ((const struct price_model *)b)->name);
}

static int read_models(const struct reader *in, const yaml_node_t *map, struct price_book *book)
{
    if (map->type != YAML_MAPPING_NODE) {
        return complain(in, map, "models", "must be {MODEL: [{from: DATE, ...}]}");
    }
    size_t n = (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);
    if (n > MAX_MODELS) {
        return complain(in, map, "models", "more than 10000 models");
    }
    book->models = calloc(n + 1, sizeof(*book->models));
    if (!book->models) {
        return WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const yaml_node_pair_t *p = &map->data.mapping.pairs.start[i];
        /* Counted before reading, so that a half-read one is freed with the others. */
        int rc = read_model(in, node_at(in, p->key), node_at(in, p->value),
                            &book->models[book->n_models++]);
        if (rc < 0) {
            return rc;
        }
    }
    qsort(book->models, n, sizeof(*book->models), compare_models);
    for (size_t i = 1; i < n; i++) {
        if (compare_models(&book->models[i - 1], &book->models[i]) == 0) {
            return complain(in, map, "models", "a model stands twice");
        }
    }
    return 0;
}

static int read_currency(const struct reader *in, const yaml_node_t *node, struct price_book *book)
{
    weir_str text = text_of(node);
    for (size_t i = 0; i < text.n; i++) {
        if (text.n != 3 || text.p[i] < 'A' || text.p[i] > 'Z') {
            text.n = 0;
        }
    }
    if (text.n != 3) {
        return complain(in, node, "currency", "must be three letters of ISO 4217, like EUR");
    }
    memcpy(book->currency, text.p, 3);
    return 0;
}

static int read_root(const struct reader *in, struct price_book *book)
{
    const yaml_node_t *root = yaml_document_get_root_node(in->doc);
    if (!root || root->type != YAML_MAPPING_NODE) {
        return complain(in, root, "", "must be {currency: EUR, models: {...}}");
    }
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *key = node_at(in, p->key), *value = node_at(in, p->value);
        weir_str name = text_of(key);
        int rc;
        if (weir_str_is(name, "currency") && !*book->currency) {
            rc = read_currency(in, value, book);
        } else if (weir_str_is(name, "models") && !book->models) {
            rc = read_models(in, value, book);
        } else {
            rc = complain(in, key, "", "unknown or repeated key; there are currency and models");
        }
        if (rc < 0) {
            return rc;
        }
    }
    return *book->currency && book->models ? 0
                                           : complain(in, root, "", "needs currency and models");
}

static int load(weir_str text, const char *name, struct price_book *book, char *error)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&parser)) {
        return WEIR_E_NOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    int rc;
    if (yaml_parser_load(&parser, &doc)) {
        rc = read_root(&(struct reader){&doc, name, error}, book);
        yaml_document_delete(&doc);
    } else {
        (void)snprintf(error, PRICE_BOOK_ERROR_BYTES, "%s:%zu:%zu: %.100s", name,
                       parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                       parser.problem ? parser.problem : "cannot be read");
        rc = WEIR_E_FORMAT;
    }
    yaml_parser_delete(&parser);
    return rc;
}

int price_book_parse(weir_str text, const char *name, struct price_book **ret_book,
                     char error[PRICE_BOOK_ERROR_BYTES])
{
    struct price_book *book = calloc(1, sizeof(*book));
    (void)snprintf(error, PRICE_BOOK_ERROR_BYTES, "%s: out of memory", name);
    int rc = book ? load(text, name, book, error) : WEIR_E_NOMEM;
    if (rc < 0) {
        price_book_destroy(book);
        return rc;
    }
    *ret_book = book;
    return 0;
}

int price_book_read(const char *file, struct price_book **ret_book,
                    char error[PRICE_BOOK_ERROR_BYTES])
{
    FILE *f = fopen(file, "rb");
    char *text = f ? malloc(MAX_FILE_BYTES + 1) : NULL;
    if (!text) {
        (void)snprintf(error, PRICE_BOOK_ERROR_BYTES, "%.200s: %s", file, strerror(errno));
        if (f) {
            (void)fclose(f);
        }
        return WEIR_E_IO;
    }
    size_t n = fread(text, 1, MAX_FILE_BYTES + 1, f);
    int rc = ferror(f) ? WEIR_E_IO : n > MAX_FILE_BYTES ? WEIR_E_TOOBIG : 0;
    (void)fclose(f);
    if (rc == 0) {
        rc = price_book_parse((weir_str){text, n}, file, ret_book, error);
    } else {
        (void)snprintf(error, PRICE_BOOK_ERROR_BYTES, "%.200s: %s", file,
                       rc == WEIR_E_IO ? "cannot be read" : "larger than 1 MiB");
    }
    free(text);
    return rc;
}
