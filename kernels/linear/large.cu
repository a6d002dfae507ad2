/* SPDX-License-Identifier: Apache-2.0 */
/* Weights past hundreds and thousands of tokens, on Hopper: bound by the tensor cores.
 *
 * A block covers 128 rows (8 row tiles; with glu 4 of each matrix) and COLS tokens, 64 columns of x
 * at a time. Weights are expanded in registers, straight into the A operand of wgmma: no copy of
 * them in f16 exists anywhere, and while one step is multiplied the next one is expanded. x comes
 * through four stages of shared memory, swizzled, asynchronously; records through a ring of each
 * wave's own.
 * With few tokens blocks share records, as in batch.cu. A weight costs two instructions of 32 lanes
 * for COLS products, a tenth of what the tensor cores take for them at COLS = 256. */
#include "kernels/target/wgmma.h"

#include "kernels/linear/epilogue.h"
#include "kernels/linear/fragments.h"
#include "kernels/linear/linear.h"

#if defined(GPU_HAS_WGMMA)

enum { WAVES = LINEAR_WAVES, STEP_K = 64, X_STAGES = 4 };

template <int KIND, int COLS> struct large_shape {
    enum {
        STEPS = matrix_kind<KIND>::K / STEP_K,
        X_BYTES = COLS * STEP_K * 2,
        /* A record must be there one step before its first use, two steps after it was asked for.
         */
        AHEAD = STEPS >= 4   ? (COLS > 64 ? 1 : 2)
                : STEPS == 2 ? 2
                             : 3,
        RING = AHEAD + 1
    };
};

/* What a thread brings of x: 8 columns of every 32nd token. Tokens behind the last repeat it. */
struct large_x {
    const uint16_t *from; /* of its first token, first step */
    uint32_t to;          /* bytes into the stage */
    uint32_t column, token;
};

GPU_DEVICE large_x find_x(const struct weir_linear_kernel_args &args, uint32_t token)
{
    uint32_t col = gpu_thread() / 8, c = gpu_thread() % 8;
    return {args.a.x + c * 8, col * 128 + (c ^ col % 8) * 16, c * 8, token + col};
}

/* 64 columns from k of COLS tokens. */
template <int COLS>
GPU_DEVICE void start_x(unsigned char *stage, const struct weir_linear_kernel_args &args,
                        const large_x &x, uint32_t k)
{
    enum { AT_ONCE = WAVES * LANES / 8 };
    uint32_t last = args.a.n_tokens - 1;
    bool take = k + x.column < args.a.w[0].n_cols;
    const uint16_t *from = take ? x.from + k : args.a.x;
    GPU_UNROLL
    for (uint32_t i = 0; i < COLS / AT_ONCE; i++) {
        uint32_t token = x.token + i * AT_ONCE;
        token = token < last ? token : last;
        gpu_cp_async16_or_zero(stage + x.to + i * AT_ONCE * 128,
                               from + (size_t)token * args.a.x_stride, take);
    }
}

/* Weights of 64 columns, step `step` of the record: a[s] for 16 columns each. */
template <int KIND>
GPU_DEVICE void expand_step(uint32_t a[4][4], const unsigned char *record, int step)
{
    row_scales<KIND> scales[FRAG_UNITS];
    GPU_UNROLL
    for (int u = 0; u < FRAG_UNITS; u++) {
        read_scales<KIND>(scales[u], record, unit_row(u));
    }
    high_words<KIND> high;
    read_high<KIND>(high, record);
    GPU_UNROLL
    for (int b = 0; b < 2; b++) {
        int j = step * 2 + b;
        block_words<KIND> words;
        read_words<KIND>(words, record, j);
        uint32_t pairs[FRAG_UNITS][4];
        expand_halves<KIND>(pairs, words, high, j);
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            weigh<KIND>(pairs, scales, j, h);
            a[2 * b + h][0] = pairs[0][2 * h];
            a[2 * b + h][1] = pairs[1][2 * h];
            a[2 * b + h][2] = pairs[0][2 * h + 1];
            a[2 * b + h][3] = pairs[1][2 * h + 1];
        }
    }
}

GPU_DEVICE void clear_step(uint32_t a[4][4])
{
    GPU_UNROLL
    for (int i = 0; i < 16; i++) {
        a[i / 4][i % 4] = 0;
    }
}

/* The first column of a block's step. */
template <int KIND> GPU_DEVICE uint32_t step_column(uint32_t step, uint32_t first, uint32_t splits)
{
    constexpr uint32_t STEPS = matrix_kind<KIND>::K / STEP_K;
    return (first + step / STEPS * splits) * matrix_kind<KIND>::K + step % STEPS * STEP_K;
}

/* The matrix of a wave, and which of its tiles. */
GPU_DEVICE void find_tile(const struct weir_linear_kernel_args &args, uint32_t wave,
                          uint32_t *matrix, uint32_t *tile)
{
    bool glu = args.a.glu != WEIR_GLU_NONE;
    *matrix = glu ? wave / (WAVES / 2) : 0;
    *tile = glu ? gpu_block_x() * (WAVES / 2) + wave % (WAVES / 2) : gpu_block_x() * WAVES + wave;
    if (!glu) {
        linear_find(args, *tile, matrix, tile);
    }
}

/* acc += a x for a step; x is in use until gpu_wgmma_wait<0>(). */
template <int COLS>
GPU_DEVICE void start_product(float *acc, const uint32_t a[4][4], const unsigned char *x)
{
    gpu_wgmma_fence();
    GPU_UNROLL
    for (int s = 0; s < 4; s++) {
        gpu_wgmma<COLS>(acc, a[s], x, (uint32_t)s);
    }
    gpu_wgmma_commit();
}

template <int COLS> GPU_DEVICE void put_sums(float *sums, const float *acc, uint32_t wave)
{
    GPU_UNROLL
    for (int i = 0; i < COLS / 2; i++) {
        uint32_t col = (uint32_t)(i / 4) * 8 + frag_col(i % 4);
        sums[col * (LINEAR_ROWS + LINEAR_PAD) + wave * WEIR_TILE_ROWS + frag_row(sum_row(i % 4))] =
            acc[i];
    }
}

template <int KIND, int COLS> GPU_DEVICE void large(const struct weir_linear_kernel_args &args)
{
    using shape = large_shape<KIND, COLS>;
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES;
    constexpr int STEPS = shape::STEPS, RECORDS = 4 / STEPS; /* per turn of the loop */
    GPU_SHARED(unsigned char, shared);
    uint32_t wave = gpu_wave(), token = gpu_block_y() * COLS, matrix, tile;
    find_tile(args, wave, &matrix, &tile);
    bool has_tile = matrix < args.a.n_w && tile * WEIR_TILE_ROWS < args.a.w[matrix].n_rows;
    /* Of the records that the block takes: every n_k_splits-th. */
    uint32_t splits = args.n_k_splits, first = gpu_block_z();
    uint32_t n_all = args.a.w[0].n_records, n_records = (n_all - first + splits - 1) / splits;
    uint32_t n_steps = n_records * STEPS;
    const unsigned char *records = nullptr;
    if (has_tile) {
        records = static_cast<const unsigned char *>(args.a.w[matrix].records) +
                  ((size_t)tile * n_all + first) * BYTES;
    }
    const size_t stride = (size_t)splits * BYTES; /* from record to record */
    unsigned char *ring = shared + X_STAGES * shape::X_BYTES + wave * shape::RING * BYTES;

    gpu_let_next_launch_start();
    float acc[COLS / 2];
    uint32_t a[2][4][4];
    GPU_UNROLL
    for (int i = 0; i < COLS / 2; i++) {
        acc[i] = 0.0f;
    }
    clear_step(a[0]);
    for (uint32_t r = 0; r < shape::AHEAD && r < n_records && has_tile; r++) {
        start_record<KIND>(ring + r * BYTES, records + r * stride);
    }
    gpu_wait_for_launch_ahead(); /* only weights were read so far */
    const large_x x = find_x(args, token);
    start_x<COLS>(shared, args, x, step_column<KIND>(0, first, splits));
    gpu_cp_async_commit();
    start_x<COLS>(shared + shape::X_BYTES, args, x, step_column<KIND>(1, first, splits));
    gpu_cp_async_commit();
    gpu_cp_async_wait<1>();
    gpu_sync();
    if (has_tile) {
        expand_step<KIND>(a[0], ring, 0);
    }
    /* A turn has no branch around a product: the compiler would wait for each. What is behind the
     * last record is zero times zero. */
    for (uint32_t r = 0; r < n_records; r += RECORDS) {
        GPU_UNROLL
        for (int q = 0; q < RECORDS * STEPS; q++) {
            const int step = q % STEPS;
            uint32_t record = r + (uint32_t)(q / STEPS), at = r * STEPS + (uint32_t)q;
            gpu_cp_async_wait<1>();
            gpu_fence_async();
            gpu_sync(); /* this step's x is there, and nobody needs the step before the last */
            start_product<COLS>(acc, a[q % 2], shared + at % X_STAGES * shape::X_BYTES);
            if (q > 0) {
                /* This product is behind the last one in the tensor cores' queue, so that they
                 * never wait for what follows; that one's operands are free now. */
                gpu_wgmma_wait<1>();
            }
            start_x<COLS>(shared + (at + 2) % X_STAGES * shape::X_BYTES, args, x,
                          step_column<KIND>(at + 2, first, splits));
            uint32_t next = record + shape::AHEAD;
            if (step == 0 && next < n_records && has_tile) {
                start_record<KIND>(ring + next % shape::RING * BYTES, records + next * stride);
            }
            gpu_cp_async_commit();
            if (at + 1 < n_steps && has_tile) {
                uint32_t from = step + 1 < STEPS ? record : record + 1;
                expand_step<KIND>(a[(q + 1) % 2], ring + from % shape::RING * BYTES,
                                  (step + 1) % STEPS);
            } else {
                clear_step(a[(q + 1) % 2]);
            }
        }
        gpu_wgmma_wait<0>(); /* sums change their registers here */
    }
    gpu_cp_async_wait<0>();
    gpu_sync();
    float *sums = reinterpret_cast<float *>(shared);
    put_sums<COLS>(sums, acc, wave);
    gpu_sync();
    if (splits > 1 &&
        !linear_merge<COLS>(args, sums, gpu_block_y() * gpu_grid_x() + gpu_block_x())) {
        return;
    }
    linear_store_block<COLS>(args, sums, token);
}

#define LARGE_OF(kind, cols, blocks)                                                               \
    GPU_KERNEL_EARLY(weir_large##cols##_##kind, struct weir_linear_kernel_args, WAVES *LANES,      \
                     blocks)                                                                       \
    {                                                                                              \
        large<WEIR_MATRIX_##kind, cols>(args);                                                     \
    }
#define LARGE(kind, k, quants, high, scales)                                                       \
    LARGE_OF(kind, 32, 2) LARGE_OF(kind, 64, 2) LARGE_OF(kind, 128, 1) LARGE_OF(kind, 256, 1)
WEIR_MATRIX_KINDS(LARGE)

#endif
