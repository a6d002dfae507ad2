/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/sampling.h"

#include <string.h>

enum {
    BIASES_PER_ROW = 1024,
    HISTORY_MAX = 4 << 20 /* tokens of all rows together */
};

static uint32_t mask_words(const struct weir_gpu_sampling *s)
{
    return (s->n_vocab + 31) / 32;
}

/* The order of the pieces is that of a step's upload: what is used most comes first. */
static void cut_asked(struct weir_gpu_sampling *s, struct weir_gpu_cutter *pinned)
{
    s->rows = weir_gpu_cut(pinned, s->max_rows, sizeof(*s->rows));
    s->top_rows = weir_gpu_cut(pinned, s->max_rows, sizeof(*s->top_rows));
    s->adjust_rows = weir_gpu_cut(pinned, s->max_rows, sizeof(*s->adjust_rows));
    s->masks = weir_gpu_cut(pinned, (uint64_t)s->max_rows * mask_words(s), sizeof(*s->masks));
    s->biases = weir_gpu_cut(pinned, s->max_biases, sizeof(*s->biases));
    s->history = weir_gpu_cut(pinned, s->max_history, sizeof(*s->history));
}

void weir_gpu_sampling_cut(struct weir_gpu_sampling *s, const struct weir_gpu_limits *limits,
                           struct weir_gpu_cutter *on_device, struct weir_gpu_cutter *pinned)
{
    const uint64_t n_rows = limits->max_parts;
    uint64_t history = n_rows * limits->n_ctx;
    s->max_rows = limits->max_parts;
    s->n_vocab = limits->n_vocab;
    s->max_biases = limits->max_parts * BIASES_PER_ROW;
    s->max_history = history < HISTORY_MAX ? (uint32_t)history : HISTORY_MAX;

    struct weir_gpu_cutter asked = {0};
    cut_asked(s, &asked);
    s->cap_bytes = asked.used_bytes;
    s->host = weir_gpu_cut(pinned, s->cap_bytes, 1);
    s->device = weir_gpu_cut(on_device, s->cap_bytes, 1);
    cut_asked(s, &(struct weir_gpu_cutter){.base = s->host});
    s->host_results = weir_gpu_cut(pinned, n_rows, sizeof(*s->results));
    s->host_top = weir_gpu_cut(pinned, n_rows * WEIR_LOGPROBS_MAX, sizeof(*s->top));
    s->host_status = weir_gpu_cut(pinned, n_rows, sizeof(*s->status));

    s->results = weir_gpu_cut(on_device, n_rows, sizeof(*s->results));
    s->top = weir_gpu_cut(on_device, n_rows * WEIR_LOGPROBS_MAX, sizeof(*s->top));
    s->status = weir_gpu_cut(on_device, n_rows, sizeof(*s->status));
    s->log_sums = weir_gpu_cut(on_device, n_rows, sizeof(*s->log_sums));
    const uint64_t cells = n_rows * limits->n_vocab;
    s->raw = weir_gpu_cut(on_device, cells, sizeof(*s->raw));
    s->keys = weir_gpu_cut(on_device, cells, sizeof(*s->keys));
    s->weights = weir_gpu_cut(on_device, cells, sizeof(*s->weights));
    s->candidates = weir_gpu_cut(on_device, cells, sizeof(*s->candidates));
    s->counts = weir_gpu_cut(on_device, cells, sizeof(*s->counts));
}

static bool has_penalties(const weir_sampling *sp)
{
    return sp->repetition_penalty != 1.0f || sp->presence_penalty != 0.0f ||
           sp->frequency_penalty != 0.0f;
}

static void set_row(struct weir_sample_row *row, const weir_step_part *in, bool is_adjusted)
{
    const weir_sampling *sp = in->sampling;
    *row = (struct weir_sample_row){.typical_p = 1.0f, .top_p = 1.0f, .index = in->sample_index};
    row->flags = is_adjusted ? WEIR_SAMPLE_MAY_LACK : 0;
    row->flags |= in->flags & WEIR_STEP_LOGPROBS ? WEIR_SAMPLE_LOGPROB : 0;
    if (sp) {
        row->seed = sp->seed;
        row->temperature = sp->temperature;
        row->typical_p = sp->typical_p;
        row->top_p = sp->top_p;
        row->min_p = sp->min_p;
        row->top_k = sp->top_k;
    }
}

/* Lists a row for adjustment when it asks for any; false when that does not fit. */
static bool add_adjustment(struct weir_gpu_sampling *s, const weir_step_part *in, uint32_t row)
{
    const weir_sampling *sp = in->sampling;
    uint32_t n_biases = sp ? sp->n_bias : 0;
    uint32_t n_history = sp && has_penalties(sp) ? in->n_history : 0;
    if (n_biases == 0 && n_history == 0 && !in->mask) {
        return true;
    }
    if (n_biases > s->max_biases - s->n_biases || n_history > s->max_history - s->n_history) {
        return false;
    }
    struct weir_adjust_row *a = &s->adjust_rows[s->n_adjust_rows++];
    *a = (struct weir_adjust_row){
        .row = row,
        .first_bias = s->n_biases,
        .n_bias = n_biases,
        .first_token = s->n_history,
        .n_tokens = n_history,
        .n_prompt = in->n_history_prompt,
        .first_mask = WEIR_ADJUST_NO_MASK,
        .repetition = 1.0f,
    };
    if (n_history > 0) {
        a->repetition = sp->repetition_penalty;
        a->presence = sp->presence_penalty;
        a->frequency = sp->frequency_penalty;
        memcpy(s->history + s->n_history, in->history, n_history * sizeof(*s->history));
        s->n_history += n_history;
    }
    for (uint32_t i = 0; i < n_biases; i++) {
        s->biases[s->n_biases++] = (struct weir_adjust_bias){sp->bias[i].token, sp->bias[i].bias};
    }
    if (in->mask) {
        a->first_mask = s->n_masks * mask_words(s);
        memcpy(s->masks + a->first_mask, in->mask, mask_words(s) * sizeof(*s->masks));
        s->n_masks++;
    }
    return true;
}

static size_t end_of(const struct weir_gpu_sampling *s, const void *piece, uint64_t n_bytes)
{
    return (size_t)((const uint8_t *)piece - s->host) + n_bytes;
}

void weir_gpu_sampling_set(struct weir_gpu_sampling *s, const struct weir_gpu_batch *b)
{
    s->n_top_rows = s->n_adjust_rows = s->n_biases = s->n_history = s->n_masks = 0;
    for (uint32_t i = 0; i < b->n_out; i++) {
        const struct weir_gpu_part *part = &b->parts[b->out_parts[i]];
        uint32_t before = s->n_adjust_rows;
        if (!add_adjustment(s, part->in, i)) {
            part->result->rc = WEIR_E_TOOBIG;
        }
        set_row(&s->rows[i], part->in, s->n_adjust_rows > before);
        if (part->in->flags & WEIR_STEP_LOGPROBS) {
            uint32_t n = part->in->n_top < WEIR_LOGPROBS_MAX ? part->in->n_top : WEIR_LOGPROBS_MAX;
            s->top_rows[s->n_top_rows++] = (struct weir_logprobs_row){.row = i, .n_top = n};
        }
    }
    size_t used = end_of(s, s->rows, b->n_out * sizeof(*s->rows));
    if (s->n_top_rows > 0) {
        used = end_of(s, s->top_rows, s->n_top_rows * sizeof(*s->top_rows));
    }
    if (s->n_adjust_rows > 0) {
        used = end_of(s, s->adjust_rows, s->n_adjust_rows * sizeof(*s->adjust_rows));
    }
    if (s->n_masks > 0) {
        used = end_of(s, s->masks, (uint64_t)s->n_masks * mask_words(s) * sizeof(*s->masks));
    }
    if (s->n_biases > 0) {
        used = end_of(s, s->biases, s->n_biases * sizeof(*s->biases));
    }
    if (s->n_history > 0) {
        used = end_of(s, s->history, s->n_history * sizeof(*s->history));
    }
    s->used_bytes = used;
}

/* Where a pinned piece lies on the device. */
static const void *on_device(const struct weir_gpu_sampling *s, const void *piece)
{
    return s->device + ((const uint8_t *)piece - s->host);
}

static int launch_logprobs(struct weir_gpu_sampling *s, struct weir_gpu_device *d,
                           const float *logits)
{
    const struct weir_logprobs_args args = {
        .logits = logits,
        .raw = s->raw,
        .rows = on_device(s, s->top_rows),
        .log_sums = s->log_sums,
        .top = s->top,
        .keys = s->keys,
        .weights = s->weights,
        .candidates = s->candidates,
        .n_rows = s->n_top_rows,
        .n_vocab = s->n_vocab,
        .stride = s->n_vocab,
    };
    struct weir_gpu_launch launch;
    int rc = weir_logprobs_launch(&args, &d->info.props, &launch);
    return rc <= 0 ? rc : weir_gpu_device_launch(d, &launch);
}

static int launch_adjust(struct weir_gpu_sampling *s, struct weir_gpu_device *d, float *logits)
{
    const struct weir_adjust_args args = {
        .logits = logits,
        .rows = on_device(s, s->adjust_rows),
        .biases = on_device(s, s->biases),
        .history = on_device(s, s->history),
        .masks = on_device(s, s->masks),
        .counts = s->counts,
        .status = s->status,
        .n_rows = s->n_adjust_rows,
        .n_vocab = s->n_vocab,
        .stride = s->n_vocab,
    };
    struct weir_gpu_launch launch;
    int rc = weir_logits_adjust_launch(&args, &d->info.props, &launch);
    return rc <= 0 ? rc : weir_gpu_device_launch(d, &launch);
}

static int launch_sample(struct weir_gpu_sampling *s, struct weir_gpu_device *d,
                         const float *logits, uint32_t n_rows)
{
    const struct weir_sample_args args = {
        .logits = logits,
        .raw = s->raw,
        .log_sums = s->log_sums,
        .rows = on_device(s, s->rows),
        .results = s->results,
        .keys = s->keys,
        .weights = s->weights,
        .candidates = s->candidates,
        .n_rows = n_rows,
        .n_vocab = s->n_vocab,
        .stride = s->n_vocab,
    };
    struct weir_gpu_launch launch;
    int rc = weir_sample_launch(&args, &d->info.props, &launch);
    return rc <= 0 ? rc : weir_gpu_device_launch(d, &launch);
}

static int fetch(const struct weir_gpu_sampling *s, struct weir_gpu_device *d, uint32_t n_rows)
{
    int rc =
        d->api->copy_to_host(d->stream, s->host_results, s->results, n_rows * sizeof(*s->results));
    if (rc >= 0 && s->n_top_rows > 0) {
        rc = d->api->copy_to_host(d->stream, s->host_top, s->top,
                                  (size_t)n_rows * WEIR_LOGPROBS_MAX * sizeof(*s->top));
    }
    if (rc >= 0 && s->n_adjust_rows > 0) {
        rc = d->api->copy_to_host(d->stream, s->host_status, s->status,
                                  s->n_adjust_rows * sizeof(*s->status));
    }
    return rc;
}

int weir_gpu_sampling_launch(struct weir_gpu_sampling *s, struct weir_gpu_device *d, float *logits,
                             uint32_t n_rows)
{
    int rc = d->api->copy_to_device(d->stream, s->device, s->host, s->used_bytes);
    if (rc >= 0 && s->n_top_rows > 0) {
        rc = launch_logprobs(s, d, logits);
    }
    if (rc >= 0 && s->n_adjust_rows > 0) {
        rc = launch_adjust(s, d, logits);
    }
    rc = rc < 0 ? rc : launch_sample(s, d, logits, n_rows);
    return rc < 0 ? rc : fetch(s, d, n_rows);
}

static void take_top(const struct weir_gpu_sampling *s, uint32_t row, const weir_step_part *in,
                     weir_step_result *result)
{
    const struct weir_logprobs_top *top = s->host_top + (size_t)row * WEIR_LOGPROBS_MAX;
    while (result->n_top < in->n_top && result->n_top < WEIR_LOGPROBS_MAX &&
           top[result->n_top].token >= 0) {
        result->top[result->n_top] =
            (weir_top_logprob){top[result->n_top].token, top[result->n_top].logprob};
        result->n_top++;
    }
}

static int rc_of(int32_t status)
{
    switch (status) {
    case WEIR_SAMPLE_OK: return 0;
    case WEIR_SAMPLE_NOTHING: return WEIR_E_ARG;
    default: return WEIR_E_DEVICE;
    }
}

void weir_gpu_sampling_take(const struct weir_gpu_sampling *s, const struct weir_gpu_batch *b)
{
    for (uint32_t i = 0; i < b->n_out; i++) {
        const struct weir_gpu_part *part = &b->parts[b->out_parts[i]];
        weir_step_result *result = part->result;
        const struct weir_sample_result *from = &s->host_results[i];
        result->rc = result->rc < 0 ? result->rc : rc_of(from->status);
        if (result->rc < 0) {
            continue;
        }
        result->n_tokens = 1;
        result->tokens[0] = from->token;
        if (part->in->flags & WEIR_STEP_LOGPROBS) {
            result->logprobs[0] = from->logprob;
            take_top(s, i, part->in, result);
        }
    }
    for (uint32_t i = 0; i < s->n_adjust_rows; i++) {
        weir_step_result *result = b->parts[b->out_parts[s->adjust_rows[i].row]].result;
        if (s->host_status[i] != 0) {
            result->rc = WEIR_E_DEVICE;
            result->n_tokens = 0;
        }
    }
}
