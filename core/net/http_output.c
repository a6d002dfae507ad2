/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_output.h"

#include "base/send.h"

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

void weir_http_output_open(struct weir_http_output *out, uv_stream_t *stream, struct weir_tls *tls,
                           weir_http_output_cb on_written)
{
    uv_os_fd_t fd;
    weir_buf_reset(&out->fill);
    weir_buf_reset(&out->flight);
    *out = (struct weir_http_output){
        .stream = stream,
        .fd = uv_fileno((uv_handle_t *)stream, &fd) < 0 ? -1 : fd,
        .tls = tls,
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

/* Bytes that libuv still holds. */
static size_t waiting(const struct weir_http_output *out)
{
    return out->is_flying ? uv_stream_get_write_queue_size(out->stream) : 0;
}

size_t weir_http_output_pending(const struct weir_http_output *out)
{
    if (out->tls) {
        return out->fill.len + out->n_sealed + (out->is_flying ? out->n_plain : 0);
    }
    return out->fill.len + waiting(out);
}

uint64_t weir_http_output_taken(const struct weir_http_output *out)
{
    bool counts = out->is_flying && !out->tls; /* a record counts when all of it has left */
    return out->n_taken + (counts ? out->n_flying - waiting(out) : 0);
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
    if (status >= 0) {
        out->n_taken += out->tls ? out->n_plain : out->n_flying;
    }
    weir_buf_reset(&out->flight);
    out->on_written(out, status);
}

/* Hands `bytes`, without the first n_sent, to uv_write; leaves an empty buffer in its place. */
static int take_off(struct weir_http_output *out, struct weir_buf *bytes, size_t n_sent)
{
    size_t max_bytes = bytes->max_bytes;
    struct weir_buf emptied = out->flight;
    out->flight = *bytes;
    *bytes = emptied;
    bytes->max_bytes = max_bytes;

    uv_buf_t rest = uv_buf_init(out->flight.data + n_sent, (unsigned)(out->flight.len - n_sent));
    out->write.data = out;
    out->n_flying = rest.len;
    int r = uv_write(&out->write, out->stream, &rest, 1, on_write);
    out->is_flying = r == 0;
    return r;
}

static int flush_plain(struct weir_http_output *out)
{
    if (out->fill.len == 0) {
        return 0;
    }
    ssize_t n_sent = weir_send(out->fd, out->fill.data, out->fill.len);
    if (n_sent < 0) {
        return (int)n_sent;
    }
    out->n_taken += (size_t)n_sent;
    if ((size_t)n_sent < out->fill.len) {
        return take_off(out, &out->fill, (size_t)n_sent);
    }
    weir_buf_reset(&out->fill);
    return 0;
}

/* Fills the TLS output up to a few records, so that one system call takes much. */
static int seal(struct weir_http_output *out)
{
    enum { SEAL_BYTES = 64 * 1024 };
    const struct weir_buf *sealed = weir_tls_output(out->tls);
    size_t done = 0, n = 1;
    while (n > 0 && done < out->fill.len && sealed->len < SEAL_BYTES) {
        if (weir_tls_write(out->tls, out->fill.data + done, out->fill.len - done, &n) < 0) {
            return UV_EPROTO;
        }
        done += n;
    }
    weir_buf_consume(&out->fill, done);
    out->n_sealed += done;
    return 0;
}

static int flush_tls(struct weir_http_output *out)
{
    struct weir_buf *sealed = weir_tls_output(out->tls);
    for (;;) {
        int r = seal(out);
        if (r < 0 || sealed->len == 0) {
            return r;
        }
        ssize_t n_sent = weir_send(out->fd, sealed->data, sealed->len);
        if (n_sent < 0) {
            return (int)n_sent;
        }
        if ((size_t)n_sent < sealed->len) {
            out->n_plain = out->n_sealed;
            out->n_sealed = 0;
            return take_off(out, sealed, (size_t)n_sent);
        }
        out->n_taken += out->n_sealed;
        out->n_sealed = 0;
        if (sealed->cap > KEEP_BYTES) {
            weir_buf_finish(sealed);
        }
        weir_buf_reset(sealed);
    }
}

int weir_http_output_flush(struct weir_http_output *out)
{
    if (out->is_flying) {
        return 0;
    }
    return out->tls ? flush_tls(out) : flush_plain(out);
}

uint64_t weir_http_output_stalled_ms(struct weir_http_output *out, uint64_t now_ms)
{
    uint64_t n_moved = out->n_taken + (out->is_flying ? out->n_flying - waiting(out) : 0);
    if (weir_http_output_pending(out) == 0 || n_moved != out->n_taken_seen ||
        out->stall_start_ms == 0) {
        out->n_taken_seen = n_moved;
        out->stall_start_ms = now_ms;
        return 0;
    }
    return now_ms - out->stall_start_ms;
}
