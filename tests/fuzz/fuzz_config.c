/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file of arbitrary bytes. Properties: a refusal always says why; what was read,
 * written as JSON and read again, is the same. */
#include <stdlib.h>

#include "core/config/config.h"
#include "core/config/doc_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* YAML folds these line breaks inside of quotes, JSON does not. */
static bool has_unicode_breaks(const char *text)
{
    return strstr(text, "\xC2\x85") || strstr(text, "\xE2\x80\xA8") || strstr(text, "\xE2\x80\xA9");
}

static void read_again(const struct weir_doc_node *root, const char *json)
{
    struct weir_findings findings;
    struct weir_doc *doc = NULL;
    weir_findings_init(&findings, "json");
    /* Escaped control characters and over-long keys are legal in JSON only. */
    if (weir_doc_parse(weir_str_from(json), &findings, &doc) == 0) {
        require(weir_doc_equal(root, weir_doc_root(doc)));
    }
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
}

static void check_tree(const struct weir_doc_node *root)
{
    yyjson_mut_doc *json = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(json, weir_doc_to_json(root, json));
    char *text = yyjson_mut_write(json, 0, NULL);
    if (text && !has_unicode_breaks(text)) {
        read_again(root, text);
    }
    free(text);
    yyjson_mut_doc_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_findings findings;
    struct weir_config *config = NULL;
    weir_findings_init(&findings, "fuzz.yaml");
    weir_str text = {(const char *)data, size};
    int r = weir_config_parse(text, &findings, true, &config);
    require(r == 0 || !weir_findings_empty(&findings));
    require((r == 0) == (config != NULL));
    if (r == 0) {
        require(!weir_findings_malformed(&findings));
        check_tree(weir_doc_root(config->doc));
    }
    weir_config_unref(config);
    weir_findings_finish(&findings);

    struct weir_doc *doc = NULL;
    weir_findings_init(&findings, "fuzz.yaml");
    if (weir_doc_parse(text, &findings, &doc) == 0) {
        check_tree(weir_doc_root(doc));
    }
    weir_doc_destroy(doc);
    weir_findings_finish(&findings);
    return 0;
}
