/* SPDX-License-Identifier: Apache-2.0 */
/* Weights past 9 to some hundred tokens, in slices of 16, 32 or 64: every wave streams the records
 * of its own row tile, x is staged in shared memory for all eight. Weights become f16 in registers
 * (weight first, fragments.h).
 *
 * A block covers 8 row tiles (with glu 4 of each matrix) and one slice. Where that makes too few
 * blocks for the device, n_k_splits blocks share the records of a group of tiles; the last one that
 * is done adds up what all of them left in the workspace, always in the same order. */
#include "kernels/gpu.h"
#include "kernels/linear/epilogue.h"
#include "kernels/linear/fragments.h"
#include "kernels/linear/linear.h"

enum { WAVES = LINEAR_WAVES, X_PAD = 8, TILE_PAD = LINEAR_PAD, ROWS = LINEAR_ROWS };
enum { SHARED_GOAL = LANES == 32 ? 110 * 1024 : 64 * 1024 };

template <int KIND, int COLS> struct batch_shape {
    enum {
        X_STRIDE = matrix_kind<KIND>::K + X_PAD, /* f16 */
        X_BYTES = COLS * X_STRIDE * 2,
        STAGE = X_BYTES + WAVES * matrix_kind<KIND>::BYTES,
        FIT = SHARED_GOAL / STAGE,
        STAGES = FIT < 1   ? 1
                 : FIT > 4 ? 4
                           : FIT,
        N = COLS / FRAG_COLS
    };
};

/* x of the slice's tokens for one record's columns. */
template <int KIND, int COLS>
GPU_DEVICE void start_x(uint16_t *to, const struct weir_linear_kernel_args &args, uint32_t token,
                        uint32_t k)
{
    constexpr uint32_t CHUNKS = matrix_kind<KIND>::K / 8;
    for (uint32_t i = gpu_thread(); i < COLS * CHUNKS; i += WAVES * LANES) {
        uint32_t col = i / CHUNKS, at = i % CHUNKS * 8;
        bool take = token + col < args.a.n_tokens && k + at < args.a.w[0].n_cols;
        const uint16_t *from = args.a.x;
        if (take) {
            from += (size_t)(token + col) * args.a.x_stride + k + at;
        }
        gpu_cp_async16_or_zero(to + col * batch_shape<KIND, COLS>::X_STRIDE + at, from, take);
    }
}

template <int KIND, int COLS>
GPU_DEVICE void multiply(float acc[][4], const unsigned char *record, const uint16_t *x)
{
    row_scales<KIND> scales[FRAG_UNITS];
    GPU_UNROLL
    for (int u = 0; u < FRAG_UNITS; u++) {
        read_scales<KIND>(scales[u], record, unit_row(u));
    }
    high_words<KIND> high;
    read_high<KIND>(high, record);
    GPU_UNROLL
    for (int j = 0; j < matrix_kind<KIND>::BLOCKS; j++) {
        block_words<KIND> words;
        read_words<KIND>(words, record, j);
        uint32_t pairs[FRAG_UNITS][4];
        expand_halves<KIND>(pairs, words, high, j);
        weigh<KIND>(pairs, scales, j, 0);
        weigh<KIND>(pairs, scales, j, 1);
        GPU_UNROLL
        for (int n = 0; n < batch_shape<KIND, COLS>::N; n++) {
            uint32_t b[4];
            load_x_block(b, x + n * FRAG_COLS * batch_shape<KIND, COLS>::X_STRIDE + j * 32,
                         batch_shape<KIND, COLS>::X_STRIDE);
            frag_mma(acc[n], pairs, 0, b);
            frag_mma(acc[n], pairs, 1, b + 2);
        }
    }
}

/* The block's sums, [COLS][ROWS + TILE_PAD]. */
template <int COLS> GPU_DEVICE void collect(float *sums, const float acc[][4])
{
    gpu_sync(); /* the stages are free */
    GPU_UNROLL
    for (int n = 0; n < COLS / FRAG_COLS; n++) {
        GPU_UNROLL
        for (int i = 0; i < 4; i++) {
            sums[((uint32_t)n * FRAG_COLS + frag_col(i)) * (ROWS + TILE_PAD) +
                 gpu_wave() * WEIR_TILE_ROWS + frag_row(sum_row(i))] = acc[n][i];
        }
    }
    gpu_sync();
}

template <int KIND, int COLS> GPU_DEVICE void batch(const struct weir_linear_kernel_args &args)
{
    using shape = batch_shape<KIND, COLS>;
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES;
    constexpr int STAGES = shape::STAGES;
    GPU_SHARED(unsigned char, shared);
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t wave = gpu_wave(), token = gpu_block_y() * COLS;
    uint32_t matrix = glu ? wave / (WAVES / 2) : 0;
    uint32_t tile =
        glu ? gpu_block_x() * (WAVES / 2) + wave % (WAVES / 2) : gpu_block_x() * WAVES + wave;
    if (!glu) {
        linear_find(args, tile, &matrix, &tile);
    }
    bool has_tile = matrix < args.a.n_w && tile * WEIR_TILE_ROWS < args.a.w[matrix].n_rows;
    uint32_t n_records = args.a.w[0].n_records, step = args.n_k_splits, first = gpu_block_z();
    const unsigned char *records = nullptr;
    if (has_tile) {
        records = static_cast<const unsigned char *>(args.a.w[matrix].records) +
                  (size_t)tile * n_records * BYTES;
    }

    float acc[shape::N][4];
    GPU_UNROLL
    for (int n = 0; n < shape::N; n++) {
        acc[n][0] = acc[n][1] = acc[n][2] = acc[n][3] = 0.0f;
    }
    unsigned char *my_records = shared + shape::X_BYTES + wave * BYTES;
    GPU_UNROLL
    for (int s = 0; s < STAGES - 1; s++) {
        uint32_t r = first + (uint32_t)s * step;
        if (r < n_records) {
            start_x<KIND, COLS>(reinterpret_cast<uint16_t *>(shared + s * shape::STAGE), args,
                                token, r * matrix_kind<KIND>::K);
            if (has_tile) {
                start_record<KIND>(my_records + s * shape::STAGE, records + (size_t)r * BYTES);
            }
        }
        gpu_cp_async_commit();
    }
    uint32_t stage = 0;
    for (uint32_t r = first; r < n_records; r += step) {
        if constexpr (STAGES > 1) {
            gpu_cp_async_wait<STAGES - 2 < 0 ? 0 : STAGES - 2>();
        }
        gpu_sync(); /* this stage is there, the one before is free */
        uint32_t next = r + (STAGES - 1) * step;
        uint32_t free_stage = stage == 0 ? STAGES - 1 : stage - 1;
        if (next < n_records) {
            start_x<KIND, COLS>(reinterpret_cast<uint16_t *>(shared + free_stage * shape::STAGE),
                                args, token, next * matrix_kind<KIND>::K);
            if (has_tile) {
                start_record<KIND>(my_records + free_stage * shape::STAGE,
                                   records + (size_t)next * BYTES);
            }
        }
        gpu_cp_async_commit();
        if constexpr (STAGES == 1) {
            gpu_cp_async_wait<0>();
            gpu_sync();
        }
        if (has_tile) {
            multiply<KIND, COLS>(acc, my_records + stage * shape::STAGE,
                                 reinterpret_cast<uint16_t *>(shared + stage * shape::STAGE));
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    gpu_cp_async_wait<0>();
    float *sums = reinterpret_cast<float *>(shared);
    collect<COLS>(sums, acc);
    if (args.n_k_splits > 1 &&
        !linear_merge<COLS>(args, sums, gpu_block_y() * gpu_grid_x() + gpu_block_x())) {
        return;
    }
    linear_store_block<COLS>(args, sums, token);
}

#define BATCH(kind, k, quants, high, scales)                                                       \
    GPU_KERNEL_BOUNDS(weir_batch16_##kind, struct weir_linear_kernel_args, WAVES *LANES, 2)        \
    {                                                                                              \
        batch<WEIR_MATRIX_##kind, 16>(args);                                                       \
    }                                                                                              \
    GPU_KERNEL_BOUNDS(weir_batch32_##kind, struct weir_linear_kernel_args, WAVES *LANES, 2)        \
    {                                                                                              \
        batch<WEIR_MATRIX_##kind, 32>(args);                                                       \
    }                                                                                              \
    GPU_KERNEL_BOUNDS(weir_batch64_##kind, struct weir_linear_kernel_args, WAVES *LANES, 2)        \
    {                                                                                              \
        batch<WEIR_MATRIX_##kind, 64>(args);                                                       \
    }
WEIR_MATRIX_KINDS(BATCH)
