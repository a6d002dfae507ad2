/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <yaml.h>

#include "base/utf8.h"
#include "core/config/doc_internal.h"
#include "core/config/reference_text.h"
#include "core/config/scalar.h"

enum { ARENA_BYTES = 64 * 1024 * 1024 };

/* A list or map that is not closed yet. */
struct open_node {
    struct weir_doc_node *node;
    struct weir_doc_node *last; /* newest child */
    bool has_key;               /* a map's key was read, its value comes next */
    weir_str key;
    struct weir_place key_place;
};

struct builder {
    struct weir_doc *doc;
    struct weir_findings *findings;
    struct open_node stack[WEIR_DOC_MAX_DEPTH];
    size_t depth;
    size_t n_nodes;
    size_t n_documents;
    bool follow; /* ${env:…} and ${file:…} are replaced */
    int failure; /* 0 while all is well */
};

static struct weir_place place_of(yaml_mark_t mark)
{
    return (struct weir_place){.line = (uint32_t)mark.line + 1,
                               .column = (uint32_t)mark.column + 1};
}

/* The path of what was being read: the pending key, or the innermost open node. */
static const char *current_path(const struct builder *b, char out[WEIR_DOC_PATH_BYTES])
{
    if (b->depth == 0) {
        memcpy(out, "document", sizeof("document"));
        return out;
    }
    const struct open_node *top = &b->stack[b->depth - 1];
    if (!top->has_key) {
        return weir_doc_path(top->node, out);
    }
    struct weir_doc_node value = {.key = top->key, .parent = top->node};
    return weir_doc_path(&value, out);
}

static void fail(struct builder *b, yaml_mark_t mark, const char *fmt, ...) WEIR_PRINTF(3, 4);
static void fail(struct builder *b, yaml_mark_t mark, const char *fmt, ...)
{
    char text[400];
    char path[WEIR_DOC_PATH_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    weir_findings_add(b->findings, place_of(mark), current_path(b, path), NULL, "%s", text);
    b->failure = WEIR_E_FORMAT;
}

static void fail_memory(struct builder *b, yaml_mark_t mark)
{
    fail(b, mark, "out of memory");
    b->failure = WEIR_E_NOMEM;
}

static void attach(struct builder *b, struct weir_doc_node *node)
{
    if (b->depth == 0) {
        b->doc->root = node;
        return;
    }
    struct open_node *top = &b->stack[b->depth - 1];
    node->parent = top->node;
    node->index = top->node->n_children++;
    if (top->has_key) {
        node->key = top->key;
        node->key_place = top->key_place;
        top->has_key = false;
    }
    if (top->last) {
        top->last->next = node;
    } else {
        top->node->first = node;
    }
    top->last = node;
}

static struct weir_doc_node *new_node(struct builder *b, enum weir_doc_type type, yaml_mark_t mark)
{
    if (b->n_nodes == WEIR_DOC_MAX_NODES) {
        fail(b, mark, "has more than %d values, the limit", WEIR_DOC_MAX_NODES);
        return NULL;
    }
    struct weir_doc_node *node = weir_arena_alloc(&b->doc->arena, sizeof(*node));
    if (!node) {
        fail_memory(b, mark);
        return NULL;
    }
    b->n_nodes++;
    node->type = type;
    node->place = node->key_place = place_of(mark);
    return node;
}

static bool is_awaiting_key(const struct builder *b)
{
    return b->depth > 0 && b->stack[b->depth - 1].node->type == WEIR_DOC_MAP &&
           !b->stack[b->depth - 1].has_key;
}

static void open_collection(struct builder *b, enum weir_doc_type type, yaml_mark_t mark)
{
    if (is_awaiting_key(b)) {
        fail(b, mark, "has a key that is a list or mapping; a key must be a plain word");
        return;
    }
    if (b->depth == WEIR_DOC_MAX_DEPTH) {
        fail(b, mark, "is nested deeper than %d levels, the limit", WEIR_DOC_MAX_DEPTH);
        return;
    }
    struct weir_doc_node *node = new_node(b, type, mark);
    if (node) {
        attach(b, node);
        b->stack[b->depth++] = (struct open_node){.node = node};
    }
}

static int by_key_order(const void *a, const void *b)
{
    const struct weir_doc_node *x = *(const struct weir_doc_node *const *)a;
    const struct weir_doc_node *y = *(const struct weir_doc_node *const *)b;
    int order = weir__doc_key_order(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void complain_duplicate(struct builder *b, const struct weir_doc_node *again,
                               const struct weir_doc_node *before)
{
    weir_doc_complain_key(b->findings, again, NULL,
                          "is a duplicate: the key stands at line %u already; keep one of them",
                          before->key_place.line);
    b->failure = WEIR_E_FORMAT;
}

static void close_collection(struct builder *b, yaml_mark_t mark)
{
    struct weir_doc_node *node = b->stack[--b->depth].node;
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): libyaml ends only what it has begun
    if (node->type != WEIR_DOC_MAP || node->n_children == 0) {
        return;
    }
    node->by_key = weir_arena_array(&b->doc->arena, node->n_children, sizeof(node->by_key[0]));
    if (!node->by_key) {
        fail_memory(b, mark);
        return;
    }
    size_t n = 0;
    for (const struct weir_doc_node *c = node->first; c; c = c->next) {
        node->by_key[n++] = c;
    }
    qsort(node->by_key, n, sizeof(node->by_key[0]), by_key_order);
    for (size_t i = 1; i < n && !b->failure; i++) {
        if (weir_str_eq(node->by_key[i]->key, node->by_key[i - 1]->key)) {
            complain_duplicate(b, node->by_key[i], node->by_key[i - 1]);
        }
    }
}

static void read_key(struct builder *b, const yaml_event_t *event, weir_str text)
{
    struct open_node *top = &b->stack[b->depth - 1];
    if (text.n == 0) {
        fail(b, event->start_mark, "has an empty key; a key must be a word");
        return;
    }
    top->key = text;
    top->key_place = place_of(event->start_mark);
    top->has_key = true;
}

static void resolve_plain(struct builder *b, struct weir_doc_node *node, yaml_mark_t mark)
{
    struct weir_scalar s;
    int r = weir_scalar_resolve(node->text, &s);
    if (r == WEIR_E_TOOBIG) {
        fail(b, mark, "is a number out of range; if it is a word or key, put it in quotes");
        return;
    }
    if (r < 0) {
        fail(b, mark, "must be finite; infinity and not-a-number are not allowed");
        return;
    }
    static const enum weir_doc_type types[] = {
        [WEIR_SCALAR_NULL] = WEIR_DOC_NULL,     [WEIR_SCALAR_BOOL] = WEIR_DOC_BOOL,
        [WEIR_SCALAR_INT] = WEIR_DOC_INT,       [WEIR_SCALAR_FLOAT] = WEIR_DOC_FLOAT,
        [WEIR_SCALAR_STRING] = WEIR_DOC_STRING,
    };
    node->type = types[s.kind];
    node->boolean = s.boolean;
    node->integer = s.integer;
    node->number = s.number;
}

static void follow_reference(struct builder *b, struct weir_doc_node *node, yaml_mark_t mark)
{
    struct weir_error err = {0};
    if (weir_reference_text_read(node->text, &b->doc->arena, &node->text, &err) < 0) {
        fail(b, mark, "%s", err.message);
        return;
    }
    node->quoted = true;
    node->secret = true;
}

static void read_scalar(struct builder *b, const yaml_event_t *event)
{
    weir_str raw = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (raw.n && memchr(raw.p, '\0', raw.n)) {
        fail(b, event->start_mark, "holds a NUL character, which is not allowed");
        return;
    }
    weir_str text = weir_arena_copy(&b->doc->arena, raw);
    if (!text.p) {
        fail_memory(b, event->start_mark);
        return;
    }
    if (is_awaiting_key(b)) {
        read_key(b, event, text);
        return;
    }
    struct weir_doc_node *node = new_node(b, WEIR_DOC_STRING, event->start_mark);
    if (!node) {
        return;
    }
    node->text = text;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (b->follow && weir_reference_text_is(text)) {
        follow_reference(b, node, event->start_mark);
    } else if (!node->quoted) {
        resolve_plain(b, node, event->start_mark);
    }
    if (!b->failure) {
        attach(b, node);
    }
}

/* Anchors and tags change what a text means from afar; neither is needed in a configuration. */
static bool refuse_decoration(struct builder *b, const yaml_event_t *event,
                              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor) {
        fail(b, event->start_mark, "has an anchor (&%.40s); write the value out where it is needed",
             (const char *)anchor);
    } else if (tag) {
        fail(b, event->start_mark, "has a tag (%.40s), which is not allowed", (const char *)tag);
    }
    return anchor || tag;
}

static void take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++b->n_documents > 1) {
            fail(b, event->start_mark, "is followed by a second one; a file holds one document");
        }
        break;
    case YAML_ALIAS_EVENT:
        fail(b, event->start_mark, "uses an alias (*%.40s); write the value out",
             (const char *)event->data.alias.anchor);
        break;
    case YAML_SCALAR_EVENT:
        if (!refuse_decoration(b, event, event->data.scalar.anchor, event->data.scalar.tag)) {
            read_scalar(b, event);
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (!refuse_decoration(b, event, event->data.sequence_start.anchor,
                               event->data.sequence_start.tag)) {
            open_collection(b, WEIR_DOC_LIST, event->start_mark);
        }
        break;
    case YAML_MAPPING_START_EVENT:
        if (!refuse_decoration(b, event, event->data.mapping_start.anchor,
                               event->data.mapping_start.tag)) {
            open_collection(b, WEIR_DOC_MAP, event->start_mark);
        }
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: close_collection(b, event->start_mark); break;
    default: break;
    }
}

static void fail_syntax(struct builder *b, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        fail_memory(b, parser->mark);
        return;
    }
    bool has_mark = parser->error != YAML_READER_ERROR;
    yaml_mark_t mark = has_mark ? parser->problem_mark : parser->mark;
    const char *problem = parser->problem ? parser->problem : "cannot be parsed";
    if (parser->context) {
        fail(b, mark, "is not valid YAML: %s (%s that began at line %zu)", problem, parser->context,
             parser->context_mark.line + 1);
    } else {
        fail(b, mark, "is not valid YAML: %s", problem);
    }
}

static void parse_events(struct builder *b, yaml_parser_t *parser)
{
    bool more = true;
    while (more && !b->failure) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            fail_syntax(b, parser);
            return;
        }
        take_event(b, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
}

/* The first character that no configuration needs: not UTF-8, or a control character. Found by hand
 * because libyaml reads ahead and no longer knows the line. */
static bool check_characters(weir_str text, struct weir_findings *findings)
{
    struct weir_place place = {1, 1};
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        size_t n = weir_utf8_decode(text.p + i, text.n - i, &cp);
        if (n == 0) {
            weir_findings_add(findings, place, "document", NULL,
                              "has the byte 0x%02x, which is not UTF-8; save the file as UTF-8",
                              (unsigned char)text.p[i]);
            return false;
        }
        bool blank = cp == '\t' || cp == '\n' || cp == '\r' || cp == 0x85;
        if (!blank && (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xfffe || cp == 0xffff)) {
            weir_findings_add(findings, place, "document", NULL,
                              "has the control character U+%04X, which is not allowed", cp);
            return false;
        }
        place.column++;
        if (cp == '\n') {
            place = (struct weir_place){place.line + 1, 1};
        }
        i += n;
    }
    return true;
}

static int build(struct builder *b, weir_str text)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return WEIR_E_NOMEM;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    parse_events(b, &parser);
    yaml_parser_delete(&parser);
    if (!b->failure && !b->doc->root) {
        struct weir_doc_node *root = weir_arena_alloc(&b->doc->arena, sizeof(*root));
        if (!root) {
            return WEIR_E_NOMEM;
        }
        *root = (struct weir_doc_node){.place = {1, 1}, .key_place = {1, 1}};
        b->doc->root = root;
    }
    return b->failure;
}

int weir_doc_parse(weir_str text, struct weir_findings *findings, struct weir_doc **ret_doc)
{
    return weir__doc_parse(text, false, findings, ret_doc);
}

int weir__doc_parse(weir_str text, bool follow, struct weir_findings *findings,
                    struct weir_doc **ret_doc)
{
    if (text.n > WEIR_DOC_MAX_BYTES) {
        weir_findings_add(findings, (struct weir_place){1, 1}, "document", NULL,
                          "is larger than %d bytes, the limit", WEIR_DOC_MAX_BYTES);
        return WEIR_E_TOOBIG;
    }
    if (!check_characters(text, findings)) {
        return WEIR_E_FORMAT;
    }
    struct weir_doc *doc = calloc(1, sizeof(*doc));
    if (!doc) {
        return WEIR_E_NOMEM;
    }
    weir_arena_init(&doc->arena, ARENA_BYTES);
    struct builder b = {.doc = doc, .findings = findings, .follow = follow};
    int r = build(&b, text.p ? text : (weir_str)WEIR_STR_INIT(""));
    if (r < 0) {
        if (weir_findings_empty(findings)) {
            weir_findings_add(findings, (struct weir_place){1, 1}, "document", NULL,
                              "out of memory");
        }
        weir_doc_destroy(doc);
        return r;
    }
    *ret_doc = doc;
    return 0;
}
