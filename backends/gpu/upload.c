/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/gpu/upload.h"

#include <string.h>

int weir_gpu_upload_open(struct weir_gpu_upload *u, struct weir_gpu_device *d)
{
    *u = (struct weir_gpu_upload){.device = d};
    int rc = 0;
    for (int i = 0; rc >= 0 && i < 2; i++) {
        rc = d->api->host_alloc(d->context, WEIR_GPU_SLICE_BYTES, &u->slots[i].host);
        rc = rc < 0 ? rc : d->api->event_create(d->context, &u->slots[i].event);
    }
    if (rc < 0) {
        weir_gpu_upload_close(u);
    }
    return rc;
}

void weir_gpu_upload_close(struct weir_gpu_upload *u)
{
    struct weir_gpu_device *d = u->device;
    for (int i = 0; d && i < 2; i++) {
        d->api->event_destroy(u->slots[i].event);
        d->api->host_release(d->context, u->slots[i].host);
    }
    *u = (struct weir_gpu_upload){0};
}

static int wait_slot(struct weir_gpu_upload *u, uint32_t slot)
{
    if (!u->slots[slot].is_busy) {
        return 0;
    }
    u->slots[slot].is_busy = false;
    return u->device->api->event_sync(u->slots[slot].event);
}

int weir_gpu_upload_begin(struct weir_gpu_upload *u, void **ret_host)
{
    *ret_host = u->slots[u->next].host;
    return wait_slot(u, u->next);
}

int weir_gpu_upload_end(struct weir_gpu_upload *u, void *to, size_t n_bytes)
{
    const struct weir_gpu_api *api = u->device->api;
    int rc = api->copy_to_device(u->device->stream, to, u->slots[u->next].host, n_bytes);
    rc = rc < 0 ? rc : api->event_record(u->slots[u->next].event, u->device->stream);
    u->slots[u->next].is_busy = rc >= 0;
    u->next ^= 1;
    return rc;
}

int weir_gpu_upload_flush(struct weir_gpu_upload *u)
{
    int rc = wait_slot(u, 0);
    return rc < 0 ? rc : wait_slot(u, 1);
}

int weir_gpu_upload_bytes(struct weir_gpu_upload *u, void *to, const void *from, size_t n_bytes)
{
    int rc = 0;
    for (size_t done = 0; rc >= 0 && done < n_bytes;) {
        size_t n = n_bytes - done < WEIR_GPU_SLICE_BYTES ? n_bytes - done : WEIR_GPU_SLICE_BYTES;
        void *host = NULL;
        rc = weir_gpu_upload_begin(u, &host);
        if (rc >= 0) {
            memcpy(host, (const uint8_t *)from + done, n);
            rc = weir_gpu_upload_end(u, (uint8_t *)to + done, n);
        }
        done += n;
    }
    return rc;
}
