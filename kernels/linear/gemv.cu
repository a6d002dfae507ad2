/* SPDX-License-Identifier: Apache-2.0 */
/* Weights past one to eight tokens (sixteen on CDNA): bound by the bandwidth of the weights.
 *
 * A block of 8 waves takes 8 / n_k_splits row tiles of 16 rows; the waves of a tile take turns with
 * its records. A turn is n_k_splits neighbouring records, whose columns of x the block keeps in
 * shared memory; records and x come through a ring of stages there, three turns ahead of their use
 * on NVIDIA: about 100 KB in flight on a multiprocessor, three times what latency x bandwidth asks
 * for.
 * Even a single token goes through the matrix instructions: expanding a weight costs the same, and
 * their other columns are free (they repeat the last token). */
#include "kernels/gpu.h"
#include "kernels/linear/epilogue.h"
#include "kernels/linear/fragments.h"
#include "kernels/linear/linear.h"

enum { WAVES = LINEAR_WAVES, STAGES = LANES == 32 ? 3 : 2, X_PAD = 8 };

template <int KIND> struct gemv_shape {
    enum { X_STRIDE = matrix_kind<KIND>::K + X_PAD }; /* f16, of one token in one record */
};

/* x of all tokens for the records of a turn: [record][token][X_STRIDE]. */
template <int KIND>
GPU_DEVICE void start_x(uint16_t *to, const struct weir_linear_kernel_args &args, uint32_t turn)
{
    constexpr uint32_t CHUNKS = matrix_kind<KIND>::K / 8;
    uint32_t n_tokens = args.a.n_tokens, per_token = CHUNKS * args.n_k_splits;
    for (uint32_t token = 0; token < n_tokens; token++) {
        for (uint32_t i = gpu_thread(); i < per_token; i += WAVES * LANES) {
            uint32_t k = (turn * per_token + i) * 8;
            bool take = k < args.a.w[0].n_cols;
            const uint16_t *from = args.a.x;
            if (take) {
                from += (size_t)token * args.a.x_stride + k;
            }
            uint32_t row = i / CHUNKS * n_tokens + token;
            gpu_cp_async16_or_zero(to + row * gemv_shape<KIND>::X_STRIDE + i % CHUNKS * 8, from,
                                   take);
        }
    }
}

/* x of the lane's column for both halves of a block; columns behind the last token repeat it. */
template <int KIND> GPU_DEVICE void load_x(uint32_t b[4], const uint16_t *x, uint32_t n_tokens)
{
    constexpr uint32_t STRIDE = gemv_shape<KIND>::X_STRIDE;
#if defined(GPU_NV)
    uint32_t column = gpu_lane() % 8;
    column = column < n_tokens ? column : n_tokens - 1;
    gpu_ldmatrix_x4(b, x + column * STRIDE + gpu_lane() / 8 * 8);
#else
    uint32_t column = frag_x_col() < n_tokens ? frag_x_col() : n_tokens - 1;
    GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        b[i] = gpu_load<uint32_t>(x + column * STRIDE + (uint32_t)i * 8 + frag_t() * 2);
    }
#endif
}

/* acc += record * x, product first. */
template <int KIND>
GPU_DEVICE void multiply(float *acc, const unsigned char *record, const uint16_t *x,
                         uint32_t n_tokens)
{
    row_scales<KIND> scales[FRAG_ROWS];
    GPU_UNROLL
    for (int r = 0; r < FRAG_ROWS; r++) {
        read_scales<KIND>(scales[r], record, frag_row(r));
    }
    high_words<KIND> high;
    read_high<KIND>(high, record);
    const uint32_t one = 0x3C003C00u; /* 1.0 twice */
    const uint32_t ones[FRAG_UNITS][4] = {
        {one, one, one, one},
#if defined(GPU_NV)
        {one, one, one, one}
#endif
    };
    GPU_UNROLL
    for (int j = 0; j < matrix_kind<KIND>::BLOCKS; j++) {
        uint32_t b[4];
        load_x<KIND>(b, x + j * 32, n_tokens);
        block_words<KIND> words;
        read_words<KIND>(words, record, j);
        uint32_t pairs[FRAG_UNITS][4];
        expand<KIND>(pairs, words, high, j);
        if constexpr (KIND == WEIR_MATRIX_F16) {
            frag_mma(acc, pairs, 0, b);
            frag_mma(acc, pairs, 1, b + 2);
        } else if constexpr (centre<KIND>::ZERO != 0) {
            shift_to_centre<KIND>(pairs, 0);
            shift_to_centre<KIND>(pairs, 1);
            constexpr int PARTS = KIND == WEIR_MATRIX_Q6_K ? 2 : 1; /* with scales of their own */
            GPU_UNROLL
            for (int part = 0; part < PARTS; part++) {
                float c[4] = {0, 0, 0, 0};
                GPU_UNROLL
                for (int h = part; h < 2; h += PARTS) {
                    frag_mma(c, pairs, h, b + 2 * h);
                }
                GPU_UNROLL
                for (int i = 0; i < 4; i++) {
                    acc[i] += get_factor<KIND>(scales[sum_row(i)], j, part) * c[i];
                }
            }
        } else {
            float c[4] = {0, 0, 0, 0}, s[4] = {0, 0, 0, 0};
            frag_mma(c, pairs, 0, b);
            frag_mma(c, pairs, 1, b + 2);
            frag_mma(s, ones, 0, b);
            frag_mma(s, ones, 1, b + 2);
            GPU_UNROLL
            for (int i = 0; i < 4; i++) {
                uint32_t line = get_line<KIND>(scales[sum_row(i)], j);
                float mul = gpu_f16_low(line), off = gpu_f16_high(line) - 1024.0f * mul;
                acc[i] += mul * c[i] + off * s[i];
            }
        }
    }
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
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES;
    GPU_SHARED(unsigned char, shared);
    gpu_let_next_launch_start();
    uint32_t splits = args.n_k_splits, n_tokens = args.a.n_tokens;
    bool glu = args.a.glu != WEIR_GLU_NONE;
    uint32_t per_block = WAVES / splits / (glu ? 2 : 1);
    uint32_t first_tile = gpu_block_x() * per_block;
    uint32_t slot = gpu_wave() / splits, place = gpu_wave() % splits; /* in its tile, in the turn */
    uint32_t tile = first_tile + (glu ? slot % per_block : slot);
    uint32_t matrix = glu ? slot / per_block : 0;
    if (!glu) {
        linear_find(args, tile, &matrix, &tile);
    }
    bool has_tile = matrix < args.a.n_w && tile * WEIR_TILE_ROWS < args.a.w[matrix].n_rows;
    uint32_t n_records = args.a.w[0].n_records, n_turns = (n_records + splits - 1) / splits;
    const unsigned char *records = nullptr;
    if (has_tile) {
        records = static_cast<const unsigned char *>(args.a.w[matrix].records) +
                  ((size_t)tile * n_records + place) * BYTES;
    }
    /* The turns that this wave takes part in. */
    uint32_t my_turns =
        has_tile && place < n_records ? (n_records - place + splits - 1) / splits : 0;
    uint32_t x_bytes = splits * n_tokens * gemv_shape<KIND>::X_STRIDE * 2;
    uint32_t stage_bytes = x_bytes + WAVES * BYTES;
    unsigned char *my_stage = shared + x_bytes + gpu_wave() * BYTES;
    const uint32_t x_at = place * n_tokens * gemv_shape<KIND>::X_STRIDE;

    float acc[4] = {0, 0, 0, 0};
    for (uint32_t s = 0; s < STAGES - 1; s++) {
        if (s < my_turns) {
            start_record<KIND>(my_stage + s * stage_bytes, records + (size_t)s * splits * BYTES);
        }
    }
    gpu_wait_for_launch_ahead(); /* only weights were read so far */
    for (uint32_t s = 0; s < STAGES - 1; s++) {
        if (s < n_turns) {
            start_x<KIND>(reinterpret_cast<uint16_t *>(shared + s * stage_bytes), args, s);
        }
        gpu_cp_async_commit();
    }
    uint32_t stage = 0;
    for (uint32_t turn = 0; turn < n_turns; turn++) {
        gpu_cp_async_wait<STAGES - 2>();
        gpu_sync(); /* this stage is there, the one before is free */
        uint32_t next = turn + STAGES - 1,
                 free_at = (stage == 0 ? STAGES - 1 : stage - 1) * stage_bytes;
        if (next < my_turns) {
            start_record<KIND>(my_stage + free_at, records + (size_t)next * splits * BYTES);
        }
        if (next < n_turns) {
            start_x<KIND>(reinterpret_cast<uint16_t *>(shared + free_at), args, next);
        }
        gpu_cp_async_commit();
        if (turn < my_turns) {
            multiply<KIND>(acc, my_stage + stage * stage_bytes,
                           reinterpret_cast<uint16_t *>(shared + stage * stage_bytes) + x_at,
                           n_tokens);
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    gpu_cp_async_wait<0>();
    finish(args, acc, reinterpret_cast<float *>(shared), first_tile);
}

#define GEMV(kind, k, quants, high, scales)                                                        \
    GPU_KERNEL_EARLY(weir_gemv_##kind, struct weir_linear_kernel_args, WAVES *LANES,               \
                     WEIR_GEMV_BLOCKS(WEIR_MATRIX_##kind))                                         \
    {                                                                                              \
        gemv<WEIR_MATRIX_##kind>(args);                                                            \
    }
WEIR_MATRIX_KINDS(GEMV)
