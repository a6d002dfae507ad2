/* SPDX-License-Identifier: Apache-2.0 */
#include "sse.h"

enum { KEEP_BYTES = 16384 };

void weir_sse_init(struct weir_sse *sse, size_t max_bytes)
{
    *sse = (struct weir_sse){0};
    weir_buf_init(&sse->line, max_bytes);
    weir_buf_init(&sse->data, max_bytes);
}

void weir_sse_finish(struct weir_sse *sse)
{
    weir_buf_finish(&sse->line);
    weir_buf_finish(&sse->data);
}

static void trim(struct weir_buf *b)
{
    if (b->cap > KEEP_BYTES) {
        weir_buf_finish(b);
    }
    weir_buf_reset(b);
}

void weir_sse_reset(struct weir_sse *sse)
{
    trim(&sse->line);
    trim(&sse->data);
    sse->has_data = sse->skips_lf = sse->has_begun = false;
}

/* The value of a data line; false: it is another kind of line. */
static bool data_of(weir_str line, weir_str *ret_value)
{
    if (line.n < 4 || memcmp(line.p, "data", 4) != 0 || (line.n > 4 && line.p[4] != ':')) {
        return false;
    }
    size_t skip = line.n == 4 ? 4 : line.n > 5 && line.p[5] == ' ' ? 6 : 5;
    *ret_value = (weir_str){line.p + skip, line.n - skip};
    return true;
}

static int fail(const struct weir_buf *b, size_t n)
{
    return b->len + n + 1 > b->max_bytes ? WEIR_E_TOOBIG : WEIR_E_NOMEM;
}

static int keep_data(struct weir_sse *sse, weir_str value)
{
    if (sse->has_data) {
        weir_buf_add_char(&sse->data, '\n');
    }
    weir_buf_add_str(&sse->data, value);
    sse->has_data = true;
    return sse->data.failed ? fail(&sse->data, value.n) : 0;
}

/* Where the line that begins at `at` ends; NULL: not in these bytes. */
static const char *line_end(const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    const char *cr = memchr(at, '\r', (size_t)((lf ? lf : end) - at));
    return cr ? cr : lf;
}

/* Behind the end of a line. */
static const char *after_end(struct weir_sse *sse, const char *eol, const char *end)
{
    if (*eol == '\n') {
        return eol + 1;
    }
    if (eol + 1 == end) {
        sse->skips_lf = true;
        return end;
    }
    return eol + (eol[1] == '\n' ? 2 : 1);
}

static weir_str without_mark(struct weir_sse *sse, weir_str line)
{
    bool marked = !sse->has_begun && line.n >= 3 && memcmp(line.p, "\xEF\xBB\xBF", 3) == 0;
    sse->has_begun = true;
    return marked ? (weir_str){line.p + 3, line.n - 3} : line;
}

/* The usual event is one data line with the empty line right behind it: it is given as it lies. */
static bool is_whole_event(const char *next, const char *end)
{
    return next < end && *next == '\n';
}

int weir_sse_feed(struct weir_sse *sse, const char *bytes, size_t n,
                  int (*on_event)(void *arg, weir_str data), void *arg, size_t *ret_used)
{
    const char *at = bytes, *end = bytes + n;
    int r = 0;
    if (n && sse->skips_lf) {
        sse->skips_lf = false;
        at += *at == '\n';
    }
    while (r == 0 && at < end) {
        const char *eol = line_end(at, end);
        if (!eol) {
            weir_buf_add(&sse->line, at, (size_t)(end - at));
            r = sse->line.failed ? fail(&sse->line, (size_t)(end - at)) : 0;
            at = end;
            break;
        }
        weir_str line = {at, (size_t)(eol - at)}, value;
        bool is_kept = sse->line.len > 0;
        if (is_kept) {
            weir_buf_add_str(&sse->line, line);
            if (sse->line.failed) {
                r = fail(&sse->line, line.n);
                break;
            }
            line = weir_buf_view(&sse->line);
        }
        line = without_mark(sse, line);
        at = after_end(sse, eol, end);
        if (line.n == 0) {
            bool has_data = sse->has_data;
            sse->has_data = false;
            r = has_data ? on_event(arg, weir_buf_view(&sse->data)) : 0;
            weir_buf_reset(&sse->data);
        } else if (data_of(line, &value)) {
            if (!sse->has_data && is_whole_event(at, end)) {
                at++;
                r = on_event(arg, value);
            } else {
                r = keep_data(sse, value);
            }
        }
        if (is_kept) {
            weir_buf_reset(&sse->line);
        }
    }
    *ret_used = (size_t)(at - bytes);
    return r;
}
