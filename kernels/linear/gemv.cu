/* SPDX-License-Identifier: Apache-2.0 */
/* Weights past one to four tokens, F16 to eight (CDNA: twice as many): bound by the bandwidth of the weights, if the
 * instructions for each of them are few.
 *
 * A block of 8 waves takes 8 / n_k_splits row tiles of 16 rows; the waves of a tile take turns with
 * its records, n_k_splits neighbouring ones in a turn. Records come through a ring of each wave's
 * own, which no other wave waits for. x of all columns is there before the first turn where it fits,
 * else in parts of n_x_turns turns, one ahead of its use; only its coming makes waves wait for each
 * other.
 *
 * Even a single token goes through the matrix instructions, whose other columns would be idle. They
 * hold further blocks of the same record instead: for the product with block j all columns are zero
 * but that of j, so that column j of the sums is block j's alone. So a lane has to scale sums once
 * for GROUPS blocks and not for each, and reads the scales of its own column only. What stored
 * numbers are too large (fragments.h) is taken off in the same sums, by one more product with the
 * columns all filled. */
#include "kernels/gpu.h"
#include "kernels/linear/epilogue.h"
#include "kernels/linear/fragments.h"
#include "kernels/linear/linear.h"

enum { WAVES = LINEAR_WAVES, STAGES = LANES == 32 ? 3 : 2, X_PAD = 8 };
enum { ZEROS = 256 }; /* f16 before x: what a column has for other columns' blocks */

/* For up to TOKENS tokens. F16 has no scales, so that its blocks share a column. */
template <int KIND, int TOKENS> struct gemv_shape {
    enum {
        BLOCKS = matrix_kind<KIND>::BLOCKS,
        FREE = FRAG_COLS / TOKENS,
        GROUPS = KIND == WEIR_MATRIX_F16 ? 1
                 : FREE < BLOCKS         ? FREE
                                         : BLOCKS,
        TILE = WEIR_TILE_ROWS * (FRAG_COLS / GROUPS) /* sums of a wave */
    };
};

/* Where a lane finds its column's x: bytes from the start of shared memory. */
struct gemv_lane {
    uint32_t x, zero; /* x: of the part's first column */
    uint32_t sub;     /* the block of GROUPS that its column is for */
};

/* Word i of a lane's x belongs to pair x_pair(i), so that words 2 h and 2 h + 1 are half h's. */
template <int KIND> GPU_DEVICE constexpr uint32_t x_pair(uint32_t i)
{
    return (uint32_t)half_pair<KIND>((int)i / 2, (int)i % 2);
}

template <int KIND, int GROUPS>
GPU_DEVICE gemv_lane find_lane(uint32_t n_tokens, uint32_t x_stride)
{
#if defined(GPU_NV)
    uint32_t column = gpu_lane() % 8, k = x_pair<KIND>(gpu_lane() / 8) * 8;
#else
    uint32_t column = frag_x_col(), k = frag_t() * 2;
#endif
    uint32_t token = column / GROUPS;
    token = token < n_tokens ? token : n_tokens - 1;
    return {(ZEROS + token * x_stride + k) * 2, k * 2, column % GROUPS};
}

/* x of the lane's column for both halves of a block. */
template <int KIND> GPU_DEVICE void load_x(uint32_t b[4], const unsigned char *from)
{
#if defined(GPU_NV)
    gpu_ldmatrix_x4(b, from);
#else
    GPU_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        b[i] = gpu_load<uint32_t>(from + x_pair<KIND>(i) * 16);
    }
#endif
}

/* x of all tokens for part `part`: [token][x_stride]. */
template <int KIND>
GPU_DEVICE void start_x(uint16_t *to, const struct weir_linear_kernel_args &args, uint32_t part)
{
    uint32_t chunks = args.n_x_turns * args.n_k_splits * matrix_kind<KIND>::K / 8;
    for (uint32_t token = 0; token < args.a.n_tokens; token++) {
        const uint16_t *row = args.a.x + (size_t)token * args.a.x_stride;
        for (uint32_t i = gpu_thread(); i < chunks; i += WAVES * LANES) {
            uint32_t k = (part * chunks + i) * 8;
            bool take = k < args.a.w[0].n_cols;
            gpu_cp_async16_or_zero(to + token * (chunks * 8 + X_PAD) + i * 8,
                                   take ? row + k : args.a.x, take);
        }
    }
}

/* acc += a * b for a whole block whose sums need no scale. */
template <int KIND>
GPU_DEVICE void multiply_plain(float *acc, const unsigned char *record,
                               const unsigned char *shared,
                               const gemv_lane &lane, uint32_t x_at)
{
    high_words<KIND> none;
    GPU_UNROLL
    for (int j = 0; j < matrix_kind<KIND>::BLOCKS; j++) {
        uint32_t b[4], pairs[FRAG_UNITS][4];
        load_x<KIND>(b, shared + lane.x + x_at + j * 64);
        block_words<KIND> words;
        read_words<KIND>(words, record, j);
        expand<KIND>(pairs, words, none, j);
        frag_mma(acc, pairs, 0, b);
        frag_mma(acc, pairs, 1, b + 2);
    }
}

/* All pairs the same number, f16. */
GPU_DEVICE void fill_pairs(uint32_t pairs[FRAG_UNITS][4], uint32_t f16)
{
    GPU_UNROLL
    for (int u = 0; u < FRAG_UNITS; u++) {
        GPU_UNROLL
        for (int p = 0; p < 4; p++) {
            pairs[u][p] = f16 << 16 | f16;
        }
    }
}

/* acc += record * x, product first. x_at: of the record's first column in the
 * part, in bytes. */
template <int KIND, int TOKENS>
GPU_DEVICE void multiply(float *acc, const unsigned char *record,
                               const unsigned char *shared,
                         const gemv_lane &lane, uint32_t x_at)
{
    constexpr int GROUPS = gemv_shape<KIND, TOKENS>::GROUPS;
    /* -(1024 + ZERO), -(1024 + 16 ZERO): steps of f16 are 1 there. */
    constexpr uint32_t SHIFT0 = 0xE400u + centre<KIND>::ZERO,
                       SHIFT1 = 0xE400u + centre<KIND>::ZERO * halves<KIND>::TIMES;
    constexpr bool HAS_OFFSET = centre<KIND>::ZERO == 0;
    high_words<KIND> high;
    read_high<KIND>(high, record);
    GPU_UNROLL
    for (int first = 0; first < matrix_kind<KIND>::BLOCKS; first += GROUPS) {
        float c[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}}, s[4] = {0, 0, 0, 0};
        uint32_t b[4], pairs[FRAG_UNITS][4];
        load_x<KIND>(b, shared + lane.x + x_at + ((uint32_t)first + lane.sub) * 64);
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            fill_pairs(pairs, h == 0 ? SHIFT0 : SHIFT1);
            frag_mma_of(c[h], pairs, half_pair<KIND>(h, 0), half_pair<KIND>(h, 1),
                        b + 2 * h);
        }
        if constexpr (HAS_OFFSET) {
            fill_pairs(pairs, 0x3C00u);
            frag_mma(s, pairs, 0, b);
            frag_mma(s, pairs, 1, b + 2);
        }
        GPU_UNROLL
        for (int j = first; j < first + GROUPS; j++) {
            bool mine = lane.sub == (uint32_t)(j - first);
            load_x<KIND>(b, shared + (mine ? lane.x + x_at : lane.zero) + j * 64);
            block_words<KIND> words;
            read_words<KIND>(words, record, j);
            expand_halves<KIND>(pairs, words, high, j);
            GPU_UNROLL
            for (int h = 0; h < 2; h++) {
                frag_mma_of(c[h], pairs, half_pair<KIND>(h, 0), half_pair<KIND>(h, 1),
                        b + 2 * h);
            }
        }
        GPU_UNROLL
        for (int i = 0; i < 4; i++) {
            uint32_t block = (uint32_t)first + frag_col(i) % GROUPS, row = frag_row(sum_row(i));
            float mul, off;
            load_line<KIND>(&mul, &off, record, row, block, 0);
            if constexpr (KIND == WEIR_MATRIX_Q6_K) {
                float second;
                load_line<KIND>(&second, &off, record, row, block, 1);
                acc[i] += mul * c[0][i] + second * c[1][i];
            } else {
                acc[i] += mul * (c[0][i] + c[1][i] * (1.0f / halves<KIND>::TIMES));
                if constexpr (HAS_OFFSET) {
                    acc[i] += off * s[i];
                }
            }
        }
    }
}

/* Adds up the columns of a token, then in shared memory those of all waves: [wave][token][row],
 * where each thread takes some numbers of y, in the order of the splits. With glu the first half of
 * the block has the gate, the second what it multiplies. */
template <int GROUPS>
GPU_DEVICE void finish(const struct weir_linear_kernel_args &args, float *acc, float *sums,
                       uint32_t first_tile)
{
    constexpr uint32_t TILE = WEIR_TILE_ROWS * (FRAG_COLS / GROUPS);
    if constexpr (GROUPS > 1) {
#if defined(GPU_NV)
        acc[0] += acc[1];
        acc[2] += acc[3];
        constexpr int LANES_OF_TOKEN = GROUPS / 2;
#else
        constexpr int LANES_OF_TOKEN = GROUPS;
#endif
        GPU_UNROLL
        for (int m = 1; m < LANES_OF_TOKEN; m *= 2) {
            GPU_UNROLL
            for (int i = 0; i < 4; i++) {
                acc[i] += gpu_shfl_xor(acc[i], m);
            }
        }
    }
    float *mine = sums + gpu_wave() * TILE;
    gpu_sync(); /* rings and x are free */
    GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        if (frag_col(i) % GROUPS == 0) {
            mine[frag_col(i) / GROUPS * WEIR_TILE_ROWS + frag_row(sum_row(i))] = acc[i];
        }
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

template <int KIND, int TOKENS> GPU_DEVICE void gemv(const struct weir_linear_kernel_args &args)
{
    constexpr uint32_t BYTES = matrix_kind<KIND>::BYTES, K = matrix_kind<KIND>::K;
    constexpr int GROUPS = gemv_shape<KIND, TOKENS>::GROUPS;
    GPU_SHARED(unsigned char, shared);
    uint16_t *x = reinterpret_cast<uint16_t *>(shared) + ZEROS;
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
    const uint32_t stride = splits * BYTES; /* from turn to turn */
    /* The turns that this wave takes part in. */
    uint32_t my_turns =
        has_tile && place < n_records ? (n_records - place + splits - 1) / splits : 0;
    const uint32_t x_turns = args.n_x_turns, x_stride = x_turns * splits * K + X_PAD;
    const uint32_t x_part = n_tokens * x_stride;
    const bool x_whole = x_turns >= n_turns;
    unsigned char *ring = reinterpret_cast<unsigned char *>(x + (x_whole ? 1 : 2) * x_part) +
                          gpu_wave() * (STAGES * BYTES);
    const gemv_lane lane = find_lane<KIND, GROUPS>(n_tokens, x_stride);

    float acc[4] = {0, 0, 0, 0};
    for (uint32_t s = 0; s < STAGES - 1; s++) {
        if (s < my_turns) {
            start_record<KIND>(ring + s * BYTES, records + (size_t)s * stride);
        }
    }
    if (gpu_thread() < ZEROS / 2) { /* the block has twice as many threads and more */
        reinterpret_cast<uint32_t *>(shared)[gpu_thread()] = 0;
    }
    gpu_wait_for_launch_ahead(); /* only weights were read so far */
    start_x<KIND>(x, args, 0);
    for (uint32_t s = 0; s < STAGES - 1; s++) {
        gpu_cp_async_commit();
    }
    uint32_t stage = 0, part = 0, in_part = 0, x_at = place * K * 2;
    for (uint32_t turn = 0; turn < n_turns; turn++) {
        gpu_cp_async_wait<STAGES - 2>();
        if (in_part == 0) {
            gpu_sync(); /* this part of x is there, the one before is free */
            if (!x_whole) {
                start_x<KIND>(x + (part + 1) % 2 * x_part, args, part + 1);
            }
        } else {
            gpu_syncwave();
        }
        uint32_t next = turn + STAGES - 1, free_stage = stage == 0 ? STAGES - 1 : stage - 1;
        if (next < my_turns) {
            start_record<KIND>(ring + free_stage * BYTES, records + (size_t)next * stride);
        }
        gpu_cp_async_commit();
        if (turn < my_turns) {
            if constexpr (KIND == WEIR_MATRIX_F16) {
                multiply_plain<KIND>(acc, ring + stage * BYTES, shared, lane, x_at);
            } else {
                multiply<KIND, TOKENS>(acc, ring + stage * BYTES, shared, lane, x_at);
            }
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        x_at += splits * K * 2;
        if (++in_part == x_turns) {
            in_part = 0;
            part++;
            x_at = (part % 2 * x_part + place * K) * 2;
        }
    }
    gpu_cp_async_wait<0>();
    finish<GROUPS>(args, acc, reinterpret_cast<float *>(shared), first_tile);
}

#define GEMV_OF(kind, columns)                                                                     \
    GPU_KERNEL_EARLY(weir_gemv##columns##_##kind, struct weir_linear_kernel_args, WAVES *LANES,    \
                     WEIR_GEMV_BLOCKS(WEIR_MATRIX_##kind, columns))                                \
    {                                                                                              \
        gemv<WEIR_MATRIX_##kind, FRAG_COLS / columns>(args);                                       \
    }
/* Columns for each token: 8 for one (two on CDNA), 2 for up to four (eight). F16 needs one. */
#define GEMV_QUANT(kind, k, quants, high, scales) GEMV_OF(kind, 8) GEMV_OF(kind, 2)
WEIR_MATRIX_QUANTS(GEMV_QUANT)
GEMV_OF(F16, 1)
