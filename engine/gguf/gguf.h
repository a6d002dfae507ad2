/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reader of GGUF model files, versions 2 and 3, little-endian.
 *
 * Why: a model file comes from somewhere else. Every offset, count, length, dimension and size is
 * checked against the file before it is used, so that a broken or hostile file is refused with a
 * sentence and an offset, and what passes can be used without further checks.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * Ownership: the reader owns the mapping; every weir_str, array and tensor points into it and lives
 * until destroy. The file must not be cut short while it is mapped.
 * Threads: immutable after open; any thread may read.
 * Errors: WEIR_E_IO (open, map), WEIR_E_FORMAT (malformed), WEIR_E_UNSUPPORTED (version, nested
 * array, unknown type), WEIR_E_TOOBIG (a stated limit), WEIR_E_NOMEM.
 * Invariants: keys and tensor names are unique; n_bytes of tensor data lie inside the file. */
#include <stdbool.h>

#include "base/error.h"
#include "engine/gguf/tensor_type.h"
#include "weir/types.h"

#define WEIR_GGUF_MAX_KEYS 65536u
#define WEIR_GGUF_MAX_TENSORS 65536u
#define WEIR_GGUF_MAX_DIMS 4u
#define WEIR_GGUF_MAX_KEY_BYTES 65535u
#define WEIR_GGUF_MAX_NAME_BYTES 64u

enum weir_gguf_type {
    WEIR_GGUF_U8,
    WEIR_GGUF_I8,
    WEIR_GGUF_U16,
    WEIR_GGUF_I16,
    WEIR_GGUF_U32,
    WEIR_GGUF_I32,
    WEIR_GGUF_F32,
    WEIR_GGUF_BOOL,
    WEIR_GGUF_STR,
    WEIR_GGUF_ARRAY,
    WEIR_GGUF_U64,
    WEIR_GGUF_I64,
    WEIR_GGUF_F64,
    WEIR_GGUF_TYPE__COUNT,
};

struct weir_gguf_array {
    enum weir_gguf_type type; /* of the elements; never ARRAY */
    uint64_t n;
    const unsigned char *data; /* n packed elements, not aligned; strings: length (u64), bytes */
};

struct weir_gguf_key {
    weir_str name;
    enum weir_gguf_type type;
    union {
        uint64_t u; /* U8..U64, BOOL */
        int64_t i;  /* I8..I64 */
        double f;   /* F32, F64 */
        weir_str str;
        struct weir_gguf_array array;
    } value;
};

struct weir_gguf_tensor {
    weir_str name;
    uint32_t type; /* enum weir_tensor_type, or another type that weir_tensor_type_info() knows */
    uint32_t n_dims;
    uint64_t dims[WEIR_GGUF_MAX_DIMS]; /* dims[0] is the row length; 1 beyond n_dims */
    const void *data;
    size_t n_bytes;
};

struct weir_gguf;

/* Maps the file read-only and checks it. On success the caller owns *ret_gguf. */
WEIR_NODISCARD int weir_gguf_open(const char *path, struct weir_gguf **ret_gguf,
                                  struct weir_error *err);
/* The same over borrowed bytes, which must outlive the reader. */
WEIR_NODISCARD int weir_gguf_open_memory(const void *bytes, size_t n_bytes,
                                         struct weir_gguf **ret_gguf, struct weir_error *err);
void weir_gguf_destroy(struct weir_gguf *g); /* NULL ok */

size_t weir_gguf_size_bytes(const struct weir_gguf *g);
/* Where the tensor data starts in the file. */
size_t weir_gguf_data_offset(const struct weir_gguf *g);

/* In the order of the file; NULL when i is past the end. */
size_t weir_gguf_n_keys(const struct weir_gguf *g);
const struct weir_gguf_key *weir_gguf_key_at(const struct weir_gguf *g, size_t i);
size_t weir_gguf_n_tensors(const struct weir_gguf *g);
const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i);

/* NULL when there is none. O(log n), also for names chosen to collide. */
const struct weir_gguf_key *weir_gguf_key(const struct weir_gguf *g, const char *name);
const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name);

/* Typed reads: 0 and the value; WEIR_E_NOTFOUND without a key of that name; WEIR_E_FORMAT with a
 * sentence when its type does not fit or an integer is out of range. Integers of every width
 * convert, floats of both widths convert, nothing else does. */
int weir_gguf_u32(const struct weir_gguf *g, const char *name, uint32_t *ret_value,
                  struct weir_error *err);
int weir_gguf_u64(const struct weir_gguf *g, const char *name, uint64_t *ret_value,
                  struct weir_error *err);
int weir_gguf_f32(const struct weir_gguf *g, const char *name, float *ret_value,
                  struct weir_error *err);
int weir_gguf_bool(const struct weir_gguf *g, const char *name, bool *ret_value,
                   struct weir_error *err);
int weir_gguf_str(const struct weir_gguf *g, const char *name, weir_str *ret_value,
                  struct weir_error *err);
int weir_gguf_array(const struct weir_gguf *g, const char *name, enum weir_gguf_type type,
                    struct weir_gguf_array *ret_array, struct weir_error *err);

/* Elements of checked arrays; i < n and the array's type must be the one in the name. */
float weir_gguf_array_f32(const struct weir_gguf_array *a, uint64_t i);
int32_t weir_gguf_array_i32(const struct weir_gguf_array *a, uint64_t i);
bool weir_gguf_array_bool(const struct weir_gguf_array *a, uint64_t i);
/* Strings are read in order: *cursor starts as a->data; at most a->n calls. */
weir_str weir_gguf_array_next_str(const unsigned char **cursor);
