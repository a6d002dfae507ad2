/* SPDX-License-Identifier: Apache-2.0 */
/* A schema and an input, parted by a line `%%`. Properties: loading and checking end; refusals say
 * why, and only refusals do. */
#include <stdlib.h>

#include "core/config/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void split(weir_str all, weir_str *ret_schema, weir_str *ret_input)
{
    static const char mark[] = "\n%%\n";
    const char *at = all.n ? memmem(all.p, all.n, mark, sizeof(mark) - 1) : NULL;
    if (!at) {
        *ret_schema = all;
        *ret_input = (weir_str)WEIR_STR_INIT("{}");
        return;
    }
    const char *input = at + sizeof(mark) - 1;
    *ret_schema = (weir_str){all.p, (size_t)(at - all.p)};
    *ret_input = (weir_str){input, (size_t)(all.p + all.n - input)};
}

static void check(const struct weir_schema *schema, weir_str input, struct weir_findings *findings)
{
    struct weir_doc *doc = NULL;
    yyjson_doc *json = NULL;
    if (weir_doc_parse(input, findings, &doc) < 0) {
        return;
    }
    int r = weir_schema_check(schema, weir_doc_root(doc), findings, &json);
    require((r == 0) == weir_findings_empty(findings));
    require((r == 0) == (json != NULL));
    yyjson_doc_free(json);
    weir_doc_destroy(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_findings findings;
    struct weir_schema *schema = NULL;
    weir_str text, input;
    split((weir_str){(const char *)data, size}, &text, &input);
    weir_findings_init(&findings, "fuzz");
    int r = weir_schema_load(text, &findings, &schema);
    require((r == 0) == weir_findings_empty(&findings));
    if (r == 0) {
        check(schema, input, &findings);
    }
    weir_schema_destroy(schema);
    weir_findings_finish(&findings);
    return 0;
}
