/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/gguf/gguf_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place");

#define DEFAULT_ALIGNMENT 32u
#define MAX_ALIGNMENT (1u << 20)

/* A position in the file that never passes its end. The first failure sticks: later reads give
 * zeros, so that a reader of several fields checks `status` once. */
struct cursor {
    const unsigned char *bytes;
    size_t n_bytes;
    size_t at;
    int status; /* 0 or the first error's code */
    struct weir_error *err;
};

static const struct {
    const char *name;
    uint8_t n_bytes; /* 0: no fixed size */
} value_types[WEIR_GGUF_TYPE__COUNT] = {
    [WEIR_GGUF_U8] = {"u8", 1},       [WEIR_GGUF_I8] = {"i8", 1},
    [WEIR_GGUF_U16] = {"u16", 2},     [WEIR_GGUF_I16] = {"i16", 2},
    [WEIR_GGUF_U32] = {"u32", 4},     [WEIR_GGUF_I32] = {"i32", 4},
    [WEIR_GGUF_F32] = {"f32", 4},     [WEIR_GGUF_BOOL] = {"bool", 1},
    [WEIR_GGUF_STR] = {"string", 0},  [WEIR_GGUF_U64] = {"u64", 8},
    [WEIR_GGUF_I64] = {"i64", 8},     [WEIR_GGUF_F64] = {"f64", 8},
    [WEIR_GGUF_ARRAY] = {"array", 0},
};

const char *weir__gguf_type_name(enum weir_gguf_type type)
{
    return (unsigned)type < WEIR_GGUF_TYPE__COUNT ? value_types[type].name : "unknown";
}

static void take(struct cursor *c, const char *what, void *to, size_t n_bytes)
{
    if (c->status == 0 && n_bytes > c->n_bytes - c->at) {
        c->status = weir_error_set(c->err, WEIR_E_FORMAT,
                                   "%s at offset %zu needs %zu bytes, the file ends at %zu", what,
                                   c->at, n_bytes, c->n_bytes);
    }
    if (c->status < 0) {
        memset(to, 0, n_bytes);
        return;
    }
    memcpy(to, c->bytes + c->at, n_bytes);
    c->at += n_bytes;
}

static uint32_t take_u32(struct cursor *c, const char *what)
{
    uint32_t v;
    take(c, what, &v, sizeof(v));
    return v;
}

static uint64_t take_u64(struct cursor *c, const char *what)
{
    uint64_t v;
    take(c, what, &v, sizeof(v));
    return v;
}

static weir_str take_str(struct cursor *c, const char *what)
{
    size_t start = c->at;
    uint64_t n = take_u64(c, what);
    if (n > c->n_bytes - c->at) {
        c->status = weir_error_set(c->err, WEIR_E_FORMAT,
                                   "%s at offset %zu has %llu bytes, the file ends at %zu", what,
                                   start, (unsigned long long)n, c->n_bytes);
    }
    if (c->status < 0) {
        return (weir_str){NULL, 0};
    }
    weir_str s = {(const char *)c->bytes + c->at, (size_t)n};
    c->at += (size_t)n;
    return s;
}

/* Names are printed in errors, so they must be plain: no control characters. */
static weir_str take_name(struct cursor *c, const char *what, size_t max_bytes)
{
    size_t start = c->at;
    weir_str name = take_str(c, what);
    if (c->status < 0) {
        return name;
    }
    if (name.n == 0 || name.n > max_bytes) {
        c->status = weir_error_set(c->err, WEIR_E_FORMAT,
                                   "%s at offset %zu has %zu bytes, must have 1 to %zu", what,
                                   start, name.n, max_bytes);
        return name;
    }
    for (size_t i = 0; i < name.n; i++) {
        unsigned char ch = (unsigned char)name.p[i];
        if (ch < 0x20 || ch == 0x7F) {
            c->status = weir_error_set(c->err, WEIR_E_FORMAT,
                                       "%s at offset %zu contains the control character 0x%02x",
                                       what, start, ch);
            break;
        }
    }
    return name;
}

static enum weir_gguf_type take_value_type(struct cursor *c, weir_str key)
{
    size_t start = c->at;
    uint32_t type = take_u32(c, "a value's type");
    if (type >= WEIR_GGUF_TYPE__COUNT) {
        c->status = weir_error_set(c->err, WEIR_E_UNSUPPORTED,
                                   "key '%.*s' has unknown type %u at offset %zu", (int)key.n,
                                   key.p, type, start);
        return WEIR_GGUF_U8;
    }
    return (enum weir_gguf_type)type;
}

static void take_array(struct cursor *c, struct weir_gguf_key *key)
{
    size_t start = c->at;
    struct weir_gguf_array *a = &key->value.array;
    a->type = take_value_type(c, key->name);
    a->n = take_u64(c, "an array's length");
    if (c->status < 0) {
        return;
    }
    if (a->type == WEIR_GGUF_ARRAY) {
        c->status =
            weir_error_set(c->err, WEIR_E_UNSUPPORTED,
                           "key '%.*s' at offset %zu is an array of arrays, which is not supported",
                           (int)key->name.n, key->name.p, start);
        return;
    }
    /* A string takes at least its length field, so the file bounds every count. */
    size_t elem_bytes = a->type == WEIR_GGUF_STR ? sizeof(uint64_t) : value_types[a->type].n_bytes;
    if (a->n > (c->n_bytes - c->at) / elem_bytes) {
        c->status = weir_error_set(
            c->err, WEIR_E_FORMAT,
            "key '%.*s' at offset %zu has %llu elements, the file ends at %zu", (int)key->name.n,
            key->name.p, start, (unsigned long long)a->n, c->n_bytes);
        return;
    }
    a->data = c->bytes + c->at;
    if (a->type != WEIR_GGUF_STR) {
        c->at += (size_t)a->n * elem_bytes;
        return;
    }
    for (uint64_t i = 0; i < a->n && c->status == 0; i++) {
        (void)take_str(c, "a string of an array");
    }
}

static void take_bool(struct cursor *c, struct weir_gguf_key *key)
{
    size_t start = c->at;
    uint8_t v;
    take(c, "a bool", &v, sizeof(v));
    if (v > 1) {
        c->status = weir_error_set(c->err, WEIR_E_FORMAT,
                                   "key '%.*s' at offset %zu is a bool of value %u, must be 0 or 1",
                                   (int)key->name.n, key->name.p, start, v);
    }
    key->value.u = v;
}

/* Widens one fixed-size number. */
static void take_number(struct cursor *c, struct weir_gguf_key *key)
{
    union {
        uint64_t u64;
        int64_t i64;
        uint32_t u32;
        int32_t i32;
        uint16_t u16;
        int16_t i16;
        uint8_t u8;
        int8_t i8;
        float f32;
        double f64;
    } raw = {0};
    take(c, "a value", &raw, value_types[key->type].n_bytes);
    switch (key->type) {
    case WEIR_GGUF_U8: key->value.u = raw.u8; break;
    case WEIR_GGUF_U16: key->value.u = raw.u16; break;
    case WEIR_GGUF_U32: key->value.u = raw.u32; break;
    case WEIR_GGUF_U64: key->value.u = raw.u64; break;
    case WEIR_GGUF_I8: key->value.i = raw.i8; break;
    case WEIR_GGUF_I16: key->value.i = raw.i16; break;
    case WEIR_GGUF_I32: key->value.i = raw.i32; break;
    case WEIR_GGUF_I64: key->value.i = raw.i64; break;
    case WEIR_GGUF_F32: key->value.f = (double)raw.f32; break;
    default: key->value.f = raw.f64; break;
    }
}

static void take_key(struct cursor *c, struct weir_gguf_key *key)
{
    key->name = take_name(c, "a key's name", WEIR_GGUF_MAX_KEY_BYTES);
    key->type = take_value_type(c, key->name);
    switch (key->type) {
    case WEIR_GGUF_STR: key->value.str = take_str(c, "a string"); break;
    case WEIR_GGUF_ARRAY: take_array(c, key); break;
    case WEIR_GGUF_BOOL: take_bool(c, key); break;
    default: take_number(c, key); break;
    }
}

/* n_elems of the tensor, checked against overflow. */
static int check_dims(struct cursor *c, const struct weir_gguf_tensor *t, uint64_t *ret_elems)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0) {
            return weir_error_set(c->err, WEIR_E_FORMAT, "tensor '%.*s': dimension %u is zero",
                                  (int)t->name.n, t->name.p, i);
        }
        if (__builtin_mul_overflow(n, t->dims[i], &n)) {
            return weir_error_set(c->err, WEIR_E_FORMAT,
                                  "tensor '%.*s': the product of its dimensions overflows",
                                  (int)t->name.n, t->name.p);
        }
    }
    *ret_elems = n;
    return 0;
}

static int check_size(struct cursor *c, struct weir_gguf_tensor *t, uint64_t n_elems)
{
    const struct weir_tensor_type_info *info = weir_tensor_type_info(t->type);
    if (!info) {
        return weir_error_set(c->err, WEIR_E_UNSUPPORTED, "tensor '%.*s' has unknown type %u",
                              (int)t->name.n, t->name.p, t->type);
    }
    if (t->dims[0] % info->block_elems != 0) {
        return weir_error_set(c->err, WEIR_E_FORMAT,
                              "tensor '%.*s': row of %llu is not a multiple of %s's block of %u",
                              (int)t->name.n, t->name.p, (unsigned long long)t->dims[0], info->name,
                              info->block_elems);
    }
    t->n_bytes = weir_tensor_row_bytes(t->type, n_elems);
    if (t->n_bytes == 0) {
        return weir_error_set(c->err, WEIR_E_FORMAT, "tensor '%.*s': its size overflows",
                              (int)t->name.n, t->name.p);
    }
    return 0;
}

/* Reads one description. *ret_offset is relative to the data section, whose start is not known
 * before the last description is read. */
static int take_tensor(struct cursor *c, struct weir_gguf_tensor *t, uint64_t *ret_offset)
{
    t->name = take_name(c, "a tensor's name", WEIR_GGUF_MAX_NAME_BYTES);
    t->n_dims = take_u32(c, "a tensor's number of dimensions");
    if (c->status < 0) {
        return c->status;
    }
    if (t->n_dims == 0 || t->n_dims > WEIR_GGUF_MAX_DIMS) {
        return weir_error_set(c->err, WEIR_E_FORMAT,
                              "tensor '%.*s' has %u dimensions, must have 1 to %u", (int)t->name.n,
                              t->name.p, t->n_dims, WEIR_GGUF_MAX_DIMS);
    }
    for (uint32_t i = 0; i < WEIR_GGUF_MAX_DIMS; i++) {
        t->dims[i] = i < t->n_dims ? take_u64(c, "a tensor's dimension") : 1;
    }
    t->type = take_u32(c, "a tensor's type");
    *ret_offset = take_u64(c, "a tensor's offset");
    if (c->status < 0) {
        return c->status;
    }
    uint64_t n_elems = 0;
    int r = check_dims(c, t, &n_elems);
    return r < 0 ? r : check_size(c, t, n_elems);
}

static int place_tensor(struct weir_gguf *g, struct cursor *c, struct weir_gguf_tensor *t,
                        uint64_t offset, uint32_t alignment)
{
    if (offset % alignment != 0) {
        return weir_error_set(c->err, WEIR_E_FORMAT,
                              "tensor '%.*s': offset %llu is not a multiple of the alignment %u",
                              (int)t->name.n, t->name.p, (unsigned long long)offset, alignment);
    }
    uint64_t start, end;
    if (__builtin_add_overflow(offset, (uint64_t)g->data_offset, &start) ||
        __builtin_add_overflow(start, (uint64_t)t->n_bytes, &end)) {
        return weir_error_set(c->err, WEIR_E_FORMAT, "tensor '%.*s': offset %llu overflows",
                              (int)t->name.n, t->name.p, (unsigned long long)offset);
    }
    if (end > g->n_bytes) {
        return weir_error_set(c->err, WEIR_E_FORMAT,
                              "tensor '%.*s': data ends at %llu, file has %zu bytes",
                              (int)t->name.n, t->name.p, (unsigned long long)end, g->n_bytes);
    }
    t->data = g->bytes + start;
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return weir__gguf_name_compare((*(struct weir_gguf_key *const *)a)->name,
                                   (*(struct weir_gguf_key *const *)b)->name);
}

static int compare_tensors(const void *a, const void *b)
{
    return weir__gguf_name_compare((*(struct weir_gguf_tensor *const *)a)->name,
                                   (*(struct weir_gguf_tensor *const *)b)->name);
}

static int parse_keys(struct weir_gguf *g, struct cursor *c)
{
    g->keys = calloc(g->n_keys + 1, sizeof(g->keys[0]));
    g->keys_by_name = calloc(g->n_keys + 1, sizeof(g->keys_by_name[0]));
    if (!g->keys || !g->keys_by_name) {
        return weir_error_set(c->err, WEIR_E_NOMEM, "out of memory for %zu keys", g->n_keys);
    }
    for (size_t i = 0; i < g->n_keys; i++) {
        take_key(c, &g->keys[i]);
        if (c->status < 0) {
            return c->status;
        }
        g->keys_by_name[i] = &g->keys[i];
    }
    qsort(g->keys_by_name, g->n_keys, sizeof(g->keys_by_name[0]), compare_keys);
    for (size_t i = 1; i < g->n_keys; i++) {
        weir_str name = g->keys_by_name[i]->name;
        if (weir_str_eq(name, g->keys_by_name[i - 1]->name)) {
            return weir_error_set(c->err, WEIR_E_FORMAT, "key '%.*s' appears twice", (int)name.n,
                                  name.p);
        }
    }
    return 0;
}

static int read_alignment(const struct weir_gguf *g, uint32_t *ret_alignment,
                          struct weir_error *err)
{
    *ret_alignment = DEFAULT_ALIGNMENT;
    int r = weir_gguf_u32(g, "general.alignment", ret_alignment, err);
    if (r < 0 && r != WEIR_E_NOTFOUND) {
        return r;
    }
    uint32_t a = *ret_alignment;
    if (a == 0 || (a & (a - 1)) != 0 || a > MAX_ALIGNMENT) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "general.alignment is %u, must be a power of two up to %u", a,
                              MAX_ALIGNMENT);
    }
    return 0;
}

/* Descriptions first: the data section begins, aligned, after the last of them. */
static int parse_tensors(struct weir_gguf *g, struct cursor *c, uint64_t *offsets)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        int r = take_tensor(c, &g->tensors[i], &offsets[i]);
        if (r < 0) {
            return r;
        }
        g->tensors_by_name[i] = &g->tensors[i];
    }
    qsort(g->tensors_by_name, g->n_tensors, sizeof(g->tensors_by_name[0]), compare_tensors);
    for (size_t i = 1; i < g->n_tensors; i++) {
        weir_str name = g->tensors_by_name[i]->name;
        if (weir_str_eq(name, g->tensors_by_name[i - 1]->name)) {
            return weir_error_set(c->err, WEIR_E_FORMAT, "tensor '%.*s' appears twice", (int)name.n,
                                  name.p);
        }
    }
    uint32_t alignment;
    int r = read_alignment(g, &alignment, c->err);
    if (r < 0) {
        return r;
    }
    g->data_offset = (c->at + alignment - 1) & ~((size_t)alignment - 1);
    for (size_t i = 0; i < g->n_tensors; i++) {
        r = place_tensor(g, c, &g->tensors[i], offsets[i], alignment);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int check_version(struct cursor *c)
{
    char magic[4];
    take(c, "the magic number", magic, sizeof(magic));
    if (c->status == 0 && memcmp(magic, "GGUF", sizeof(magic)) != 0) {
        return weir_error_set(c->err, WEIR_E_FORMAT, "not a GGUF file: no 'GGUF' at offset 0");
    }
    uint32_t version = take_u32(c, "the version");
    if (c->status < 0) {
        return c->status;
    }
    if ((version & 0xFFFF) == 0) {
        return weir_error_set(c->err, WEIR_E_UNSUPPORTED, "big-endian GGUF is not supported");
    }
    if (version != 2 && version != 3) {
        return weir_error_set(c->err, WEIR_E_UNSUPPORTED,
                              "GGUF version %u is not supported, must be 2 or 3", version);
    }
    return 0;
}

static int take_count(struct cursor *c, const char *what, size_t max, size_t *ret_count)
{
    uint64_t n = take_u64(c, what);
    if (c->status == 0 && n > max) {
        c->status = weir_error_set(c->err, WEIR_E_TOOBIG, "%s is %llu, must be at most %zu", what,
                                   (unsigned long long)n, max);
    }
    *ret_count = c->status < 0 ? 0 : (size_t)n;
    return c->status;
}

int weir__gguf_parse(struct weir_gguf *g, struct weir_error *err)
{
    struct cursor c = {.bytes = g->bytes, .n_bytes = g->n_bytes, .err = err};
    size_t n_tensors = 0;
    int r = check_version(&c);
    if (r == 0) {
        r = take_count(&c, "the number of tensors", WEIR_GGUF_MAX_TENSORS, &n_tensors);
    }
    if (r == 0) {
        r = take_count(&c, "the number of keys", WEIR_GGUF_MAX_KEYS, &g->n_keys);
    }
    if (r == 0) {
        r = parse_keys(g, &c);
    }
    if (r < 0) {
        return r;
    }
    g->n_tensors = n_tensors;
    g->tensors = calloc(n_tensors + 1, sizeof(g->tensors[0]));
    g->tensors_by_name = calloc(n_tensors + 1, sizeof(g->tensors_by_name[0]));
    uint64_t *offsets = calloc(n_tensors + 1, sizeof(offsets[0]));
    if (!g->tensors || !g->tensors_by_name || !offsets) {
        r = weir_error_set(err, WEIR_E_NOMEM, "out of memory for %zu tensors", n_tensors);
    } else {
        r = parse_tensors(g, &c, offsets);
    }
    free(offsets);
    return r;
}
