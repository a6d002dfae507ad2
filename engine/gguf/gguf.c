/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gguf/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/gguf/gguf_internal.h"

static int map_file(struct weir_gguf *g, const char *path, struct weir_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
    }
    struct stat st;
    void *map = MAP_FAILED;
    int r = 0;
    if (fstat(fd, &st) < 0) {
        r = weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        r = weir_error_set(err, WEIR_E_IO, "%s: not a regular file", path);
    } else if (st.st_size == 0) {
        r = weir_error_set(err, WEIR_E_FORMAT, "%s: the file is empty", path);
    } else {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            r = weir_error_set(err, WEIR_E_IO, "%s: %s", path, strerror(errno));
        }
    }
    (void)close(fd);
    if (r == 0) {
        g->bytes = map;
        g->n_bytes = (size_t)st.st_size;
        g->mapped = true;
    }
    return r;
}

int weir_gguf_open(const char *path, struct weir_gguf **ret_gguf, struct weir_error *err)
{
    struct weir_gguf *g = calloc(1, sizeof(*g));
    if (!g) {
        return weir_error_set(err, WEIR_E_NOMEM, "%s: out of memory", path);
    }
    int r = map_file(g, path, err);
    if (r == 0) {
        r = weir__gguf_parse(g, err);
        if (r < 0) {
            (void)weir_error_prefix(err, "%s", path);
        }
    }
    if (r < 0) {
        weir_gguf_destroy(g);
        return r;
    }
    *ret_gguf = g;
    return 0;
}

int weir_gguf_open_memory(const void *bytes, size_t n_bytes, struct weir_gguf **ret_gguf,
                          struct weir_error *err)
{
    struct weir_gguf *g = calloc(1, sizeof(*g));
    if (!g) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    g->bytes = bytes;
    g->n_bytes = n_bytes;
    int r = weir__gguf_parse(g, err);
    if (r < 0) {
        weir_gguf_destroy(g);
        return r;
    }
    *ret_gguf = g;
    return 0;
}

void weir_gguf_destroy(struct weir_gguf *g)
{
    if (!g) {
        return;
    }
    free(g->keys);
    free(g->keys_by_name);
    free(g->tensors);
    free(g->tensors_by_name);
    if (g->mapped) {
        (void)munmap((void *)(uintptr_t)g->bytes, g->n_bytes);
    }
    free(g);
}

size_t weir_gguf_size_bytes(const struct weir_gguf *g)
{
    return g->n_bytes;
}

size_t weir_gguf_data_offset(const struct weir_gguf *g)
{
    return g->data_offset;
}

size_t weir_gguf_n_keys(const struct weir_gguf *g)
{
    return g->n_keys;
}

const struct weir_gguf_key *weir_gguf_key_at(const struct weir_gguf *g, size_t i)
{
    return i < g->n_keys ? &g->keys[i] : NULL;
}

size_t weir_gguf_n_tensors(const struct weir_gguf *g)
{
    return g->n_tensors;
}

const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

static int compare_key_name(const void *name, const void *entry)
{
    return weir__gguf_name_compare(*(const weir_str *)name,
                                   (*(struct weir_gguf_key *const *)entry)->name);
}

static int compare_tensor_name(const void *name, const void *entry)
{
    return weir__gguf_name_compare(*(const weir_str *)name,
                                   (*(struct weir_gguf_tensor *const *)entry)->name);
}

const struct weir_gguf_key *weir_gguf_key(const struct weir_gguf *g, const char *name)
{
    if (g->n_keys == 0) {
        return NULL;
    }
    weir_str wanted = weir_str_from(name);
    struct weir_gguf_key *const *found =
        bsearch(&wanted, g->keys_by_name, g->n_keys, sizeof(g->keys_by_name[0]), compare_key_name);
    return found ? *found : NULL;
}

const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name)
{
    if (g->n_tensors == 0) {
        return NULL;
    }
    weir_str wanted = weir_str_from(name);
    struct weir_gguf_tensor *const *found =
        bsearch(&wanted, g->tensors_by_name, g->n_tensors, sizeof(g->tensors_by_name[0]),
                compare_tensor_name);
    return found ? *found : NULL;
}

static int find_key(const struct weir_gguf *g, const char *name,
                    const struct weir_gguf_key **ret_key, struct weir_error *err)
{
    *ret_key = weir_gguf_key(g, name);
    if (!*ret_key) {
        return weir_error_set(err, WEIR_E_NOTFOUND, "key '%s' is missing", name);
    }
    return 0;
}

static int wrong_type(const struct weir_gguf_key *key, const char *wanted, struct weir_error *err)
{
    return weir_error_set(err, WEIR_E_FORMAT, "key '%.*s' is of type %s, must be %s",
                          (int)key->name.n, key->name.p, weir__gguf_type_name(key->type), wanted);
}

int weir_gguf_u64(const struct weir_gguf *g, const char *name, uint64_t *ret_value,
                  struct weir_error *err)
{
    const struct weir_gguf_key *key = NULL;
    int r = find_key(g, name, &key, err);
    if (r < 0) {
        return r;
    }
    switch (key->type) {
    case WEIR_GGUF_U8:
    case WEIR_GGUF_U16:
    case WEIR_GGUF_U32:
    case WEIR_GGUF_U64: *ret_value = key->value.u; return 0;
    case WEIR_GGUF_I8:
    case WEIR_GGUF_I16:
    case WEIR_GGUF_I32:
    case WEIR_GGUF_I64:
        if (key->value.i < 0) {
            return weir_error_set(err, WEIR_E_FORMAT, "key '%s' is %lld, must not be negative",
                                  name, (long long)key->value.i);
        }
        *ret_value = (uint64_t)key->value.i;
        return 0;
    default: return wrong_type(key, "an integer", err);
    }
}

int weir_gguf_u32(const struct weir_gguf *g, const char *name, uint32_t *ret_value,
                  struct weir_error *err)
{
    uint64_t wide = 0;
    int r = weir_gguf_u64(g, name, &wide, err);
    if (r < 0) {
        return r;
    }
    if (wide > UINT32_MAX) {
        return weir_error_set(err, WEIR_E_FORMAT, "key '%s' is %llu, must be at most %u", name,
                              (unsigned long long)wide, UINT32_MAX);
    }
    *ret_value = (uint32_t)wide;
    return 0;
}

int weir_gguf_f32(const struct weir_gguf *g, const char *name, float *ret_value,
                  struct weir_error *err)
{
    const struct weir_gguf_key *key = NULL;
    int r = find_key(g, name, &key, err);
    if (r < 0) {
        return r;
    }
    if (key->type != WEIR_GGUF_F32 && key->type != WEIR_GGUF_F64) {
        return wrong_type(key, "a float", err);
    }
    *ret_value = (float)key->value.f;
    return 0;
}

int weir_gguf_bool(const struct weir_gguf *g, const char *name, bool *ret_value,
                   struct weir_error *err)
{
    const struct weir_gguf_key *key = NULL;
    int r = find_key(g, name, &key, err);
    if (r < 0) {
        return r;
    }
    if (key->type != WEIR_GGUF_BOOL) {
        return wrong_type(key, "a bool", err);
    }
    *ret_value = key->value.u != 0;
    return 0;
}

int weir_gguf_str(const struct weir_gguf *g, const char *name, weir_str *ret_value,
                  struct weir_error *err)
{
    const struct weir_gguf_key *key = NULL;
    int r = find_key(g, name, &key, err);
    if (r < 0) {
        return r;
    }
    if (key->type != WEIR_GGUF_STR) {
        return wrong_type(key, "a string", err);
    }
    *ret_value = key->value.str;
    return 0;
}

int weir_gguf_array(const struct weir_gguf *g, const char *name, enum weir_gguf_type type,
                    struct weir_gguf_array *ret_array, struct weir_error *err)
{
    const struct weir_gguf_key *key = NULL;
    int r = find_key(g, name, &key, err);
    if (r < 0) {
        return r;
    }
    if (key->type != WEIR_GGUF_ARRAY) {
        return wrong_type(key, "an array", err);
    }
    if (key->value.array.type != type) {
        return weir_error_set(err, WEIR_E_FORMAT, "key '%s' is an array of %s, must be of %s", name,
                              weir__gguf_type_name(key->value.array.type),
                              weir__gguf_type_name(type));
    }
    *ret_array = key->value.array;
    return 0;
}

float weir_gguf_array_f32(const struct weir_gguf_array *a, uint64_t i)
{
    float v;
    memcpy(&v, a->data + i * sizeof(v), sizeof(v));
    return v;
}

int32_t weir_gguf_array_i32(const struct weir_gguf_array *a, uint64_t i)
{
    int32_t v;
    memcpy(&v, a->data + i * sizeof(v), sizeof(v));
    return v;
}

bool weir_gguf_array_bool(const struct weir_gguf_array *a, uint64_t i)
{
    return a->data[i] != 0;
}

weir_str weir_gguf_array_next_str(const unsigned char **cursor)
{
    uint64_t n;
    memcpy(&n, *cursor, sizeof(n));
    weir_str s = {(const char *)*cursor + sizeof(n), (size_t)n};
    *cursor += sizeof(n) + n;
    return s;
}
