/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_output.h"

enum { KEEP_BYTES = 4 * 1024 }; /* per idle connection */

void weir_http_output_init(struct weir_http_output *out, size_t max_pending_bytes)
{
    *out = (struct weir_http_output){0};
    weir_buf_init(&out->fill, max_pending_bytes);
    weir_buf_init(&out->flight, max_pending_bytes);
}

void weir_http_output_finish(struct weir_http_output *out)
{
    weir_buf_finish(&out->fill);
    weir_buf_finish(&out->flight);
}

void weir_http_output_open(struct weir_http_output *out, uv_stream_t *stream,
                           weir_http_output_cb on_written)
{
    weir_buf_reset(&out->fill);
    weir_buf_reset(&out->flight);
    *out = (struct weir_http_output){
        .stream = stream,
        .fill = out->fill,
        .flight = out->flight,
        .on_written = on_written,
    };
}

void weir_http_output_trim(struct weir_http_output *out)
{
    if (out->fill.cap > KEEP_BYTES) {
        weir_buf_finish(&out->fill);
    }
    if (out->flight.cap > KEEP_BYTES) {
        weir_buf_finish(&out->flight);
    }
}

void weir_http_output_add(struct weir_http_output *out, const void *bytes, size_t n_bytes)
{
    weir_buf_add(&out->fill, bytes, n_bytes);
    out->n_given += n_bytes;
}

size_t weir_http_output_pending(const struct weir_http_output *out)
{
    return out->fill.len + (out->is_flying ? uv_stream_get_write_queue_size(out->stream) : 0);
}

uint64_t weir_http_output_taken(const struct weir_http_output *out)
{
    size_t waiting = out->is_flying ? uv_stream_get_write_queue_size(out->stream) : 0;
    return out->n_taken + (out->is_flying ? out->n_flying - waiting : 0);
}

size_t weir_http_output_room(const struct weir_http_output *out)
{
    size_t pending = weir_http_output_pending(out);
    return pending < out->fill.max_bytes ? out->fill.max_bytes - pending : 0;
}

static void on_write(uv_write_t *write, int status)
{
    struct weir_http_output *out = write->data;
    out->is_flying = false;
    out->n_taken += status < 0 ? 0 : out->n_flying;
    weir_buf_reset(&out->flight);
    out->on_written(out, status);
}

/* Hands fill, without its first n_sent bytes, to uv_write. */
static int take_off(struct weir_http_output *out, size_t n_sent)
{
    struct weir_buf emptied = out->flight;
    out->flight = out->fill;
    out->fill = emptied;

    uv_buf_t rest = uv_buf_init(out->flight.data + n_sent, (unsigned)(out->flight.len - n_sent));
    out->write.data = out;
    out->n_taken += n_sent;
    out->n_flying = rest.len;
    int r = uv_write(&out->write, out->stream, &rest, 1, on_write);
    out->is_flying = r == 0;
    return r;
}

int weir_http_output_flush(struct weir_http_output *out)
{
    if (out->is_flying || out->fill.len == 0) {
        return 0;
    }
    uv_buf_t all = uv_buf_init(out->fill.data, (unsigned)out->fill.len);
    int r = uv_try_write(out->stream, &all, 1);
    if (r < 0 && r != UV_EAGAIN) {
        return r;
    }
    size_t n_sent = r < 0 ? 0 : (size_t)r;
    if (n_sent < out->fill.len) {
        return take_off(out, n_sent);
    }
    out->n_taken += out->fill.len;
    weir_buf_reset(&out->fill);
    return 0;
}

uint64_t weir_http_output_stalled_ms(struct weir_http_output *out, uint64_t now_ms)
{
    size_t pending = weir_http_output_pending(out);
    uint64_t n_taken = out->n_given - pending;
    if (pending == 0 || n_taken != out->n_taken_seen || out->stall_start_ms == 0) {
        out->n_taken_seen = n_taken;
        out->stall_start_ms = now_ms;
        return 0;
    }
    return now_ms - out->stall_start_ms;
}
