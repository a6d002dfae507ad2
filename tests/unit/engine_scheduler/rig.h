/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A scheduler over the fake backend, driven round by round in the test's own thread. */
#include "engine/backend_vocabulary.h"
#include "engine/prepare.h"
#include "engine/scheduler/scheduler.h"
#include "reference.h"
#include "tests/support/fake_backend.h"
#include "tests/support/fake_sink.h"

enum { RIG_JOBS = 1000 };

struct rig {
    struct fake_backend backend;
    struct fake_sink *sink;
    weir_model_info info;
    void *model;
    struct weir_page_secret secret;
    struct weir_vocabulary vocabulary;
    struct weir_backend_vocabulary *vocabulary_impl;
    struct weir_grammars *grammars;
    const char *chat_template; /* NULL: none */
    struct weir_chat *chat;
    struct weir_model_view view;
    struct weir_scheduler_counters counters;
    struct weir_scheduler *scheduler;
    uint32_t max_batch, max_live, max_step_tokens;
    bool in_halves; /* the backend's steps; as the environment says: WEIR_RIG_STEPS=halves */
    bool in_pieces; /* prompts' chunks; =pieces */
    struct weir_job *jobs[RIG_JOBS]; /* by ticket; NULL: ended or never added */
    weir_generation generations[RIG_JOBS];
    uint32_t n_jobs;
    uint32_t n_live; /* sequences */
};

/* rig_init() sets defaults, which the test may change (also r->backend's) before rig_open(). */
void rig_init(struct rig *r);
void rig_open(struct rig *r);
/* Checks that every page came back and no promise was broken, then frees. */
void rig_close(struct rig *r);

weir_generation rig_completion(const char *prompt, uint32_t max_tokens);
/* Prepares and adds; the generation is copied, what it points to must live on. The ticket. */
weir_ticket rig_add(struct rig *r, const weir_generation *g);
/* Rounds until nothing can run; at most max_rounds. The number of steps. */
uint32_t rig_run(struct rig *r, uint32_t max_rounds);
/* wake() for every stream that was refused. */
void rig_wake_all(struct rig *r);
weir_target_status rig_status(const struct rig *r);
/* The answer is the reference's, in text, finish and counts. */
void rig_check(struct rig *r, weir_ticket ticket);
