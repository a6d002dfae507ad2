/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A step backend with a model, presented to the core as one target of "weir.backend.stream/1".
 *
 * Why: the core knows targets that take whole requests and give chunks. The engine adds what lies
 * between: tokenizer and chat template, the scheduler, text output, reload after a device failure.
 * How: one thread per engine loads the model and then runs rounds of the scheduler; everything
 * another thread wants goes through the mailbox or a lock that is held briefly. A second thread
 * looks after the first: a device that never answers must not keep its requests.
 * Ownership: the caller owns the engine; backend, host and sink are borrowed and must outlive it.
 * The strings of the configuration are copied.
 * Threads: create and destroy [main]; the target's functions as backend_stream.h says.
 * Errors: create fails for what can be seen at once; a model that cannot be loaded shows as
 * WEIR_TARGET_FAILED in the status, with the reason. */
#include "base/error.h"
#include "weir/backend_stream.h"

enum { WEIR_ENGINE_DEVICES_MAX = 16 };

struct weir_engine_config {
    const weir_backend_step *backend;
    const weir_host *host; /* given to the backend; its clock is used; may be NULL in tests */
    weir_str model_file;   /* path; empty where the backend needs none */
    weir_str backend_options_json; /* "" or an object */
    uint32_t device;
    const uint32_t *devices; /* [n_devices] the model is split over them, if more than one */
    uint32_t n_devices;
    /* Takes over where `backend` cannot load the model at all (`backend: auto`): with no options,
     * on its device 0. NULL: none. */
    const weir_backend_step *spare;
    const weir_host *spare_host;
    uint32_t n_threads;       /* 0: the backend chooses */
    uint32_t n_ctx;           /* 0: what the model was trained for */
    uint32_t max_batch;       /* sequences in a step; 0: 32 */
    uint32_t max_step_tokens; /* 0: 512; at least max_batch */
    uint64_t kv_bytes;        /* 0: the backend chooses */
    /* Work pending and no step ended for so long: its requests end with WEIR_E_TIMEOUT, and the
     * engine has FAILED until the step returns; STALLED after half of it. 0: 60000. */
    uint32_t stall_limit_ms;
    uint32_t reload_ms; /* first wait after a failure, doubled up to a minute; 0: 1000 */
};

struct weir_engine;

/* Returns at once; the model is loaded behind it, see status(). */
WEIR_NODISCARD int weir_engine_create(const struct weir_engine_config *config,
                                      const weir_sink *sink, struct weir_engine **ret_engine,
                                      struct weir_error *err);
/* Ends what runs with WEIR_E_CANCELLED, joins the thread. NULL ok. */
void weir_engine_destroy(struct weir_engine *e);

/* The interface, for targets that are a struct weir_engine. open() is not part of it: it answers
 * WEIR_E_UNSUPPORTED, as an engine needs a backend; close() is weir_engine_destroy(). */
const weir_backend_stream *weir_engine_stream(void);
