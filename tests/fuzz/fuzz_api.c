/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: strict JSON, then the parameters of chat and text completions. Properties: both
 * end; a refusal names its sentence; what passes is inside the documented ranges. */
#include <stdlib.h>

#include "core/api/api_request.h"
#include "core/api/json_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_ranges(const weir_generation *g)
{
    require(g->n >= 1 && g->n <= WEIR_MAX_CHOICES);
    require(g->n_stop <= WEIR_MAX_STOPS && g->n_top <= 20);
    require(g->sampling.temperature >= 0 && g->sampling.temperature <= 2);
    require(g->sampling.top_p >= 0 && g->sampling.top_p <= 1);
    require(g->tool_choice == WEIR_TOOLS_NONE || g->tools_json.n > 0);
}

static void parse_as(yyjson_doc *doc, uint32_t kind)
{
    struct weir_arena arena;
    struct weir_api_request request = {0};
    weir_refusal refusal = {0};
    weir_arena_init(&arena, 4u << 20);
    int r = weir_api_request_parse(yyjson_doc_get_root(doc), kind, &arena, &request, &refusal);
    if (r < 0) {
        require(refusal.message[0] != '\0' && refusal.status >= 400 && refusal.status < 500);
    } else {
        check_ranges(&request.generation);
    }
    weir_arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yyjson_doc *doc = NULL;
    struct weir_error err = {0};
    weir_str body = {(const char *)data, size};
    if (weir_json_body_parse(body, NULL, &doc, &err) < 0) {
        require(err.message[0] != '\0');
        return 0;
    }
    parse_as(doc, WEIR_GENERATION_CHAT);
    parse_as(doc, WEIR_GENERATION_COMPLETION);
    yyjson_doc_free(doc);
    return 0;
}
