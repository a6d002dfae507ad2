/* SPDX-License-Identifier: Apache-2.0 */
/* Weights past one to eight tokens (sixteen on CDNA): bound by the bandwidth of the weights.
 *
 * A wave takes a row tile of 16 rows and every n_k_splits-th record of it; a block of 8 waves takes
 * 8 / n_k_splits row tiles. Records come through a ring in shared memory, private to the wave:
 * three records of 2 KB and more in flight per wave and 16 waves on a multiprocessor are about 100
 * KB, three times what latency x bandwidth asks for. x comes through L1. Even a single token goes
 * through the matrix instructions: expanding a weight costs the same, and their other columns are
 * free. */
#include "kernels/gpu.h"
#include "kernels/linear/epilogue.h"
#include "kernels/linear/fragments.h"
#include "kernels/linear/linear.h"

enum { WAVES = 8, STAGES = LANES == 32 ? 4 : 2 };

/* x of the lane's column for the blocks of one record: x[j][h] is what half h of block j needs. */
template <int BLOCKS>
GPU_DEVICE void load_x(uint32_t x[BLOCKS][2][2], const uint16_t *column, uint32_t k,
                       uint32_t n_cols)
{
    GPU_UNROLL
    for (int j = 0; j < BLOCKS; j++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            GPU_UNROLL
            for (int i = 0; i < 2; i++) {
                uint32_t at = k + (uint32_t)(j * 32 + h * 16 + i * 8) + frag_t() * 2;
                x[j][h][i] = 0;
                if (column != nullptr && at < n_cols) {
                    x[j][h][i] = gpu_load<uint32_t>(column + at);
                }
            }
        }
    }
}

/* acc += record * x, product first. */
template <int KIND>
GPU_DEVICE void multiply(float *acc, const unsigned char *record,
                         const uint32_t x[matrix_kind<KIND>::BLOCKS][2][2])
{
    row_scales<KIND> scales[FRAG_ROWS];
    GPU_UNROLL
    for (int r = 0; r < FRAG_ROWS; r++) {
        read_scales<KIND>(scales[r], record, frag_row(r));
    }
    high_words<KIND> high;
    read_high<KIND>(high, record);
    const uint32_t ones[FRAG_UNITS][4] = {
        {0x3C003C00u, 0x3C003C00u, 0x3C003C00u, 0x3C003C00u},
#if defined(GPU_NV)
        {0x3C003C00u, 0x3C003C00u, 0x3C003C00u, 0x3C003C00u}
#endif
    };
    GPU_UNROLL
    for (int j = 0; j < matrix_kind<KIND>::BLOCKS; j++) {
        block_words<KIND> words;
        read_words<KIND>(words, record, j);
        uint32_t pairs[FRAG_UNITS][4];
        expand<KIND>(pairs, words, high, j);
        if constexpr (KIND == WEIR_MATRIX_F16) {
            frag_mma(acc, pairs, 0, x[j][0]);
            frag_mma(acc, pairs, 1, x[j][1]);
        } else if constexpr (centre<KIND>::ZERO != 0) {
            shift_to_centre<KIND>(pairs, 0);
            shift_to_centre<KIND>(pairs, 1);
            constexpr int PARTS = KIND == WEIR_MATRIX_Q6_K ? 2 : 1; /* with scales of their own */
            GPU_UNROLL
            for (int part = 0; part < PARTS; part++) {
                float c[4] = {0, 0, 0, 0};
                GPU_UNROLL
                for (int h = part; h < 2; h += PARTS) {
                    frag_mma(c, pairs, h, x[j][h]);
                }
                GPU_UNROLL
                for (int i = 0; i < 4; i++) {
                    acc[i] += get_factor<KIND>(scales[sum_row(i)], j, part) * c[i];
                }
            }
        } else {
            float c[4] = {0, 0, 0, 0}, s[4] = {0, 0, 0, 0};
            frag_mma(c, pairs, 0, x[j][0]);
            frag_mma(c, pairs, 1, x[j][1]);
            frag_mma(s, ones, 0, x[j][0]);
            frag_mma(s, ones, 1, x[j][1]);
            GPU_UNROLL
            for (int i = 0; i < 4; i++) {
                uint32_t line = get_line<KIND>(scales[sum_row(i)], j);
                float mul = gpu_f16_low(line), off = gpu_f16_high(line) - 1024.0f * mul;
                acc[i] += mul * c[i] + off * s[i];
            }
        }
    }
}

/* The wave's sums over its records of one row tile. */
template <int KIND>
GPU_DEVICE void stream_tile(float *acc, const struct weir_gpu_matrix &w, uint32_t tile,
                            const uint16_t *column, uint32_t first, uint32_t step,
                            unsigned char *ring)
{
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES;
    const unsigned char *records =
        static_cast<const unsigned char *>(w.records) + (size_t)tile * w.n_records * BYTES;
    GPU_UNROLL
    for (int s = 0; s < STAGES - 1; s++) {
        uint32_t r = first + (uint32_t)s * step;
        if (r < w.n_records) {
            start_record<KIND>(ring + (uint32_t)s * BYTES, records + (size_t)r * BYTES);
        }
        gpu_cp_async_commit();
    }
    gpu_wait_for_launch_ahead(); /* only weights were read so far */
    uint32_t stage = 0;
    for (uint32_t r = first; r < w.n_records; r += step) {
        uint32_t x[matrix_kind<KIND>::BLOCKS][2][2];
        load_x<matrix_kind<KIND>::BLOCKS>(x, column, r * matrix_kind<KIND>::K, w.n_cols);
        gpu_cp_async_wait<STAGES - 2>();
        gpu_syncwave(); /* other lanes copied the scales, and have read the stage that comes next */
        uint32_t next = r + (STAGES - 1) * step;
        if (next < w.n_records) {
            uint32_t free_stage = stage == 0 ? STAGES - 1 : stage - 1;
            start_record<KIND>(ring + free_stage * BYTES, records + (size_t)next * BYTES);
        }
        gpu_cp_async_commit();
        multiply<KIND>(acc, ring + stage * BYTES, x);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    gpu_cp_async_wait<0>();
}

/* Sums of all waves go to shared memory, then each thread adds up some numbers of y in the order of
 * the splits. With glu the first half of the block has the gate, the second what it multiplies. */
GPU_DEVICE void finish(const struct weir_linear_kernel_args &args, const float *acc, float *sums,
                       uint32_t first_tile)
{
    constexpr uint32_t TILE = WEIR_TILE_ROWS * FRAG_COLS;
    float *mine = sums + gpu_wave() * TILE;
    gpu_sync(); /* the ring is free */
    GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        mine[frag_col(i) * WEIR_TILE_ROWS + frag_row(sum_row(i))] = acc[i];
    }
    gpu_sync();
    uint32_t splits = args.n_k_splits;
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t n_groups = WAVES / splits / (glu ? 2 : 1); /* row tiles of the block */
    uint32_t n = n_groups * TILE;
    for (uint32_t e = gpu_thread(); e < n; e += gpu_block_threads()) {
        uint32_t group = e / TILE, in_tile = e % TILE;
        uint32_t token = in_tile / WEIR_TILE_ROWS, row = in_tile % WEIR_TILE_ROWS;
        if (token >= args.a.n_tokens) {
            continue;
        }
        float v = 0, up = 0;
        for (uint32_t s = 0; s < splits; s++) {
            v += sums[(group * splits + s) * TILE + in_tile];
        }
        if (glu) {
            for (uint32_t s = 0; s < splits; s++) {
                up += sums[((n_groups + group) * splits + s) * TILE + in_tile];
            }
        }
        linear_target target = linear_locate(args, first_tile + group, row);
        if (target.exists) {
            linear_store(args, target, token, v, up);
        }
    }
}

template <int KIND> GPU_DEVICE void gemv(const struct weir_linear_kernel_args &args)
{
    GPU_SHARED(unsigned char, shared);
    uint32_t splits = args.n_k_splits;
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t per_block = WAVES / splits / (glu ? 2 : 1);
    uint32_t first_tile = gpu_block_x() * per_block;
    uint32_t slot = gpu_wave() / splits;
    uint32_t tile = first_tile + (glu ? slot % per_block : slot);
    uint32_t matrix = glu ? slot / per_block : 0;
    uint32_t in_matrix = tile;
    if (!glu) {
        linear_find(args, tile, &matrix, &in_matrix);
    }
    gpu_let_next_launch_start();
    float acc[4] = {0, 0, 0, 0};
    const uint16_t *column = nullptr;
    if (frag_x_col() < args.a.n_tokens) {
        column = args.a.x + (size_t)frag_x_col() * args.a.x_stride;
    }
    if (matrix < args.a.n_w && in_matrix * WEIR_TILE_ROWS < args.a.w[matrix].n_rows) {
        stream_tile<KIND>(acc, args.a.w[matrix], in_matrix, column, gpu_wave() % splits, splits,
                          shared + gpu_wave() * STAGES * matrix_kind<KIND>::BYTES);
    }
    gpu_wait_for_launch_ahead(); /* also where the wave had no tile */
    finish(args, acc, reinterpret_cast<float *>(shared), first_tile);
}

#define GEMV(kind, k, quants, high, scales)                                                        \
    GPU_KERNEL_BOUNDS(weir_gemv_##kind, struct weir_linear_kernel_args, WAVES *LANES, 2)           \
    {                                                                                              \
        gemv<WEIR_MATRIX_##kind>(args);                                                            \
    }
WEIR_MATRIX_KINDS(GEMV)
