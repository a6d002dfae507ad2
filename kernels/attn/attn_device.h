/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What both attention kernels share: scores and outputs of 16 keys on the matrix units, and the
 * running softmax between them.
 *
 * One arrangement serves mma.m16n8k16 (32 lanes, two of them side by side) and mfma 16x16x16 (64
 * lanes, operands exchanged). A lane holds FRAG_ROWS query rows, frag_row(lane) + 8 b, and of each
 * the columns frag_col(lane, 0..3); that is so for the scores (columns are keys) as the units give
 * them and for the weights as the next product takes them, so that nothing moves between lanes. The
 * order of a sum's terms is free: columns of queries and keys are dealt to lanes so that a lane
 * reads 16 bytes of a key at once (dims_of in scores()), columns of the output so that it reads 16
 * bytes of a value (out_dim()).
 * Keys and values come through a source: load_row<N>(source, row, dim, words) gives N binary16 of a
 * row, from a page (kv_device.h) or from shared memory (attn_tile.h). */
#include "kernels/kv/kv_device.h"

#define WEIR_LOG2_E 1.44269504088896341f

enum {
    FRAG_ROWS = LANES == 32 ? 2 : 1,
    FRAG_LANE_ROWS = LANES == 32 ? 8 : 16 /* lanes that hold different rows */
};

struct alignas(8) frag {
    uint32_t words[FRAG_ROWS][2]; /* 4 binary16 of a row */
};

struct accum {
    float v[FRAG_ROWS][4];
};

GPU_DEVICE int frag_row(int lane)
{
    return LANES == 32 ? lane / 4 : lane % 16;
}

GPU_DEVICE int frag_quad(int lane)
{
    return LANES == 32 ? lane % 4 : lane / 16;
}

GPU_DEVICE int frag_col(int lane, int j)
{
    return LANES == 32 ? j / 2 * 8 + lane % 4 * 2 + j % 2 : lane / 16 * 4 + j;
}

/* Over the lanes that hold the same rows. */
GPU_DEVICE float quad_max(float v)
{
    if constexpr (LANES == 32) {
        v = gpu_max(v, gpu_shfl_xor(v, 1));
        return gpu_max(v, gpu_shfl_xor(v, 2));
    } else {
        v = gpu_max(v, gpu_shfl_xor(v, 16));
        return gpu_max(v, gpu_wave_other(v));
    }
}

GPU_DEVICE float quad_sum(float v)
{
    if constexpr (LANES == 32) {
        v += gpu_shfl_xor(v, 1);
        return v + gpu_shfl_xor(v, 2);
    } else {
        v += gpu_shfl_xor(v, 16);
        return v + gpu_wave_other(v);
    }
}

/* s += q k over 16 columns. B is how many of its FRAG_ROWS query rows a lane uses: with 8 query
 * rows, half the registers. */
template <int B>
GPU_DEVICE void frag_mma(struct accum &s, const struct frag &q, const struct frag &k)
{
#if defined(GPU_CDNA)
    gpu_mfma_16x16x16_f16(s.v[0], k.words[0], q.words[0]);
#else
    const uint32_t a[4] = {q.words[0][0], B == 2 ? q.words[B - 1][0] : 0, q.words[0][1],
                           B == 2 ? q.words[B - 1][1] : 0};
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        float c[4] = {s.v[0][2 * half], s.v[0][2 * half + 1], B == 2 ? s.v[B - 1][2 * half] : 0.0f,
                      B == 2 ? s.v[B - 1][2 * half + 1] : 0.0f};
        gpu_mma_16x8x16_f16(c, a, k.words[half]);
        s.v[0][2 * half] = c[0];
        s.v[0][2 * half + 1] = c[1];
        if constexpr (B == 2) {
            s.v[B - 1][2 * half] = c[2];
            s.v[B - 1][2 * half + 1] = c[3];
        }
    }
#endif
}

/* Where queries are kept: in registers, or, where heads are too large for that, in shared memory
 * with a lane's fragments LANES apart. */
template <int D> GPU_DEVICE constexpr int query_stride()
{
    return D > 128 ? LANES : 1;
}

/* Fragments of shared memory that a warp's queries take. */
template <int D> GPU_DEVICE constexpr int shared_queries()
{
    return D > 128 ? D / 16 * LANES : 0;
}

/* Query fragments; row r is q + r * stride, rows from n_rows up are zero. */
template <int D, int B>
GPU_DEVICE void load_queries(const float *q, uint32_t stride, int n_rows, float scale, int lane,
                             struct frag *frags)
{
    GPU_UNROLL
    for (int b = 0; b < B; b++) {
        const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
        const float *x = q + (size_t)(row < n_rows ? row : 0) * stride;
        const float s = row < n_rows ? scale : 0.0f;
        GPU_UNROLL
        for (int c = 0; c < D / 16; c++) {
            /* A lane's 8 dims of 32, or its 4 of the last 16. */
            const int dim = c / 2 * 2 == D / 16 - 1 ? c * 16 + 4 * frag_quad(lane)
                                                    : c / 2 * 32 + 8 * frag_quad(lane) + c % 2 * 4;
            const struct gpu_f4 v = gpu_load<struct gpu_f4>(x + dim);
            frags[c * query_stride<D>()].words[b][0] = gpu_pack_f16(v.x * s, v.y * s);
            frags[c * query_stride<D>()].words[b][1] = gpu_pack_f16(v.z * s, v.w * s);
        }
    }
}

/* s += q k for 16 keys, which are read as they are needed, into few registers. */
template <int D, int B, class Source>
GPU_DEVICE void scores_of(const Source &source, const struct frag *q, int lane, struct accum &s)
{
    GPU_UNROLL
    for (int c = 0; c < D / 16; c += 2) {
        constexpr int LAST = D / 16 - 1;
        struct frag keys[2];
        GPU_UNROLL
        for (int b = 0; b < FRAG_ROWS; b++) {
            const int row = frag_row(lane) + b * FRAG_LANE_ROWS;
            if (c < LAST) {
                uint32_t w[4];
                load_row<8>(source, row, c * 16 + 8 * frag_quad(lane), w);
                keys[0].words[b][0] = w[0];
                keys[0].words[b][1] = w[1];
                keys[1].words[b][0] = w[2];
                keys[1].words[b][1] = w[3];
            } else {
                load_row<4>(source, row, c * 16 + 4 * frag_quad(lane), keys[0].words[b]);
            }
        }
        frag_mma<B>(s, q[c * query_stride<D>()], keys[0]);
        if (c < LAST) {
            frag_mma<B>(s, q[(c + 1) * query_stride<D>()], keys[1]);
        }
    }
}

/* Output dims that a lane reads of a value at once, of the `left` dims still to do. */
GPU_DEVICE constexpr int value_run(int left)
{
    return left >= 8 * FRAG_LANE_ROWS   ? 8
           : left >= 4 * FRAG_LANE_ROWS ? 4
           : left >= 2 * FRAG_LANE_ROWS ? 2
                                        : 1;
}

/* Binary16 number e of row a and of row b side by side. */
GPU_DEVICE uint32_t pair_of(const uint32_t *a, const uint32_t *b, int e)
{
    return e % 2 ? a[e / 2] >> 16 | (b[e / 2] & 0xFFFF0000u)
                 : (a[e / 2] & 0xFFFFu) | b[e / 2] << 16;
}

/* out += p v for 16 keys, dims from BASE up; values are read as they are needed. */
template <int D, int B, int BASE, class Source>
GPU_DEVICE void outputs_of(const Source &source, const struct frag &p, int lane, struct accum *out)
{
    if constexpr (BASE < D) {
        constexpr int N = value_run(D - BASE);
        uint32_t w[4][(N + 1) / 2];
        GPU_UNROLL
        for (int j = 0; j < 4; j++) {
            load_row<N>(source, frag_col(lane, j), BASE + N * frag_row(lane), w[j]);
        }
        GPU_UNROLL
        for (int f = 0; f < N / FRAG_ROWS; f++) {
            struct frag columns;
            GPU_UNROLL
            for (int b = 0; b < FRAG_ROWS; b++) {
                columns.words[b][0] = pair_of(w[0], w[1], f * FRAG_ROWS + b);
                columns.words[b][1] = pair_of(w[2], w[3], f * FRAG_ROWS + b);
            }
            frag_mma<B>(out[BASE / 16 + f], p, columns);
        }
        outputs_of<D, B, BASE + N * FRAG_LANE_ROWS>(source, p, lane, out);
    }
}

/* One number of the output, in the formats that the caller has room for. */
GPU_DEVICE void give_output(float *out, uint16_t *out_f16, size_t at, float v)
{
    if (out != nullptr) {
        out[at] = v;
    }
    if (out_f16 != nullptr) {
        out_f16[at] = gpu_f32_to_f16(v);
    }
}

/* The dim of out[block].v[..][j]. */
template <int D> GPU_DEVICE int out_dim(int block, int lane, int j)
{
    int base = 0;
    int n = value_run(D);
    while (base + n * FRAG_LANE_ROWS <= block * 16) {
        base += n * FRAG_LANE_ROWS;
        n = value_run(D - base);
    }
    const int x = frag_col(lane, j);
    return base + n * (x % FRAG_LANE_ROWS) + (block - base / 16) * FRAG_ROWS + x / FRAG_LANE_ROWS;
}

/* Running softmax of a lane's rows, base 2. Sums are of the lane's own columns until the end. */
template <int D> struct running {
    float max[FRAG_ROWS], sum[FRAG_ROWS];
    struct accum out[D / 16];
};

template <int D, int B> GPU_DEVICE void running_init(struct running<D> &r)
{
    GPU_UNROLL
    for (int b = 0; b < B; b++) {
        r.max[b] = -INFINITY;
        r.sum[b] = 0.0f;
        GPU_UNROLL
        for (int i = 0; i < D / 16; i++) {
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                r.out[i].v[b][j] = 0.0f;
            }
        }
    }
}

/* Weights p of the keys behind the scores s (-inf: not seen), times the values' scales.
 * e^0 is 1 and masked keys are 0 exactly: a block of keys that a row does not see changes nothing,
 * so that results do not depend on which rows share a tile. */
template <int D, int B, int BLOCKS>
GPU_DEVICE void running_step(struct running<D> &r, const struct accum (&s)[BLOCKS],
                             const float (&v_scale)[BLOCKS][4], struct frag (&p)[BLOCKS])
{
    GPU_UNROLL
    for (int b = 0; b < B; b++) {
        float max = r.max[b];
        GPU_UNROLL
        for (int i = 0; i < BLOCKS; i++) {
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                max = gpu_max(max, s[i].v[b][j]);
            }
        }
        max = quad_max(max);
        const float base = max == -INFINITY ? 0.0f : max;
        const float shrink = gpu_exp2(r.max[b] - base);
        float sum = 0.0f;
        GPU_UNROLL
        for (int i = 0; i < BLOCKS; i++) {
            float e[4];
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                e[j] = gpu_exp2(s[i].v[b][j] - base);
                sum += e[j];
                e[j] *= v_scale[i][j];
            }
            p[i].words[b][0] = gpu_pack_f16(e[0], e[1]);
            p[i].words[b][1] = gpu_pack_f16(e[2], e[3]);
        }
        r.max[b] = max;
        r.sum[b] = r.sum[b] * shrink + sum;
        GPU_UNROLL
        for (int i = 0; i < D / 16; i++) {
            GPU_UNROLL
            for (int j = 0; j < 4; j++) {
                r.out[i].v[b][j] *= shrink;
            }
        }
    }
}
