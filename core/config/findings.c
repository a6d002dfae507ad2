/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdarg.h>

enum { ARENA_BYTES = 256 * 1024, TEXT_BYTES = 600 };

void weir_findings_init(struct weir_findings *f, const char *file)
{
    *f = (struct weir_findings){.n = 0};
    weir_arena_init(&f->arena, ARENA_BYTES);
    const char *copy = *file ? weir_arena_strdup(&f->arena, file) : "";
    f->file = copy ? copy : "configuration";
}

void weir_findings_finish(struct weir_findings *f)
{
    weir_arena_finish(&f->arena);
    f->n = 0;
}

bool weir_findings_empty(const struct weir_findings *f)
{
    return f->n + f->n_left_out == 0;
}

bool weir_findings_malformed(const struct weir_findings *f)
{
    return f->n + f->n_left_out > f->n_rules;
}

static void keep(struct weir_findings *f, struct weir_place place, const char *path,
                 const char *rule, const char *text)
{
    f->n_rules += rule != NULL;
    const char *path_copy = NULL;
    const char *text_copy = NULL;
    if (f->n < WEIR_FINDINGS_MAX) {
        path_copy = weir_arena_strdup(&f->arena, path);
        text_copy = weir_arena_strdup(&f->arena, text);
    }
    if (!path_copy || !text_copy) {
        f->n_left_out++;
        return;
    }
    f->items[f->n++] =
        (struct weir_finding){.place = place, .path = path_copy, .rule = rule, .text = text_copy};
}

void weir_findings_add(struct weir_findings *f, struct weir_place place, const char *path,
                       const char *rule, const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    keep(f, place, path, rule, text);
}

void weir_findings_append(struct weir_findings *f, const struct weir_findings *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct weir_finding *it = &from->items[i];
        keep(f, it->place, it->path, it->rule, it->text);
    }
    f->n_left_out += from->n_left_out;
}

static bool is_before(struct weir_place a, struct weir_place b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

void weir_findings_sort(struct weir_findings *f)
{
    for (size_t i = 1; i < f->n; i++) {
        struct weir_finding moved = f->items[i];
        size_t at = i;
        for (; at > 0 && is_before(moved.place, f->items[at - 1].place); at--) {
            f->items[at] = f->items[at - 1];
        }
        f->items[at] = moved;
    }
}

/* Text quotes the file's own words; control characters in them must not reach a terminal. */
static void print_clean(const char *text, FILE *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            fprintf(out, "\\x%02x", *p);
        } else {
            fputc(*p, out);
        }
    }
}

void weir_findings_print(const struct weir_findings *f, FILE *out)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct weir_finding *it = &f->items[i];
        print_clean(f->file, out);
        fprintf(out, ":%u:%u: ", it->place.line, it->place.column);
        print_clean(it->path, out);
        fputs(": ", out);
        print_clean(it->text, out);
        if (it->rule) {
            fprintf(out, " (rule %s)", it->rule);
        }
        fputc('\n', out);
    }
    if (f->n_left_out) {
        fprintf(out, "%s: %zu more not shown\n", f->file, f->n_left_out);
    }
}

int weir_findings_to_error(const struct weir_findings *f, struct weir_error *err)
{
    if (f->n == 0) {
        return weir_error_set(err, WEIR_E_NOMEM, "%s: out of memory", f->file);
    }
    const struct weir_finding *it = &f->items[0];
    size_t more = f->n - 1 + f->n_left_out;
    if (more == 0) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s:%u:%u: %s: %s", f->file, it->place.line,
                              it->place.column, it->path, it->text);
    }
    return weir_error_set(err, WEIR_E_FORMAT, "%s:%u:%u: %s: %s (and %zu more)", f->file,
                          it->place.line, it->place.column, it->path, it->text, more);
}
