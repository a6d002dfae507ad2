/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/redis/scripts.h"

#include <stdlib.h>

#include <openssl/evp.h>

/* Made from scripts/ *.lua at build time. */
#define TEXT(name)                                                                                 \
    extern const char weir__redis_##name[];                                                        \
    extern const size_t weir__redis_##name##_bytes
TEXT(add);
TEXT(append);
TEXT(budgets);
TEXT(erase);
TEXT(invalidate);
TEXT(job_ack);
TEXT(job_claim);
TEXT(job_put);
TEXT(jobs);
TEXT(limits);
TEXT(list);
TEXT(put);
TEXT(read);
TEXT(remove);
TEXT(reserve);
TEXT(set);
TEXT(settle);
TEXT(values);

struct source {
    const char *text;
    const size_t *n_bytes;
};
#define SOURCE(name)                                                                               \
    {                                                                                              \
        weir__redis_##name, &weir__redis_##name##_bytes                                            \
    }

static const struct {
    struct source shared, own; /* shared: what stands before it, or nothing */
} sources[WEIR_REDIS_N_SCRIPTS] = {
    [WEIR_REDIS_LIMITS] = {.own = SOURCE(limits)},
    [WEIR_REDIS_RESERVE] = {SOURCE(budgets), SOURCE(reserve)},
    [WEIR_REDIS_SETTLE] = {SOURCE(budgets), SOURCE(settle)},
    [WEIR_REDIS_SET] = {SOURCE(values), SOURCE(set)},
    [WEIR_REDIS_INVALIDATE] = {SOURCE(values), SOURCE(invalidate)},
    [WEIR_REDIS_REMOVE] = {SOURCE(values), SOURCE(remove)},
    [WEIR_REDIS_ADD] = {.own = SOURCE(add)},
    [WEIR_REDIS_PUT] = {.own = SOURCE(put)},
    [WEIR_REDIS_LIST] = {.own = SOURCE(list)},
    [WEIR_REDIS_APPEND] = {.own = SOURCE(append)},
    [WEIR_REDIS_READ] = {.own = SOURCE(read)},
    [WEIR_REDIS_JOB_PUT] = {SOURCE(jobs), SOURCE(job_put)},
    [WEIR_REDIS_JOB_CLAIM] = {SOURCE(jobs), SOURCE(job_claim)},
    [WEIR_REDIS_JOB_ACK] = {.own = SOURCE(job_ack)},
    [WEIR_REDIS_ERASE] = {SOURCE(values), SOURCE(erase)},
};

static bool hash(const char *text, size_t len, char sha[41])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_Digest(text, len, bytes, &n, EVP_sha1(), NULL) != 1 || n != 20) {
        return false;
    }
    for (unsigned int i = 0; i < n; i++) {
        sha[2 * i] = digits[bytes[i] >> 4];
        sha[2 * i + 1] = digits[bytes[i] & 15];
    }
    sha[40] = '\0';
    return true;
}

int weir_redis_scripts_init(struct weir_redis_scripts *s)
{
    *s = (struct weir_redis_scripts){0};
    for (int i = 0; i < WEIR_REDIS_N_SCRIPTS; i++) {
        const struct source *shared = &sources[i].shared, *own = &sources[i].own;
        size_t n_shared = shared->text ? *shared->n_bytes : 0;
        size_t len = n_shared + *own->n_bytes;
        char *text = malloc(len);
        if (!text) {
            weir_redis_scripts_finish(s);
            return WEIR_E_NOMEM;
        }
        if (n_shared) {
            memcpy(text, shared->text, n_shared);
        }
        memcpy(text + n_shared, own->text, *own->n_bytes);
        s->list[i].text = text;
        s->list[i].len = len;
        if (!hash(text, len, s->list[i].sha)) {
            weir_redis_scripts_finish(s);
            return WEIR_E_UNSUPPORTED;
        }
    }
    return 0;
}

void weir_redis_scripts_finish(struct weir_redis_scripts *s)
{
    for (int i = 0; i < WEIR_REDIS_N_SCRIPTS; i++) {
        free(s->list[i].text);
        s->list[i].text = NULL;
    }
}
