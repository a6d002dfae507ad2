/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the policy checks share: a stage with the plugin on it, and requests driven to their end. */
#include "sdk/kit/conformance.h"
#include "sdk/kit/request.h"
#include "sdk/kit/stage.h"

struct weir_kit_bench {
    struct weir_kit_probe *probe;
    struct weir_kit_stage stage;
    struct weir_plugin_library *lib;
    char *config_json; /* after the schema, without the host's keys */
    size_t config_len;
};

/* False after a finding: the plugin does not load, or refuses its configuration. */
bool weir_kit_bench_init(struct weir_kit_bench *b, struct weir_kit_probe *p);
void weir_kit_bench_finish(struct weir_kit_bench *b);

/* A chain of one new instance, made with `host` (NULL: its own); NULL after a finding. */
struct weir_plugin_chain *weir_kit_bench_chain(struct weir_kit_bench *b, weir_host *host);
/* Ends it, and finds what the plugin left behind. */
void weir_kit_bench_end(struct weir_kit_bench *b, struct weir_plugin_chain *chain);

enum { WEIR_KIT_N_REQUESTS = 8 };
/* Number 0..N-1: an ordinary one first, then odd ones. */
void weir_kit_bench_request(struct weir_kit_request *r, unsigned number);

/* Runs the phases until one answers; suspensions are waited for, in the end by moving the clock. */
enum weir_plugin_outcome weir_kit_bench_drive(struct weir_kit_bench *b, struct weir_kit_request *r);
/* Runs phases until one suspends; false when none does. */
bool weir_kit_bench_suspend(struct weir_kit_request *r);
