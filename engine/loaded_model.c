/* SPDX-License-Identifier: Apache-2.0 */
#include "loaded_model.h"

#include <stdlib.h>

#include "engine/file_vocabulary.h"
#include "engine/template/template.h"

static int load_backend(struct weir_loaded_model *m, const struct weir_engine_config *c,
                        int (*progress)(void *arg, float fraction), void *arg,
                        struct weir_error *err)
{
    weir_load_params params = {
        .struct_size = sizeof(params),
        .device = c->device,
        .devices = c->devices,
        .n_devices = c->n_devices,
        .n_threads = c->n_threads,
        .n_ctx = c->n_ctx,
        .max_sequences = c->max_batch,
        .max_step_tokens = c->max_step_tokens,
        .kv_bytes = c->kv_bytes,
        .file = c->model_file,
        .options_json = c->backend_options_json,
        .progress = progress,
        .progress_arg = arg,
    };
    weir_str why = {NULL, 0};
    int r = c->backend->load(c->host, &params, &m->handle, &why);
    if (r < 0) {
        m->handle = NULL;
        return why.n > 0 ? weir_error_set(err, r, "%.*s", (int)why.n, why.p)
                         : weir_error_set(err, r, "the backend could not load the model: %s",
                                          weir_error_name(r));
    }
    m->info.struct_size = sizeof(m->info);
    r = c->backend->info(m->handle, &m->info);
    if (r < 0) {
        return weir_error_set(err, r, "the backend does not describe its model");
    }
    const weir_model_info *i = &m->info;
    if (i->page_tokens != WEIR_PAGE_TOKENS || i->n_pages == 0 || i->n_vocab == 0 ||
        i->n_vocab > INT32_MAX || i->n_ctx < 2 || i->max_sequences == 0 ||
        i->max_step_tokens < i->max_sequences) {
        return weir_error_set(err, WEIR_E_FORMAT,
                              "the backend's description of its model makes no sense (%u pages of "
                              "%u tokens, vocabulary of %u, context of %u, %u sequences, %u tokens "
                              "a step)",
                              i->n_pages, i->page_tokens, i->n_vocab, i->n_ctx, i->max_sequences,
                              i->max_step_tokens);
    }
    return 0;
}

static uint32_t usable_context(const weir_model_info *info)
{
    uint64_t in_pool = (uint64_t)info->n_pages * WEIR_PAGE_TOKENS;
    return in_pool < info->n_ctx ? (uint32_t)in_pool : info->n_ctx;
}

static weir_str token_text(const struct weir_tokenizer *t, uint32_t token)
{
    return token == WEIR_TOKEN_NONE ? (weir_str){NULL, 0} : weir_tokenizer_piece(t, token);
}

/* The file's chat template, or a plain one for its architecture where it has none. */
static int read_chat(struct weir_loaded_model *m, const struct weir_gguf *file,
                     struct weir_error *err)
{
    const struct weir_tokenizer_info *info = weir_tokenizer_info(m->tokenizer);
    struct weir_chat_config config = {
        .bos = token_text(m->tokenizer, info->bos),
        .eos = token_text(m->tokenizer, info->eos),
        .add_bos = info->add_bos,
    };
    weir_str arch = {NULL, 0};
    if (weir_gguf_str(file, "tokenizer.chat_template", &config.template, NULL) < 0) {
        (void)weir_gguf_str(file, "general.architecture", &arch, NULL);
        config.template = weir_template_builtin(arch);
    }
    return weir_chat_create(&config, &m->chat, err);
}

/* What the file says about text. */
static int read_file(struct weir_loaded_model *m, weir_str path, struct weir_error *err)
{
    struct weir_gguf *file = NULL;
    int r = weir_gguf_open(path.p, &file, err); /* the configuration's copy ends with NUL */
    if (r < 0) {
        return r;
    }
    r = weir_tokenizer_create(file, &m->tokenizer, err);
    if (r == 0) {
        m->vocabulary = weir_file_vocabulary(m->tokenizer);
        r = read_chat(m, file, err);
    }
    weir_gguf_destroy(file);
    return r;
}

static int ask_backend(struct weir_loaded_model *m, struct weir_error *err)
{
    int r = weir_backend_vocabulary_create(m->backend, m->handle, m->info.n_vocab,
                                           &m->backend_vocabulary, &m->vocabulary);
    return r == 0 ? 0
                  : weir_error_set(err, r, "the backend's tokenizer cannot be used: %s",
                                   weir_error_name(r));
}

static int fill(struct weir_loaded_model *m, const struct weir_engine_config *config,
                int (*progress)(void *arg, float fraction), void *arg, struct weir_error *err)
{
    bool has_file = config->model_file.n > 0;
    int r = has_file ? read_file(m, config->model_file, err) : 0;
    if (r == 0) {
        r = load_backend(m, config, progress, arg, err);
    }
    if (r == 0 && !has_file) {
        r = ask_backend(m, err);
    }
    return r;
}

int weir_loaded_model_create(const struct weir_engine_config *config,
                             const struct weir_page_secret *secret, uint64_t serial,
                             int (*progress)(void *arg, float fraction), void *arg,
                             struct weir_loaded_model **ret_model, struct weir_error *err)
{
    struct weir_loaded_model *m = calloc(1, sizeof(*m));
    if (!m) {
        return weir_error_set(err, WEIR_E_NOMEM, "out of memory");
    }
    m->backend = config->backend;
    int r = fill(m, config, progress, arg, err);
    if (r == 0 && (m->info.caps & WEIR_MODEL_CAN_MASK)) {
        r = weir_grammars_create(&m->vocabulary, secret, &m->grammars);
    }
    if (r < 0) {
        weir_loaded_model_destroy(m);
        return r;
    }
    m->view = (struct weir_model_view){
        .vocabulary = &m->vocabulary,
        .chat = m->chat,
        .grammars = m->grammars,
        .serial = serial,
        .n_logits = m->info.n_vocab,
        .secret = secret,
        .n_ctx = usable_context(&m->info),
        .page_bytes = m->info.kv_bytes_per_token * WEIR_PAGE_TOKENS,
        .caps = m->info.caps,
    };
    *ret_model = m;
    return 0;
}

void weir_loaded_model_destroy(struct weir_loaded_model *m)
{
    if (!m) {
        return;
    }
    weir_grammars_destroy(m->grammars);
    weir_backend_vocabulary_destroy(m->backend_vocabulary);
    if (m->handle) {
        m->backend->unload(m->handle);
    }
    weir_chat_destroy(m->chat);
    weir_tokenizer_destroy(m->tokenizer);
    free(m);
}
