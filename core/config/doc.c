/* SPDX-License-Identifier: Apache-2.0 */
#include "doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/config/doc_internal.h"

const struct weir_doc_node *weir_doc_root(const struct weir_doc *doc)
{
    return doc->root;
}

void weir_doc_destroy(struct weir_doc *doc)
{
    if (doc) {
        weir_arena_finish(&doc->arena);
        free(doc);
    }
}

static int read_all(int fd, struct weir_buf *text)
{
    for (;;) {
        char *to = weir_buf_reserve(text, 4096);
        if (!to) {
            return WEIR_E_TOOBIG;
        }
        ssize_t n = read(fd, to, 4096);
        if (n < 0 && errno != EINTR) {
            return WEIR_E_IO;
        }
        if (n == 0) {
            return text->len > WEIR_DOC_MAX_BYTES ? WEIR_E_TOOBIG : 0;
        }
        if (n > 0) {
            weir_buf_commit(text, (size_t)n);
        }
    }
}

static int complain_file(struct weir_findings *f, int code, int os_error)
{
    const struct weir_place start = {1, 1};
    if (code == WEIR_E_TOOBIG) {
        weir_findings_add(f, start, "document", NULL, "is larger than %d bytes, the limit",
                          WEIR_DOC_MAX_BYTES);
    } else {
        weir_findings_add(f, start, "document", NULL, "cannot be read: %s", strerror(os_error));
    }
    return code;
}

int weir_doc_read(struct weir_findings *findings, struct weir_doc **ret_doc)
{
    int fd = open(findings->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return complain_file(findings, WEIR_E_IO, errno);
    }
    struct weir_buf text;
    weir_buf_init(&text, WEIR_DOC_MAX_BYTES + 8192);
    int r = read_all(fd, &text);
    int os_error = errno;
    close(fd);
    if (r < 0) {
        r = complain_file(findings, r, os_error);
    } else {
        r = weir__doc_parse(weir_buf_view(&text), true, findings, ret_doc);
    }
    weir_buf_finish(&text);
    return r;
}

const struct weir_doc_node *weir_doc_empty_map(struct weir_doc *doc, const struct weir_doc_node *at)
{
    struct weir_doc_node *node = weir_arena_alloc(&doc->arena, sizeof(*node));
    if (node) {
        *node = (struct weir_doc_node){.type = WEIR_DOC_MAP,
                                       .place = at->place,
                                       .key_place = at->key_place,
                                       .key = at->key,
                                       .index = at->index,
                                       .parent = at->parent};
    }
    return node;
}

static int by_key_order(const void *a, const void *b)
{
    return weir__doc_key_order((*(const struct weir_doc_node *const *)a)->key,
                               (*(const struct weir_doc_node *const *)b)->key);
}

/* Copies the children of `from` that are not in `but` (NULL: all) into to[]; returns how many. */
static size_t copy_children(struct weir_doc_node *to, const struct weir_doc_node *from,
                            const struct weir_doc_node *but)
{
    size_t n = 0;
    for (const struct weir_doc_node *c = from->first; c; c = c->next) {
        if (!but || !weir_doc_get(but, c->key)) {
            to[n++] = *c;
        }
    }
    return n;
}

const struct weir_doc_node *weir_doc_with_defaults(struct weir_doc *doc,
                                                   const struct weir_doc_node *map,
                                                   const struct weir_doc_node *defaults)
{
    if (!defaults || defaults->type != WEIR_DOC_MAP || defaults->n_children == 0) {
        return map;
    }
    size_t max = map->n_children + defaults->n_children;
    struct weir_doc_node *node = weir_arena_alloc(&doc->arena, sizeof(*node));
    struct weir_doc_node *children = weir_arena_array(&doc->arena, max, sizeof(*children));
    const struct weir_doc_node **by_key = weir_arena_array(&doc->arena, max, sizeof(*by_key));
    if (!node || !children || !by_key) {
        return NULL;
    }
    size_t n = copy_children(children, map, NULL);
    n += copy_children(children + n, defaults, map);
    for (size_t i = 0; i < n; i++) {
        children[i].next = i + 1 < n ? &children[i + 1] : NULL;
        children[i].index = i;
        by_key[i] = &children[i];
    }
    qsort(by_key, n, sizeof(*by_key), by_key_order);
    *node = *map;
    node->first = children;
    node->n_children = n;
    node->by_key = by_key;
    return node;
}

int weir__doc_key_order(weir_str a, weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    if (order != 0) {
        return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

const struct weir_doc_node *weir_doc_get(const struct weir_doc_node *map, weir_str key)
{
    if (!map || map->type != WEIR_DOC_MAP) {
        return NULL;
    }
    size_t low = 0;
    size_t high = map->n_children;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = weir__doc_key_order(key, map->by_key[mid]->key);
        if (order == 0) {
            return map->by_key[mid];
        }
        if (order < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return NULL;
}

const struct weir_doc_node *weir_doc_find(const struct weir_doc_node *from, const char *path)
{
    while (from) {
        size_t n = strcspn(path, ".");
        from = weir_doc_get(from, (weir_str){path, n});
        if (path[n] == '\0') {
            break;
        }
        path += n + 1;
    }
    return from;
}

static bool same_scalar(const struct weir_doc_node *a, const struct weir_doc_node *b)
{
    bool a_number = a->type == WEIR_DOC_INT || a->type == WEIR_DOC_FLOAT;
    bool b_number = b->type == WEIR_DOC_INT || b->type == WEIR_DOC_FLOAT;
    if (a_number && b_number) {
        bool exact = a->type == WEIR_DOC_INT && b->type == WEIR_DOC_INT;
        return exact ? a->integer == b->integer : a->number == b->number;
    }
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case WEIR_DOC_BOOL: return a->boolean == b->boolean;
    case WEIR_DOC_STRING: return weir_str_eq(a->text, b->text);
    default: return a->type == WEIR_DOC_NULL;
    }
}

/* Recursion is bounded by WEIR_DOC_MAX_DEPTH. */
bool weir_doc_equal(const struct weir_doc_node *a, const struct weir_doc_node *b)
{
    if (a->type != WEIR_DOC_LIST && a->type != WEIR_DOC_MAP) {
        return same_scalar(a, b);
    }
    if (a->type != b->type || a->n_children != b->n_children) {
        return false;
    }
    const struct weir_doc_node *y = b->first;
    for (const struct weir_doc_node *x = a->first; x; x = x->next) {
        const struct weir_doc_node *other = a->type == WEIR_DOC_MAP ? weir_doc_get(b, x->key) : y;
        if (!other || !weir_doc_equal(x, other)) {
            return false;
        }
        y = y->next;
    }
    return true;
}

static bool is_plain_key(weir_str key)
{
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '/' || c == '$' || (unsigned char)c >= 0x80;
        if (!plain) {
            return false;
        }
    }
    return key.n > 0;
}

/* Puts text before what is there; false when there is no room. */
static bool put_before(char *out, size_t *at, const char *text, size_t n)
{
    if (n > *at) {
        return false;
    }
    *at -= n;
    memcpy(out + *at, text, n);
    return true;
}

static bool put_step(char *out, size_t *at, const struct weir_doc_node *node)
{
    if (node->parent->type == WEIR_DOC_LIST) {
        char index[32];
        int n = snprintf(index, sizeof(index), "[%zu]", node->index);
        return put_before(out, at, index, (size_t)n);
    }
    bool first = node->parent->parent == NULL;
    if (is_plain_key(node->key)) {
        return put_before(out, at, node->key.p, node->key.n) &&
               (first || put_before(out, at, ".", 1));
    }
    return put_before(out, at, "\"]", 2) && put_before(out, at, node->key.p, node->key.n) &&
           put_before(out, at, "[\"", 2);
}

const char *weir_doc_path(const struct weir_doc_node *node, char out[WEIR_DOC_PATH_BYTES])
{
    if (!node->parent) {
        memcpy(out, "document", sizeof("document"));
        return out;
    }
    char text[WEIR_DOC_PATH_BYTES - 4];
    size_t at = sizeof(text);
    bool whole = true;
    for (; node->parent && whole; node = node->parent) {
        size_t before = at;
        whole = put_step(text, &at, node);
        if (!whole) {
            at = before;
        }
    }
    size_t n = sizeof(text) - at;
    size_t dots = whole ? 0 : 3;
    memcpy(out, "...", dots);
    memcpy(out + dots, text + at, n);
    out[dots + n] = '\0';
    return out;
}

const char *weir_doc_type_name(enum weir_doc_type type)
{
    switch (type) {
    case WEIR_DOC_NULL: return "nothing (null)";
    case WEIR_DOC_BOOL: return "true or false";
    case WEIR_DOC_INT: return "a whole number";
    case WEIR_DOC_FLOAT: return "a number";
    case WEIR_DOC_STRING: return "a string";
    case WEIR_DOC_LIST: return "a list";
    case WEIR_DOC_MAP: return "a mapping";
    }
    return "unknown";
}

__attribute__((format(printf, 5, 0))) static void
complain(struct weir_findings *f, const struct weir_doc_node *node, struct weir_place place,
         const char *rule, const char *fmt, va_list ap)
{
    char path[WEIR_DOC_PATH_BYTES];
    char text[600];
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    weir_findings_add(f, place, weir_doc_path(node, path), rule, "%s", text);
}

void weir_doc_complain(struct weir_findings *f, const struct weir_doc_node *node, const char *rule,
                       const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(f, node, node->place, rule, fmt, ap);
    va_end(ap);
}

void weir_doc_complain_key(struct weir_findings *f, const struct weir_doc_node *node,
                           const char *rule, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(f, node, node->key_place, rule, fmt, ap);
    va_end(ap);
}
