/* SPDX-License-Identifier: Apache-2.0 */
/* Example: asks another thread whether a user may go on, while the request waits.
 *
 * Shows SUSPEND: the hook gives the question to a thread and returns; the loop serves other
 * requests; the thread resumes the ticket with its answer. The thread stands for whatever may take
 * time: a database, a service, a lock. */
#include <pthread.h>
#include <stdbool.h>

#include "weir/plugin.h"
#include "weir/policy.h"

enum { QUEUE = 256, MAX_USER = 128, TIMEOUT_MS = 2000 };

struct question {
    weir_ticket ticket;
    size_t user_len;
    char user[MAX_USER];
};

struct gate {
    const weir_host *host;
    weir_str config; /* copy of the JSON; holds the denied users */
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    struct question queue[QUEUE]; /* ring */
    unsigned first, n;
    bool stop;
};

/* Does the list of users, as JSON, contain "user" as a whole string? The schema forbids quotes in
 * names, so a quoted match is a whole one. */
static bool is_denied(weir_str list, const char *user, size_t user_len)
{
    for (size_t i = 0; user_len > 0 && i + user_len + 2 <= list.n; i++) {
        if (list.p[i] == '"' && list.p[i + user_len + 1] == '"' &&
            memcmp(list.p + i + 1, user, user_len) == 0) {
            return true;
        }
    }
    return false;
}

static void *answer_questions(void *arg)
{
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        while (g->n == 0 && !g->stop) {
            pthread_cond_wait(&g->work, &g->lock);
        }
        if (g->stop) {
            break;
        }
        struct question q = g->queue[g->first];
        g->first = (g->first + 1) % QUEUE;
        g->n--;
        pthread_mutex_unlock(&g->lock);
        bool denied = is_denied(g->config, q.user, q.user_len);
        /* The client may have left: WEIR_E_GONE is fine. */
        (void)g->host->resume(g->host, q.ticket, 0, weir_str_from(denied ? "no" : "yes"));
        pthread_mutex_lock(&g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    struct gate *g = host->alloc(host, sizeof(*g) + config_json.n);
    *err = weir_str_from("out of memory or threads");
    if (!g) {
        return NULL;
    }
    memset(g, 0, sizeof(*g));
    g->host = host;
    memcpy(g + 1, config_json.p, config_json.n);
    g->config = (weir_str){(const char *)(g + 1), config_json.n};
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->work, NULL);
    if (pthread_create(&g->thread, NULL, answer_questions, g) != 0) {
        host->free(host, g);
        return NULL;
    }
    return g;
}

static void instance_destroy(void *instance)
{
    struct gate *g = instance;
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_signal(&g->work);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    pthread_cond_destroy(&g->work);
    pthread_mutex_destroy(&g->lock);
    g->host->free(g->host, g);
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    (void)phase;
    struct gate *g = instance;
    weir_str user;
    if (g->host->req_get(g->host, r, WEIR_FIELD_USER, &user) < 0 || user.n > MAX_USER) {
        return WEIR_CONTINUE;
    }
    struct question q = {.user_len = user.n};
    memcpy(q.user, user.p, user.n);
    q.ticket = g->host->suspend(g->host, r, TIMEOUT_MS);
    pthread_mutex_lock(&g->lock);
    bool asked = q.ticket != 0 && g->n < QUEUE;
    if (asked) {
        g->queue[(g->first + g->n++) % QUEUE] = q;
        pthread_cond_signal(&g->work);
    }
    pthread_mutex_unlock(&g->lock);
    return asked ? WEIR_SUSPEND : WEIR_FAIL; /* a failed hook's ticket is taken back by the host */
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    (void)phase;
    const struct gate *g = instance;
    if (rc < 0) {
        return WEIR_FAIL; /* WEIR_E_TIMEOUT: nobody answered */
    }
    if (weir_str_is(data, "yes")) {
        return WEIR_CONTINUE;
    }
    g->host->deny(g->host, r, 403, weir_str_from("permission_error"), weir_str_from("user_denied"),
                  weir_str_from("This user may not use the service."));
    return WEIR_DENY;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_BODY),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"users\":{\"type\":\"array\",\"default\":[],\"maxItems\":1000,"
    "\"description\":\"Users that are denied.\","
    "\"items\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_.@-]{1,128}$\"}}}}";

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const char *const after[] = {"auth", NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "async_deny",
    .version = "1.0.0",
    .license = "Apache-2.0",
    .description = "Denies listed users, deciding on another thread.",
    .config_schema = schema,
    .after = after,
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
