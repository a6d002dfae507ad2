/* SPDX-License-Identifier: Apache-2.0 */
#include "revision.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/config/doc_json.h"
#include "core/config/model_path.h"

enum { SAMPLES = 64, SAMPLE_BYTES = 4096 };

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    return XXH3_64bits_withSeed(bytes, n, hash);
}

static uint64_t mix_file(uint64_t hash, const struct weir_config *config, const char *file)
{
    char path[WEIR_MODEL_PATH_BYTES];
    unsigned char sample[SAMPLE_BYTES];
    struct stat st;
    int fd = weir_model_path(config->models_dir, file, path, NULL) == 0
                 ? open(path, O_RDONLY | O_CLOEXEC)
                 : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        st.st_size = 0;
    }
    int64_t size = st.st_size;
    hash = mix(hash, &size, sizeof(size));
    for (int i = 0; size > 0 && i < SAMPLES; i++) {
        ssize_t n = pread(fd, sample, sizeof(sample), size / SAMPLES * i);
        hash = n > 0 ? mix(hash, sample, (size_t)n) : hash;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return hash;
}

static uint64_t mix_node(uint64_t hash, const struct weir_doc_node *node)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *value = doc ? weir_doc_to_json(node, doc) : NULL;
    size_t n = 0;
    char *text = value ? yyjson_mut_val_write(value, 0, &n) : NULL;
    hash = text ? mix(hash, text, n) : hash;
    free(text);
    yyjson_mut_doc_free(doc);
    return hash;
}

uint64_t weir_model_config_revision(const struct weir_config *config,
                                    const struct weir_config_model *model)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < model->n_targets; i++) {
        const struct weir_config_target *t = &model->targets[i];
        hash = mix_node(hash, t->node);
        if (t->is_engine && t->engine.file) {
            hash = mix_file(hash, config, t->engine.file);
        }
    }
    return hash;
}
