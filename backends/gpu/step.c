/* SPDX-License-Identifier: Apache-2.0 */
/* One step: batch to the device, kernels (replayed from a graph where the batch only decodes),
 * sampling, results back, and the wait for them. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backends/gpu/rank.h"
#include "base/clock.h"

enum {
    SPIN_US = 30, /* then the thread naps between looks */
    NAP_NS = 10 * 1000,
    TRIED_FLOATS = 64,
    GAP_MAX_US = 20 * 1000,       /* a longer pause between steps means that there was no work */
    GIVE_UP_US = 5 * 1000 * 1000, /* for sums to end that were let go of */
    BUCKET_UNIT = 8,
    BUCKETS_BELOW_UNIT = 4 /* 1, 2, 4, 8 */
};

uint32_t weir__gpu_bucket_rows(uint32_t bucket)
{
    return bucket < BUCKETS_BELOW_UNIT ? 1u << bucket
                                       : (bucket - BUCKETS_BELOW_UNIT + 2) * BUCKET_UNIT;
}

/* The smallest bucket that holds n rows; WEIR_GPU_BUCKETS when none does. */
static uint32_t find_bucket(const struct weir_gpu_rank *m, uint32_t n)
{
    uint32_t i = 0;
    while (i < WEIR_GPU_BUCKETS && weir__gpu_bucket_rows(i) < n) {
        i++;
    }
    return i < WEIR_GPU_BUCKETS && weir__gpu_bucket_rows(i) <= m->limits.max_parts
               ? i
               : WEIR_GPU_BUCKETS;
}

static int capture(struct weir_gpu_rank *m, uint32_t bucket)
{
    const struct weir_gpu_api *api = m->device.api;
    uint32_t n = weir__gpu_bucket_rows(bucket);
    int rc = api->capture_begin(m->device.stream);
    if (rc < 0) {
        return rc;
    }
    rc = weir__gpu_forward(m, n, n, true);
    void *graph = NULL;
    int end = api->capture_end(m->device.stream, &graph); /* also to leave a failed capture */
    if (rc < 0 || end < 0) {
        api->graph_destroy(graph);
        return rc < 0 ? rc : end;
    }
    m->graphs[bucket] = graph;
    return 0;
}

/* Launches the pass; gives how many rows of logits there are. */
static int launch_pass(struct weir_gpu_rank *m, uint32_t *ret_n_out)
{
    const struct weir_gpu_batch *b = &m->batch;
    uint32_t bucket =
        b->is_decode && m->options.use_graphs ? find_bucket(m, b->n_rows) : WEIR_GPU_BUCKETS;
    *ret_n_out = b->n_out;
    if (bucket == WEIR_GPU_BUCKETS) {
        m->counters.eager_steps++;
        return weir__gpu_forward(m, b->n_rows, b->n_out, false);
    }
    const uint32_t n_places = weir__gpu_bucket_rows(bucket);
    m->counters.decode_rows += b->n_rows;
    m->counters.decode_places += n_places;
    if (!m->has_run_bucket[bucket]) {
        /* Drivers load a kernel when it is first used, which a capture does not allow. */
        m->has_run_bucket[bucket] = true;
        m->counters.eager_steps++;
        return weir__gpu_forward(m, n_places, n_places, true);
    }
    m->counters.graph_steps++;
    int rc = m->graphs[bucket] ? 0 : capture(m, bucket);
    return rc < 0 ? rc : m->device.api->graph_launch(m->device.stream, m->graphs[bucket]);
}

static int upload_batch(struct weir_gpu_rank *m)
{
    struct weir_gpu_batch *b = &m->batch;
    if (b->is_decode && m->options.use_graphs) {
        uint32_t bucket = find_bucket(m, b->n_rows);
        if (bucket < WEIR_GPU_BUCKETS) {
            weir_gpu_batch_pad(b, weir__gpu_bucket_rows(bucket));
        }
    }
    return m->device.api->copy_to_device(m->device.stream, b->device, b->host,
                                         weir_gpu_batch_used_bytes(b));
}

static int launch_step(struct weir_gpu_rank *m)
{
    const struct weir_gpu_api *api = m->device.api;
    uint32_t n_out = 0;
    int rc = api->event_record(m->begin_event, m->device.stream);
    rc = rc < 0 ? rc : upload_batch(m);
    rc = rc < 0 ? rc : launch_pass(m, &n_out);
    if (rc >= 0 && n_out > 0 && m->share.rank == 0) {
        rc = weir_gpu_sampling_launch(&m->sampling, &m->device, m->scratch.rows[WEIR_BUFFER_LOGITS],
                                      n_out);
    }
    return rc;
}

/* Until the event is reached: a short spin, then naps. A device that does not come to it in time
 * has failed; and so has one whose sums lack another device. */
static int wait_for(struct weir_gpu_rank *m, void *event)
{
    const uint64_t begin_us = weir_clock_mono_us();
    uint64_t limit_us = (uint64_t)m->options.step_limit_ms * 1000;
    bool is_in_vain = false;
    for (;;) {
        int done = m->device.api->event_done(event);
        if (done != 0) {
            return done < 0 ? done : is_in_vain ? WEIR_E_DEVICE : 0;
        }
        uint64_t waited_us = weir_clock_mono_us() - begin_us;
        if (limit_us > 0 && waited_us > limit_us) {
            m->is_hung = true;
            return WEIR_E_TIMEOUT;
        }
        if (!is_in_vain && m->group && weir_gpu_group_has_failed(m->group)) {
            is_in_vain = true;
            weir_gpu_group_fail(m->group, m->share.rank);
            limit_us = waited_us + GIVE_UP_US;
        }
        if (waited_us > SPIN_US) {
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        }
    }
}

static void count_time(struct weir_gpu_rank *m, uint64_t begin_us, float gap_ms)
{
    float busy_ms = 0;
    if (m->device.api->event_elapsed_ms(m->begin_event, m->end_event, &busy_ms) >= 0) {
        m->counters.busy_us += (uint64_t)(busy_ms * 1000.0f);
    }
    if (m->has_run && begin_us - m->last_end_us < GAP_MAX_US) {
        m->counters.gap_us += (uint64_t)(gap_ms * 1000.0f);
    }
    m->has_run = true;
    m->last_end_us = weir_clock_mono_us();
    m->counters.n_steps++;
    m->counters.n_tokens += m->batch.n_rows;
    m->counters.step_us += m->last_end_us - begin_us;
}

/* Puts the step behind the stream. A pass that was interrupted ends early, but it ends. */
static int send_step(struct weir_gpu_rank *m)
{
    m->begin_us = weir_clock_mono_us();
    int rc = launch_step(m);
    m->is_cut_short = rc == WEIR_E_CANCELLED;
    if (rc < 0 && !m->is_cut_short) {
        return rc;
    }
    if (m->has_run) { /* the last step's end stays readable until this step's begin is known */
        void *last_end = m->end_event;
        m->end_event = m->spare_event;
        m->spare_event = last_end;
    }
    return m->device.api->event_record(m->end_event, m->device.stream);
}

static int await_step(struct weir_gpu_rank *m)
{
    float gap_ms = 0;
    int rc = wait_for(m, m->end_event);
    if (rc < 0 || m->is_cut_short) {
        return rc < 0 ? rc : WEIR_E_CANCELLED;
    }
    if (m->has_run) {
        (void)m->device.api->event_elapsed_ms(m->spare_event, m->begin_event, &gap_ms);
    }
    count_time(m, m->begin_us, gap_ms);
    return 0;
}

static int say_why(struct weir_gpu_rank *m, int rc)
{
    const struct weir_gpu_api *api = m->device.api;
    if (m->failure[0] == '\0') {
        snprintf(m->failure, sizeof(m->failure), "%s",
                 rc == WEIR_E_TIMEOUT ? "it did not end within step_limit_ms" : api->error_text());
    }
    return rc == WEIR_E_TIMEOUT ? rc : WEIR_E_DEVICE;
}

int weir__gpu_rank_begin(struct weir_gpu_rank *m, const weir_step_batch *batch,
                         weir_step_result *results)
{
    atomic_store_explicit(&m->interrupted, false, memory_order_relaxed);
    int rc = weir_gpu_batch_set(&m->batch, batch, results);
    if (rc < 0) {
        snprintf(m->failure, sizeof(m->failure), "the batch is beyond the model's limits");
    }
    if (rc < 0 || m->batch.n_rows == 0) {
        return rc;
    }
    if (m->share.rank == 0) {
        weir_gpu_sampling_set(&m->sampling, &m->batch);
    }
    rc = weir_gpu_device_use(&m->device);
    rc = rc < 0 ? rc : send_step(m);
    return rc < 0 ? say_why(m, rc) : 0;
}

int weir__gpu_rank_end(struct weir_gpu_rank *m)
{
    if (m->batch.n_rows == 0) {
        return 0;
    }
    int rc = await_step(m);
    if (rc < 0) {
        return rc == WEIR_E_CANCELLED ? rc : say_why(m, rc);
    }
    if (atomic_load_explicit(&m->interrupted, memory_order_relaxed)) {
        return WEIR_E_CANCELLED;
    }
    if (m->share.rank == 0) {
        weir_gpu_sampling_take(&m->sampling, &m->batch);
    }
    return 0;
}

static int check_sum(struct weir_gpu_rank *m, const float *got, uint8_t byte)
{
    float one = 0;
    memset(&one, byte, sizeof(one));
    const float want = one * (float)m->share.n_ranks;
    for (uint32_t i = 0; i < TRIED_FLOATS; i++) {
        if (!(fabsf(got[i] - want) <= 1e-5f * want)) {
            snprintf(m->failure, sizeof(m->failure), "their sums are wrong");
            return WEIR_E_DEVICE;
        }
    }
    return 0;
}

int weir__gpu_rank_try_sum(struct weir_gpu_rank *m)
{
    enum { BYTE = 0x3F }; /* 0.747 of four of them */
    const struct weir_gpu_device *d = &m->device;
    const size_t n_bytes = TRIED_FLOATS * sizeof(float);
    void *data = NULL;
    void *host = NULL;
    int rc = weir_gpu_device_use(&m->device);
    rc = rc < 0 ? rc : d->api->alloc(d->context, n_bytes, &data);
    rc = rc < 0 ? rc : d->api->host_alloc(d->context, n_bytes, &host);
    rc = rc < 0 ? rc : d->api->fill(d->stream, data, BYTE, n_bytes);
    rc = rc < 0 ? rc : weir__gpu_rank_sum(m, data, TRIED_FLOATS);
    rc = rc < 0 ? rc : d->api->copy_to_host(d->stream, host, data, n_bytes);
    rc = rc < 0 ? rc : d->api->event_record(m->end_event, d->stream);
    rc = rc < 0 ? rc : wait_for(m, m->end_event);
    rc = rc < 0 ? rc : check_sum(m, host, BYTE);
    if (!m->is_hung) {
        d->api->release(d->context, data);
        d->api->host_release(d->context, host);
    }
    return rc < 0 ? say_why(m, rc) : 0;
}

int weir__gpu_rank_logits(struct weir_gpu_rank *m, uint32_t i, float *out)
{
    const struct weir_gpu_api *api = m->device.api;
    const size_t n_bytes = m->hparams.n_vocab * sizeof(float);
    const float *from = m->scratch.rows[WEIR_BUFFER_LOGITS] + (size_t)i * m->hparams.n_vocab;
    void *pinned = NULL;
    int rc = weir_gpu_device_use(&m->device);
    rc = rc < 0 ? rc : api->host_alloc(m->device.context, n_bytes, &pinned);
    rc = rc < 0 ? rc : api->copy_to_host(m->device.stream, pinned, from, n_bytes);
    rc = rc < 0 ? rc : api->stream_sync(m->device.stream);
    if (rc >= 0) {
        memcpy(out, pinned, n_bytes);
    }
    api->host_release(m->device.context, pinned);
    return rc;
}
