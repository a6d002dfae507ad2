/* SPDX-License-Identifier: Apache-2.0 */
/* The work lists of attention: each query of each KV head once, within their bounds, whatever the
 * number of threads makes of them. */
#include <stdlib.h>

#include "backends/cpu/batch.h"
#include "backends/cpu/ops/ops.h"
#include "tests/support/cmocka.h"

enum { HEADS = 3, CTX = 8192, TOKENS = 512, PARTS = 16, PAGES = CTX / WEIR_PAGE_TOKENS };

static int32_t tokens[TOKENS];
static uint32_t pages[PAGES];
static uint8_t seen[PARTS][HEADS][TOKENS]; /* whole queries, or chunks of a single one */

static void check_lists(const struct weir_cpu_batch *b)
{
    memset(seen, 0, sizeof(seen));
    assert_true(b->n_items <= b->max_items && b->n_partials <= b->max_partials);
    for (uint32_t i = 0; i < b->n_items; i++) {
        const struct weir_cpu_attend_item *item = &b->items[i];
        bool is_whole = item->chunk == WEIR_CPU_ALL_CHUNKS;
        for (uint32_t q = 0; q < item->n_queries; q++) {
            seen[item->part][item->kv_head][is_whole ? item->first + q : item->chunk]++;
        }
    }
    for (uint32_t i = 0; i < b->n_merges; i++) {
        const struct weir_cpu_merge_item *m = &b->merges[i];
        for (uint32_t chunk = 0; chunk < m->n_chunks; chunk++) {
            assert_int_equal(seen[m->part][m->kv_head][chunk]--, 1);
        }
        seen[m->part][m->kv_head][0]++; /* the single query, once */
    }
    for (uint32_t p = 0; p < b->n_parts; p++) {
        for (uint32_t h = 0; h < HEADS; h++) {
            for (uint32_t q = 0; q < TOKENS; q++) {
                assert_int_equal(seen[p][h][q], q < b->parts[p].in->n_tokens);
            }
        }
    }
}

static void every_query_is_worked_on_once(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 8, 64, 256};
    static const uint32_t prompts[] = {0, 2, 16, 17, 33, 100, 500};
    const struct weir_hparams hparams = {.n_head = 3 * HEADS, .n_head_kv = HEADS};
    for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++) {
        struct weir_cpu_limits limits = {TOKENS, PARTS, 10, CTX, PAGES, threads[t]};
        struct weir_cpu_batch b;
        assert_int_equal(weir_cpu_batch_init(&b, &hparams, &limits), 0);
        for (size_t k = 0; k < sizeof(prompts) / sizeof(prompts[0]); k++) {
            for (uint32_t n_single = prompts[k] == 0; n_single <= 12; n_single++) {
                weir_step_part parts[PARTS];
                weir_step_result results[PARTS] = {0};
                uint32_t n = 0;
                for (; n < n_single; n++) {
                    parts[n] = (weir_step_part){.slot = n, .pos = CTX - 1 - 700 * n, .n_tokens = 1};
                }
                if (prompts[k] > 0) {
                    parts[n] = (weir_step_part){.slot = n, .pos = 40, .n_tokens = prompts[k]};
                    n++;
                }
                for (uint32_t i = 0; i < n; i++) {
                    parts[i].tokens = tokens;
                    parts[i].pages = pages;
                    parts[i].n_pages = PAGES;
                }
                weir_step_batch batch = {sizeof(batch), sizeof(parts[0]), parts, n,
                                         n_single + prompts[k]};
                assert_int_equal(weir_cpu_batch_set(&b, &batch, results), 0);
                assert_int_equal(b.n_parts, n);
                check_lists(&b);
            }
        }
        weir_cpu_batch_finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_query_is_worked_on_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
