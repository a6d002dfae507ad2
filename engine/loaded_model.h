/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A model that is ready for use: the backend's handle and what belongs to the file.
 *
 * Ownership: create() makes all of it, destroy() takes it apart in the reverse order.
 * Threads: create and destroy on the engine thread; in between immutable, readable from any. */
#include "base/error.h"
#include "engine/backend_vocabulary.h"
#include "engine/engine.h"
#include "engine/prepare.h"

struct weir_loaded_model {
    const weir_backend_step *backend;
    void *handle; /* the backend's */
    weir_model_info info;
    struct weir_vocabulary vocabulary; /* of one of the next two */
    struct weir_tokenizer *tokenizer;
    struct weir_backend_vocabulary *backend_vocabulary;
    struct weir_chat *chat;         /* NULL without a file */
    struct weir_grammars *grammars; /* NULL when the backend honours no mask */
    struct weir_model_view view;
};

/* serial: a number that no other load of this engine has. progress(arg, 0..1) may ask to give up by
 * a non-zero return. */
int weir_loaded_model_create(const struct weir_engine_config *config,
                             const struct weir_page_secret *secret, uint64_t serial,
                             int (*progress)(void *arg, float fraction), void *arg,
                             struct weir_loaded_model **ret_model, struct weir_error *err);
void weir_loaded_model_destroy(struct weir_loaded_model *m); /* NULL ok */
