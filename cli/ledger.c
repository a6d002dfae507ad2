/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "cli/admin_client.h"

enum { MAX_PAGE_BYTES = 2 * 1024 * 1024, MAX_PATH_BYTES = 2048, CURSOR_BYTES = 32 };

/* Adds &name=value; false: it does not fit. */
static bool add_query(struct weir_buf *b, const char *name, const char *value)
{
    char encoded[MAX_PATH_BYTES];
    if (!value || !*value) {
        return true;
    }
    if (!weir_admin_encode(value, encoded, sizeof(encoded))) {
        return false;
    }
    weir_buf_printf(b, "&%s=%s", name, encoded);
    return !b->failed;
}

/* One page into `page`. */
static int fetch(const struct weir_ledger_source *source, const char *format, const char *cursor,
                 struct weir_buf *page, struct weir_error *err)
{
    struct weir_buf path;
    weir_buf_init(&path, MAX_PATH_BYTES);
    weir_buf_printf(&path, "/admin/v1/usage?limit=1000&format=%s", format);
    weir_buf_add_text(&path, *source->tenant ? "" : "&tenant=");
    bool fits = add_query(&path, "tenant", source->tenant) &&
                add_query(&path, "month", source->month) &&
                add_query(&path, "from", source->from) && add_query(&path, "to", source->to) &&
                add_query(&path, "after", cursor);
    struct weir_admin_answer answer = {0};
    const struct weir_admin_request get = {
        .args = source->args, .method = "GET", .path = path.data, .text = page};
    int rc = fits ? weir_admin_call(&get, &answer, err)
                  : weir_error_set(err, WEIR_E_TOOBIG, "the tenant's name is too long");
    weir_admin_answer_finish(&answer);
    weir_buf_finish(&path);
    return rc;
}

static const char *text(yyjson_val *entry, const char *name)
{
    const char *s = yyjson_get_str(yyjson_obj_get(entry, name));
    return s ? s : "";
}

static int64_t number(yyjson_val *entry, const char *name)
{
    return yyjson_get_sint(yyjson_obj_get(entry, name));
}

static struct weir_ledger_price read_price(yyjson_val *v)
{
    return (struct weir_ledger_price){
        .is_there = yyjson_is_obj(v),
        .prompt = (uint64_t)number(v, "prompt"),
        .cached = (uint64_t)number(v, "cached"),
        .completion = (uint64_t)number(v, "completion"),
        .request = (uint64_t)number(v, "request"),
        .gpu_second = (uint64_t)number(v, "gpu_second"),
    };
}

static struct weir_ledger_entry read_entry(yyjson_val *root)
{
    return (struct weir_ledger_entry){
        .place = (uint64_t)number(root, "place"),
        .month = text(root, "month"),
        .id = text(root, "id"),
        .type = text(root, "type"),
        .tenant = text(root, "tenant"),
        .key = text(root, "key"),
        .user = text(root, "user"),
        .model = text(root, "model"),
        .currency = text(root, "currency"),
        .seq = number(root, "seq"),
        .price = read_price(yyjson_obj_get(root, "price")),
        .add = {.requests = number(root, "requests"),
                .prompt = number(root, "prompt_tokens"),
                .cached = number(root, "cached_tokens"),
                .completion = number(root, "completion_tokens"),
                .delivered = number(root, "delivered_tokens"),
                .gpu_us = number(root, "gpu_us"),
                .amount = number(root, "amount_micro")},
    };
}

struct reader {
    int (*each)(void *arg, const struct weir_ledger_entry *entry); /* NULL: only the cursor */
    void *arg;
    char cursor[CURSOR_BYTES]; /* behind the last line */
    uint32_t n_lines;
};

static int read_line(struct reader *rd, weir_str line, struct weir_error *err)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) {
        yyjson_doc_free(doc);
        return weir_error_set(err, WEIR_E_FORMAT, "a line of the answer is no ledger entry");
    }
    const struct weir_ledger_entry entry = read_entry(root);
    (void)snprintf(rd->cursor, sizeof(rd->cursor), "%.7s:%llu", entry.month,
                   (unsigned long long)entry.place);
    rd->n_lines++;
    int rc = rd->each ? rd->each(rd->arg, &entry) : 0;
    yyjson_doc_free(doc);
    return rc;
}

static int read_page(struct reader *rd, weir_str page, struct weir_error *err)
{
    int rc = 0;
    rd->n_lines = 0;
    while (rc >= 0 && page.n) {
        const char *end = memchr(page.p, '\n', page.n);
        size_t n = end ? (size_t)(end - page.p) : page.n;
        rc = n ? read_line(rd, (weir_str){page.p, n}, err) : 0;
        n += end != NULL;
        page.p += n;
        page.n -= n;
    }
    return rc;
}

int weir_ledger_read(const struct weir_ledger_source *source,
                     int (*each)(void *arg, const struct weir_ledger_entry *entry), void *arg,
                     struct weir_error *err)
{
    struct reader rd = {.each = each, .arg = arg};
    struct weir_buf page;
    weir_buf_init(&page, MAX_PAGE_BYTES);
    int rc;
    do {
        rc = fetch(source, "jsonl", rd.cursor, &page, err);
        rc = rc < 0 ? rc : read_page(&rd, weir_buf_view(&page), err);
    } while (rc >= 0 && rd.n_lines > 0);
    weir_buf_finish(&page);
    return rc;
}

/* Records of CSV: fields in quotes may hold line ends. The first two columns are the cursor. */
static void read_csv(struct reader *rd, weir_str page)
{
    bool quoted = false, begins = true;
    rd->n_lines = 0;
    for (size_t i = 0; i < page.n; i++) {
        if (begins && page.p[i] >= '0' && page.p[i] <= '9' && page.n - i > 8) {
            const char *place = page.p + i + 8;
            const char *end = memchr(place, ',', page.n - i - 8);
            (void)snprintf(rd->cursor, sizeof(rd->cursor), "%.7s:%.*s", page.p + i,
                           end && end - place < 20 ? (int)(end - place) : 0, place);
            rd->n_lines++;
        }
        quoted = quoted != (page.p[i] == '"');
        begins = !quoted && page.p[i] == '\n';
    }
}

int weir_ledger_copy(const struct weir_ledger_source *source, const char *format,
                     int (*take)(void *arg, weir_str page), void *arg, struct weir_error *err)
{
    struct reader rd = {0};
    struct weir_buf page;
    weir_buf_init(&page, MAX_PAGE_BYTES);
    bool is_csv = strcmp(format, "csv") == 0;
    int rc;
    do {
        rc = fetch(source, format, rd.cursor, &page, err);
        if (rc >= 0 && is_csv) {
            read_csv(&rd, weir_buf_view(&page));
        } else if (rc >= 0) {
            rc = read_page(&rd, weir_buf_view(&page), err);
        }
        rc = rc < 0 ? rc : take(arg, weir_buf_view(&page));
    } while (rc >= 0 && rd.n_lines > 0);
    weir_buf_finish(&page);
    return rc;
}
