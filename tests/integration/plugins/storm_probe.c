/* SPDX-License-Identifier: Apache-2.0 */
/* For tests/integration/test_storm.py: counts the begin and the end of every request, and suspends
 * those whose header "x-storm" names the phase ("1" HEADERS .. "4" ADMIT, several digits in a row)
 * until another thread resumes them: half of them at once, so that the answer races with the hook's
 * return, half after a while. */
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "weir/plugin.h"
#include "weir/policy.h"

enum { QUEUE = 4096, SUSPEND_MS = 20000 };

struct probe {
    const weir_host *host;
    const weir_ext_metrics *metrics;
    weir_metric begun, completed, repeated;
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    weir_ticket queue[QUEUE]; /* ring */
    unsigned first, n;
    bool stop;
};

struct state { /* of a request */
    bool begun, completed;
};

static void *resume_tickets(void *arg)
{
    struct probe *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    for (unsigned count = 0;; count++) {
        while (p->n == 0 && !p->stop) {
            (void)pthread_cond_wait(&p->work, &p->lock);
        }
        if (p->stop) {
            break;
        }
        weir_ticket ticket = p->queue[p->first];
        p->first = (p->first + 1) % QUEUE;
        p->n--;
        (void)pthread_mutex_unlock(&p->lock);
        if (count % 2) {
            struct timespec t = {0, 2000000};
            (void)nanosleep(&t, NULL);
        }
        (void)p->host->resume(p->host, ticket, 0, weir_str_from(""));
        (void)pthread_mutex_lock(&p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static weir_metric counter(const struct probe *p, const char *name)
{
    return p->metrics->define(p->host, WEIR_METRIC_COUNTER, name, "Of the storm test.", NULL, 0);
}

static void *instance_create(const weir_host *host, weir_str config_json, weir_str *err)
{
    (void)config_json;
    *err = weir_str_from("no memory, thread or metrics");
    struct probe *p = host->alloc(host, sizeof(*p));
    if (!p) {
        return NULL;
    }
    memset(p, 0, sizeof(*p));
    p->host = host;
    p->metrics = host->get_ext(host, WEIR_EXT_METRICS);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    if (!p->metrics || pthread_create(&p->thread, NULL, resume_tickets, p) != 0) {
        host->free(host, p);
        return NULL;
    }
    p->begun = counter(p, "begun_total");
    p->completed = counter(p, "completed_total");
    p->repeated = counter(p, "completed_again_total");
    return p;
}

static void instance_destroy(void *instance)
{
    struct probe *p = instance;
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    p->host->free(p->host, p);
}

static int on_phase(void *instance, weir_req *r, int phase)
{
    struct probe *p = instance;
    struct state *s = p->host->req_state(p->host, r);
    if (!s->begun) {
        s->begun = true;
        p->metrics->record(p->host, p->begun, 1, NULL, 0);
    }
    weir_str wish;
    if (p->host->req_header(p->host, r, weir_str_from("x-storm"), &wish) < 0 ||
        !memchr(wish.p, '0' + phase, wish.n)) {
        return WEIR_CONTINUE;
    }
    weir_ticket ticket = p->host->suspend(p->host, r, SUSPEND_MS);
    (void)pthread_mutex_lock(&p->lock);
    bool asked = ticket != 0 && p->n < QUEUE;
    if (asked) {
        p->queue[(p->first + p->n++) % QUEUE] = ticket;
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return asked ? WEIR_SUSPEND : WEIR_FAIL;
}

static int on_resume(void *instance, weir_req *r, int phase, int rc, weir_str data)
{
    (void)instance;
    (void)r;
    (void)phase;
    (void)data;
    return rc < 0 ? WEIR_FAIL : WEIR_CONTINUE;
}

static void on_complete(void *instance, weir_req *r, const weir_usage *usage)
{
    (void)usage;
    struct probe *p = instance;
    struct state *s = p->host->req_state(p->host, r);
    p->metrics->record(p->host, s->completed ? p->repeated : p->completed, 1, NULL, 0);
    s->completed = true;
}

static const weir_policy policy = {
    .struct_size = sizeof(policy),
    .phases = WEIR_PHASE_BIT(WEIR_PHASE_HEADERS) | WEIR_PHASE_BIT(WEIR_PHASE_BODY) |
              WEIR_PHASE_BIT(WEIR_PHASE_ROUTE) | WEIR_PHASE_BIT(WEIR_PHASE_ADMIT),
    .req_state_size = sizeof(struct state),
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .on_phase = on_phase,
    .on_resume = on_resume,
    .on_complete = on_complete,
};

static const void *get_ext(const char *id)
{
    return strcmp(id, WEIR_EXT_POLICY) == 0 ? &policy : NULL;
}

static const char *const provides[] = {WEIR_EXT_POLICY, NULL};
static const weir_plugin about = {
    WEIR_PLUGIN_HEAD,
    .name = "storm_probe",
    .version = "1.0.0",
    .license = "Apache-2.0",
    .description = "Counts and delays requests in a test.",
    .provides = provides,
    .get_ext = get_ext,
};

const weir_plugin *weir_plugin_entry_v1(void)
{
    return &about;
}
