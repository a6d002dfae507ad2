/* SPDX-License-Identifier: Apache-2.0 */
#include "sdk/kit/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/plugin/config.h"
#include "core/plugin/plugins_internal.h"

static bool read_config(struct weir_kit_bench *b)
{
    struct weir_findings findings;
    weir_findings_init(&findings, "configuration");
    struct weir_doc *doc = NULL;
    struct weir_plugin_config config = {0};
    int rc = weir_doc_parse(weir_str_from(b->probe->target->config), &findings, &doc);
    if (rc == 0) {
        const struct weir_plugin_spec spec = {b->probe->target->path, weir_doc_root(doc),
                                              weir_doc_root(doc)};
        rc = weir_plugin_config_read(b->lib, &spec, &findings, &config);
    }
    if (rc < 0) {
        struct weir_error err = {0};
        (void)weir_findings_to_error(&findings, &err);
        weir_kit_find(b->probe, "%s (give one with --config)", err.message);
    }
    b->config_json = config.json;
    b->config_len = config.json_len;
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
    return rc == 0;
}

bool weir_kit_bench_init(struct weir_kit_bench *b, struct weir_kit_probe *p)
{
    *b = (struct weir_kit_bench){.probe = p};
    if (weir_kit_stage_init(&b->stage, &weir_kit_request_ops, (struct weir_plugin_limits){0}) < 0) {
        weir_kit_find(p, "out of memory");
        return false;
    }
    struct weir_error err = {0};
    if (weir_plugins_load(b->stage.plugins, p->target->path, &b->lib, &err) < 0) {
        weir_kit_find(p, "%s", err.message);
        weir_kit_stage_finish(&b->stage);
        return false;
    }
    if (b->lib->is_policy && !read_config(b)) {
        weir_kit_bench_finish(b);
        return false;
    }
    return true;
}

void weir_kit_bench_finish(struct weir_kit_bench *b)
{
    weir_plugin_library_unref(b->lib);
    free(b->config_json);
    weir_kit_stage_finish(&b->stage);
}

struct weir_plugin_chain *weir_kit_bench_chain(struct weir_kit_bench *b, weir_host *host)
{
    struct weir_plugin_instance *inst = NULL;
    struct weir_plugin_chain *chain = NULL;
    if (weir_plugin_instance_create(b->stage.plugins, b->lib,
                                    weir_str_from(b->probe->target->tenants_json), &inst) < 0 ||
        weir_plugin_chain_create(b->stage.plugins, &chain) < 0) {
        weir_kit_find(b->probe, "out of memory");
        return NULL;
    }
    if (host) {
        host->impl = inst; /* the other table does everything through this instance */
    }
    weir_str config = {b->config_json, b->config_len}, why = {NULL, 0};
    inst->defining = true;
    inst->self = b->lib->policy.instance_create
                     ? b->lib->policy.instance_create(host ? host : &inst->host, config, &why)
                     : NULL;
    inst->defining = false;
    if (!inst->self) {
        weir_kit_find(b->probe, "instance_create refused: %.*s", (int)(why.n < 300 ? why.n : 300),
                      why.p ? why.p : "(no reason given)");
        weir_plugin_instance_destroy(inst);
        free(chain);
        return NULL;
    }
    weir_plugin_chain_add(chain, inst);
    return chain;
}

void weir_kit_bench_end(struct weir_kit_bench *b, struct weir_plugin_chain *chain)
{
    struct weir_plugin_leaks leaks = {0};
    weir_plugin_instance_end(chain->links[0].instance, &leaks);
    free(chain);
    if (leaks.timers) {
        weir_kit_find(b->probe, "instance_destroy left %u timers running", leaks.timers);
    }
    if (leaks.posts) {
        weir_kit_find(b->probe, "instance_destroy left %u posted calls waiting", leaks.posts);
    }
    if (leaks.allocs) {
        weir_kit_find(b->probe, "instance_destroy left %llu blocks (%llu bytes) of host->alloc",
                      (unsigned long long)leaks.allocs, (unsigned long long)leaks.alloc_bytes);
    }
    size_t tickets = weir_tickets_n_open(b->stage.plugins->tickets);
    if (tickets) {
        weir_kit_find(b->probe, "%zu tickets are open after all requests have ended", tickets);
    }
}

void weir_kit_bench_request(struct weir_kit_request *r, unsigned number)
{
    static const char plain[] = "{\"model\":\"m\",\"user\":\"u1\",\"messages\":[{\"role\":\"user\","
                                "\"content\":\"Hello\"}],\"stream\":true}";
    (void)weir_kit_request_init(r, number == 1 ? "{}" : plain);
    char large[4000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    switch (number) {
    case 0:
        weir_kit_request_header(r, "Authorization", "Bearer sk-test-0000");
        weir_kit_request_field(r, WEIR_FIELD_USER, "u1");
        break;
    case 2: weir_kit_request_header(r, "Authorization", large); break;
    case 3: weir_kit_request_field(r, WEIR_FIELD_USER, large); break;
    case 4:
        weir_kit_request_header(r, "Authorization", "\xff\xfe \x80");
        weir_kit_request_field(r, WEIR_FIELD_USER, "\xC3\x28");
        break;
    case 5: weir_kit_request_field(r, WEIR_FIELD_MODEL, ""); break;
    case 6: memset(r->has_field, 0, sizeof(r->has_field)); break;
    case 7: memset(r->has_number, 0, sizeof(r->has_number)); break;
    default: break;
    }
}

/* Waits for a suspension's end: first for the plugin's own threads and timers, then for the host's
 * timeout. */
static enum weir_plugin_outcome await(struct weir_kit_bench *b, struct weir_kit_request *r)
{
    for (int i = 0; i < 8 && r->n_resumed == 0; i++) {
        while (r->n_resumed == 0 && weir_kit_stage_wait(&b->stage, 50)) {
        }
        if (r->n_resumed == 0) {
            weir_kit_stage_advance(&b->stage, UINT64_C(61) * 1000000);
        }
    }
    if (r->n_resumed == 0) {
        weir_kit_find(b->probe, "a request is still suspended after 8 timeouts");
        return WEIR_PLUGIN_ANSWERED;
    }
    r->n_resumed = 0;
    return r->outcome;
}

enum weir_plugin_outcome weir_kit_bench_drive(struct weir_kit_bench *b, struct weir_kit_request *r)
{
    enum weir_plugin_outcome outcome = WEIR_PLUGIN_DONE;
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_ADMIT && outcome == WEIR_PLUGIN_DONE;
         phase++) {
        outcome = weir_plugin_run_phase(&r->run, (enum weir_phase)phase);
        if (outcome == WEIR_PLUGIN_SUSPENDED) {
            outcome = await(b, r);
        }
    }
    return outcome;
}

bool weir_kit_bench_suspend(struct weir_kit_request *r)
{
    enum weir_plugin_outcome outcome = WEIR_PLUGIN_DONE;
    for (int phase = WEIR_PHASE_HEADERS; phase <= WEIR_PHASE_ADMIT && outcome == WEIR_PLUGIN_DONE;
         phase++) {
        outcome = weir_plugin_run_phase(&r->run, (enum weir_phase)phase);
    }
    return outcome == WEIR_PLUGIN_SUSPENDED;
}
