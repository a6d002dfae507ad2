/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/pack.h"

#include <sys/mman.h>
#include <unistd.h>

enum { SLICE_BYTES = 16 << 20 };

struct slice {
    struct weir_cpu_matrix *matrix;
    uint32_t begin, end; /* tiles */
    uint32_t n_threads;
};

static void pack_share(void *arg, uint32_t thread)
{
    const struct slice *s = arg;
    uint64_t n = s->end - s->begin;
    weir_cpu_matrix_pack(s->matrix, s->begin + (uint32_t)(n * thread / s->n_threads),
                         s->begin + (uint32_t)(n * (thread + 1) / s->n_threads));
}

/* Gives back the whole pages of [begin, end); a later read would fetch them from the file again. */
static void drop_bytes(const uint8_t *begin, const uint8_t *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)begin + page - 1) & ~(page - 1);
    uintptr_t last = (uintptr_t)end & ~(page - 1);
    if (first < last) {
        madvise((void *)first, last - first, MADV_DONTNEED);
    }
}

static void drop_source(const struct slice *s)
{
    const uint32_t tile_rows = s->matrix->isa->tile_rows;
    for (uint32_t i = 0; i < s->matrix->n_segments; i++) {
        const struct weir_cpu_segment *seg = &s->matrix->segments[i];
        uint32_t begin = s->begin > seg->tile_begin ? s->begin - seg->tile_begin : 0;
        uint32_t end = s->end > seg->tile_begin ? s->end - seg->tile_begin : 0;
        end = end < seg->n_tiles ? end : seg->n_tiles;
        if (begin < end) {
            size_t last_row = (size_t)end * tile_rows;
            last_row = last_row < seg->n_rows ? last_row : seg->n_rows;
            drop_bytes(seg->source + (size_t)begin * tile_rows * seg->source_row_bytes,
                       seg->source + last_row * seg->source_row_bytes);
        }
    }
}

int weir_cpu_pack(struct weir_cpu_matrix *matrices, uint32_t n_matrices, struct weir_cpu_pool *pool,
                  int (*progress)(void *arg, float fraction), void *progress_arg)
{
    size_t total_bytes = 0;
    size_t done_bytes = 0;
    for (uint32_t i = 0; i < n_matrices; i++) {
        total_bytes += matrices[i].size_bytes;
    }
    for (uint32_t i = 0; i < n_matrices; i++) {
        struct weir_cpu_matrix *m = &matrices[i];
        uint32_t n_slices = (uint32_t)(m->size_bytes / SLICE_BYTES) + 1;
        for (uint32_t k = 0; k < n_slices; k++) {
            struct slice slice = {m, weir_cpu_matrix_split(m, k, n_slices),
                                  weir_cpu_matrix_split(m, k + 1, n_slices),
                                  weir_cpu_pool_size(pool)};
            weir_cpu_pool_run(pool, pack_share, &slice);
            drop_source(&slice);
            float part = (float)(k + 1) / (float)n_slices * (float)m->size_bytes;
            if (progress &&
                progress(progress_arg, ((float)done_bytes + part) / (float)total_bytes) != 0) {
                return WEIR_E_CANCELLED;
            }
        }
        done_bytes += m->size_bytes;
        for (uint32_t k = 0; k < m->n_segments; k++) {
            m->segments[k].source = NULL;
        }
    }
    return 0;
}
