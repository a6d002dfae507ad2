/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_output.h"

enum { KEEP_BYTES = 4 * 1024 }; /* per idle connection */

void weir_http_output_init(struct weir_http_output *out, size_t max_pending_bytes)
{
    *out = (struct weir_http_output){.max_pending_bytes = max_pending_bytes};
    weir_buf_init(&out->fill,
                  2 * max_pending_bytes); /* as much may have left, and be in it still */
}

void weir_http_output_finish(struct weir_http_output *out)
{
    weir_buf_finish(&out->fill);
}

void weir_http_output_open(struct weir_http_output *out, struct weir_socket *socket,
                           struct weir_tls *tls)
{
    weir_buf_reset(&out->fill);
    *out = (struct weir_http_output){
        .socket = socket,
        .tls = tls,
        .fill = out->fill,
        .max_pending_bytes = out->max_pending_bytes,
    };
}

void weir_http_output_trim(struct weir_http_output *out)
{
    if (out->fill.cap > KEEP_BYTES) {
        weir_buf_finish(&out->fill);
    }
}

size_t weir_http_output_pending(const struct weir_http_output *out)
{
    return out->tls ? out->fill.len + out->n_sealed : out->fill.len - out->n_gone;
}

uint64_t weir_http_output_given(const struct weir_http_output *out)
{
    return out->n_taken + weir_http_output_pending(out);
}

uint64_t weir_http_output_taken(const struct weir_http_output *out)
{
    return out->n_taken;
}

size_t weir_http_output_room(const struct weir_http_output *out)
{
    size_t pending = weir_http_output_pending(out);
    return pending < out->max_pending_bytes ? out->max_pending_bytes - pending : 0;
}

static ssize_t send_off(struct weir_http_output *out, struct weir_buf *bytes)
{
    ssize_t n_sent = weir_socket_send_buf(out->socket, bytes, &out->n_gone);
    out->n_moved += n_sent > 0 ? (size_t)n_sent : 0;
    return n_sent;
}

static int flush_plain(struct weir_http_output *out)
{
    if (out->fill.len == 0) {
        return 0;
    }
    ssize_t n_sent = send_off(out, &out->fill);
    if (n_sent < 0) {
        return (int)n_sent;
    }
    out->n_taken += (size_t)n_sent;
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
        int r = sealed->len > 0 ? 0 : seal(out);
        if (r < 0 || sealed->len == 0) {
            return r;
        }
        ssize_t n_sent = send_off(out, sealed);
        if (n_sent < 0) {
            return (int)n_sent;
        }
        if (sealed->len > 0) {
            return 0;
        }
        out->n_taken += out->n_sealed;
        out->n_sealed = 0;
        if (sealed->cap > KEEP_BYTES) {
            weir_buf_finish(sealed);
        }
    }
}

int weir_http_output_flush(struct weir_http_output *out)
{
    if (weir_socket_is_waiting(out->socket)) {
        return 0;
    }
    return out->tls ? flush_tls(out) : flush_plain(out);
}

uint64_t weir_http_output_stalled_ms(struct weir_http_output *out, uint64_t now_ms)
{
    if (weir_http_output_pending(out) == 0 || out->n_moved != out->n_moved_seen ||
        out->stall_start_ms == 0) {
        out->n_moved_seen = out->n_moved;
        out->stall_start_ms = now_ms;
        return 0;
    }
    return now_ms - out->stall_start_ms;
}
