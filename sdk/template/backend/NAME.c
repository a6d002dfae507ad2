/* Backend plugin @NAME@ for weir: "weir.backend.step/1".
 *
 * As it stands it is a toy device: its model writes the alphabet. Replace step() by yours;
 * weir/backend_step.h says what the host does (scheduling, pages, sampling parameters) and what is
 * left to you (memory and arithmetic). */
#include <stdlib.h>
#include <string.h>

#include "weir/backend_step.h"
#include "weir/plugin.h"

enum { N_VOCAB = 257, END = 256, N_CTX = 4096, MAX_SEQUENCES = 64 };

struct model {
    uint32_t n_ctx, max_sequences, max_step_tokens;
};

static uint32_t at_most(uint32_t wanted, uint32_t most)
{
    return wanted == 0 || wanted > most ? most : wanted;
}

static int devices(const weir_host *host, weir_device *out, uint32_t cap, uint32_t *n_out)
{
    (void)host;
    *n_out = 0;
    if (cap > 0) {
        memset(out, 0, sizeof(*out));
        out->struct_size = sizeof(*out);
        out->score = 1; /* 0: cannot run here */
        strncpy(out->id, "@NAME@0", sizeof(out->id) - 1);
        strncpy(out->name, "toy device", sizeof(out->name) - 1);
        *n_out = 1;
    }
    return 0;
}

static int load(const weir_host *host, const weir_load_params *p, void **model, weir_str *err)
{
    (void)host;
    struct model *m = calloc(1, sizeof(*m));
    if (!m) {
        *err = weir_str_from("out of memory");
        return WEIR_E_NOMEM;
    }
    m->n_ctx = at_most(p->n_ctx, N_CTX);
    m->max_sequences = at_most(p->max_sequences, MAX_SEQUENCES);
    m->max_step_tokens = at_most(p->max_step_tokens, 512);
    *model = m;
    return 0;
}

static void unload(void *model)
{
    free(model);
}

static int info(void *model, weir_model_info *out)
{
    const struct model *m = model;
    memset(out, 0, sizeof(*out));
    out->struct_size = sizeof(*out);
    out->n_vocab = N_VOCAB;
    out->n_ctx = m->n_ctx;
    out->page_tokens = WEIR_PAGE_TOKENS;
    out->n_pages = m->max_sequences * (m->n_ctx / WEIR_PAGE_TOKENS + 1);
    out->max_sequences = m->max_sequences;
    out->max_step_tokens = m->max_step_tokens;
    out->n_threads = 1;
    strncpy(out->arch, "toy", sizeof(out->arch) - 1);
    strncpy(out->quant, "none", sizeof(out->quant) - 1);
    strncpy(out->device, "@NAME@0", sizeof(out->device) - 1);
    return 0;
}

/* Only for backends without a model file of a known format: a token is a byte. */
static int64_t tokenize(void *model, weir_str text, int32_t *out, size_t cap)
{
    (void)model;
    for (size_t i = 0; i < text.n && i < cap; i++) {
        out[i] = (unsigned char)text.p[i];
    }
    return (int64_t)text.n;
}

static int64_t piece(void *model, int32_t token, char *out, size_t cap)
{
    (void)model;
    if (token < 0 || token >= END) {
        return token == END ? 0 : WEIR_E_ARG;
    }
    if (cap > 0) {
        out[0] = (char)token;
    }
    return 1;
}

static int is_end(void *model, int32_t token)
{
    (void)model;
    return token == END;
}

/* One forward pass over parts of sequences; samples where asked for. */
static int step(void *model, const weir_step_batch *batch, weir_step_result *results)
{
    (void)model;
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        /* part_size is the stride: a newer host's parts are larger. */
        const weir_step_part *p =
            (const void *)((const char *)batch->parts + (size_t)i * batch->part_size);
        if (p->flags & WEIR_STEP_SAMPLE) {
            results[i].tokens[0] = p->sample_index < 26 ? 'a' + (int32_t)p->sample_index : END;
            results[i].n_tokens = 1;
        }
    }
    return 0;
}

static const weir_backend_step backend = {
    .struct_size = sizeof(weir_backend_step),
    .devices = devices,
    .load = load,
    .unload = unload,
    .info = info,
    .tokenize = tokenize,
    .piece = piece,
    .is_end = is_end,
    .step = step,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_BACKEND_STEP) == 0 ? &backend : NULL;
}

static const char schema[] =
#include "schema.h"
    ;

static const char *const provides[] = {WEIR_EXT_BACKEND_STEP, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,        .flags = WEIR_PLUGIN_UNLOADABLE,
    .name = "@NAME@",        .version = "0.1.0",
    .license = "Apache-2.0", .description = "A toy backend that writes the alphabet.",
    .config_schema = schema, .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
