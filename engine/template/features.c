/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

/* Text that no template contains by itself. */
#define SYSTEM_MARK "weir-probe-system"
#define USER_MARK "weir-probe-user"

enum { PROBE_MAX_BYTES = 1 << 20 };

/* Does rendering `messages` give a text with `mark` and without `absent`? */
static int probe(const struct weir_template *t, const char *messages, const char *mark,
                 const char *absent, bool *ret_shown)
{
    yyjson_doc *doc = yyjson_read(messages, strlen(messages), 0);
    if (!doc) {
        return WEIR_E_NOMEM;
    }
    struct weir_buf out;
    weir_buf_init(&out, PROBE_MAX_BYTES);
    struct weir_template_input in = {.messages = yyjson_doc_get_root(doc),
                                     .add_generation_prompt = true};
    int r = weir_template_render(t, &in, &out, NULL);
    weir_str text = weir_buf_view(&out);
    *ret_shown = r == 0 && text.p && memmem(text.p, text.n, mark, strlen(mark)) &&
                 !memmem(text.p, text.n, absent, strlen(absent));
    weir_buf_finish(&out);
    yyjson_doc_free(doc);
    return 0;
}

int weir_template_features(const struct weir_template *t, struct weir_template_features *ret)
{
    *ret = (struct weir_template_features){.tools = weir_template_uses_tools(t)};
    int r = probe(t,
                  "[{\"role\":\"system\",\"content\":\"" SYSTEM_MARK "\"},"
                  "{\"role\":\"user\",\"content\":\"" USER_MARK "\"}]",
                  SYSTEM_MARK, "weir-probe-none", &ret->system);
    if (r < 0) {
        return r;
    }
    /* A template that only prints the content shows the part's other fields as well. */
    return probe(t,
                 "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"" USER_MARK
                 "\",\"weir-probe-field\":1}]}]",
                 USER_MARK, "weir-probe-field", &ret->parts);
}
