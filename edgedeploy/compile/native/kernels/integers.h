/* Products of 8-bit integers, summed in 32 bits, for quantized models. As in base.h and rows.h: channels-last images,
   packed weights, results finished where they are stored.

   Everything is int8_t; where the model has uint8_t, 128 is taken off when it is compiled. A sum is of the numbers as
   they are stored: what zero points add to it is the same for all rows, and part of the bias. No weight is -128, so two
   products fit into 16 bits.

   Weights are packed in blocks of Q_COLS columns, their depth filled up with zeros to Q_STEP: see packing.py. So the
   last step may read up to Q_STEP - 1 bytes beyond a row; what is there counts for nothing. */
#ifndef EDGEDEPLOY_KERNELS_INTEGERS_H
#define EDGEDEPLOY_KERNELS_INTEGERS_H

#include "rows.h"

#if defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_NEON)
#include <arm_acle.h>
#endif

enum { Q_STEP = 16 };
#if defined(__ARM_FEATURE_DOTPROD)
enum { Q_ROWS = 8, Q_COLS = 8 }; /* packed [blocks][depth / 4][Q_COLS][4] */
#elif defined(__aarch64__)
enum { Q_ROWS = 4, Q_COLS = 4 }; /* packed [blocks][depth / Q_STEP][Q_COLS][Q_STEP], as in all others */
#else
enum { Q_ROWS = 2, Q_COLS = 4 };
#endif

typedef int32_t i4 __attribute__((vector_size(16)));
typedef int32_t i4u __attribute__((vector_size(16), aligned(4), may_alias));

INLINE i4 loadi4(const int32_t *from) { return *(const i4u *)from; }

/* From sums to results. */
struct rescale {
    const int32_t *bias; /* one for each column, filled up as weights are */
    const float *scale;
    bool whole;      /* whether results are int8_t: rounded, `zero` added; or else float, with `finish` applied */
    int zero;        /* these three only where they are */
    float low, high; /* bounds before `zero` is added */
    struct finish finish;
};

INLINE i4 rescaled(i4 sum, v4 scale, const struct rescale *to)
{
    v4 number = __builtin_convertvector(sum, v4) * scale;
    number = min4(max4(number, splat4(to->low)), splat4(to->high));
    /* Rounding to even by adding 1.5 * 2^23: the sum's last bits are the integer. */
    number += splat4(12582912.0f);
    return (i4)number - (0x4b400000 - to->zero);
}

INLINE void store_integers(int8_t *y, i4 numbers)
{
#if defined(__ARM_NEON)
    int8x8_t narrow = vmovn_s16(vcombine_s16(vmovn_s32((int32x4_t)numbers), vdup_n_s16(0)));
    int32_t four = vget_lane_s32(vreinterpret_s32_s8(narrow), 0);
    memcpy(y, &four, 4);
#else
    UNROLL for (int c = 0; c < 4; c++) y[c] = (int8_t)numbers[c];
#endif
}

#if defined(__aarch64__)
/* What finishing needs in registers. */
struct bounds {
    int16x8_t zero;
    int8x16_t low, high;
};

INLINE struct bounds bounds_of(const struct rescale *to)
{
    return (struct bounds){vdupq_n_s16((int16_t)to->zero), vdupq_n_s8((int8_t)((int)to->low + to->zero)),
                           vdupq_n_s8((int8_t)((int)to->high + to->zero))};
}

/* Sixteen sums, rounded to even; what is too large for a type on the way is cut off, as the bounds would. */
INLINE int8x16_t sixteen(i4 a, i4 b, i4 c, i4 d, v4 even, v4 odd, const struct bounds *bounds)
{
#define ROUNDED(sum, scale) vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32((int32x4_t)(sum)), (float32x4_t)(scale)))
    int16x8_t low = vqmovn_high_s32(vqmovn_s32(ROUNDED(a, even)), ROUNDED(b, odd));
    int16x8_t high = vqmovn_high_s32(vqmovn_s32(ROUNDED(c, even)), ROUNDED(d, odd));
#undef ROUNDED
    int8x16_t all = vqmovn_high_s16(vqmovn_s16(vqaddq_s16(low, bounds->zero)), vqaddq_s16(high, bounds->zero));
    return vminq_s8(vmaxq_s8(all, bounds->low), bounds->high);
}

INLINE void store_word(int8_t *y, int32_t four) { memcpy(y, &four, 4); }
#endif

/* Of four columns of one row: floats, or fewer than four integers. */
KERNEL void finish_rest(i4 sum, v4 scale, void *result, long at, int columns, const struct rescale *to)
{
    if (to->whole) {
        i4 numbers = rescaled(sum, scale, to);
        for (int c = 0; c < columns && c < 4; c++)
            ((int8_t *)result)[at + c] = (int8_t)numbers[c];
        return;
    }
    v4 numbers = __builtin_convertvector(sum, v4) * scale;
    float *y = (float *)result + at;
    if (columns >= 4) {
        store4(y, numbers);
        columns = 4;
    } else {
        for (int c = 0; c < columns; c++)
            y[c] = numbers[c];
    }
    activate(y, columns, &to->finish);
}

/* Four columns of one row, of which `columns` are there. `at` counts elements from `result`. */
INLINE void finish_four(i4 sum, v4 scale, void *result, long at, int columns, const struct rescale *to)
{
    if (to->whole && columns >= 4)
        store_integers((int8_t *)result + at, rescaled(sum, scale, to));
    else
        finish_rest(sum, scale, result, at, columns, to);
}

#if defined(__ARM_FEATURE_DOTPROD)
INLINE void integer_sums(const int count, const int8_t *const *rows, int depth, const int8_t *weights, i4 sums[][2])
{
    int32x4_t sum[Q_ROWS][2];
    UNROLL for (int r = 0; r < count; r++) sum[r][0] = sum[r][1] = vdupq_n_s32(0);
    for (int k = 0; k < depth; k += Q_STEP) {
        int8x16_t a[Q_ROWS];
        UNROLL for (int r = 0; r < count; r++) a[r] = vld1q_s8(rows[r] + k);
#define STEP(i)                                                                                                        \
    {                                                                                                                  \
        int8x16_t low = vld1q_s8(weights), high = vld1q_s8(weights + 16);                                              \
        weights += 32;                                                                                                 \
        UNROLL for (int r = 0; r < count; r++)                                                                         \
        {                                                                                                              \
            sum[r][0] = vdotq_laneq_s32(sum[r][0], low, a[r], i);                                                      \
            sum[r][1] = vdotq_laneq_s32(sum[r][1], high, a[r], i);                                                     \
        }                                                                                                              \
    }
        STEP(0) STEP(1) STEP(2) STEP(3)
#undef STEP
    }
    UNROLL for (int r = 0; r < count; r++)
    {
        sums[r][0] = (i4)sum[r][0];
        sums[r][1] = (i4)sum[r][1];
    }
}
#elif defined(__ARM_NEON)
INLINE int16x8_t two_products(int8x16_t a, int8x16_t b)
{
    int16x8_t one = vmull_s8(vget_low_s8(a), vget_low_s8(b));
#if defined(__aarch64__)
    return vmlal_high_s8(one, a, b);
#else
    return vmlal_s8(one, vget_high_s8(a), vget_high_s8(b));
#endif
}

INLINE int32x4_t add_pairs(int32x4_t a, int32x4_t b)
{
#if defined(__aarch64__)
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}

INLINE void integer_sums(const int count, const int8_t *const *rows, int depth, const int8_t *weights, i4 sums[][1])
{
    int32x4_t sum[Q_ROWS][Q_COLS];
    int k = 0;
    if (depth > Q_STEP / 2) { /* The first step has nothing to add to. */
        int8x16_t a[Q_ROWS];
        UNROLL for (int r = 0; r < count; r++) a[r] = vld1q_s8(rows[r]);
        UNROLL for (int c = 0; c < Q_COLS; c++, weights += Q_STEP)
        {
            int8x16_t b = vld1q_s8(weights);
            UNROLL for (int r = 0; r < count; r++) sum[r][c] = vpaddlq_s16(two_products(a[r], b));
        }
        k = Q_STEP;
    } else {
        UNROLL for (int r = 0; r < count; r++)
        {
            UNROLL for (int c = 0; c < Q_COLS; c++) sum[r][c] = vdupq_n_s32(0);
        }
    }
    for (; k + Q_STEP / 2 < depth; k += Q_STEP) {
        int8x16_t a[Q_ROWS];
        UNROLL for (int r = 0; r < count; r++) a[r] = vld1q_s8(rows[r] + k);
        UNROLL for (int c = 0; c < Q_COLS; c++, weights += Q_STEP)
        {
            int8x16_t b = vld1q_s8(weights);
            UNROLL for (int r = 0; r < count; r++) 
                sum[r][c] = vpadalq_s16(sum[r][c], two_products(a[r], b));
        }
    }
    if (k < depth) { /* The other half of the last step is zeros. */
        int8x8_t a[Q_ROWS];
        UNROLL for (int r = 0; r < count; r++) a[r] = vld1_s8(rows[r] + k);
        UNROLL for (int c = 0; c < Q_COLS; c++, weights += Q_STEP)
        {
            int8x8_t b = vld1_s8(weights);
            UNROLL for (int r = 0; r < count; r++) sum[r][c] = vpadalq_s16(sum[r][c], vmull_s8(a[r], b));
        }
    }
    UNROLL for (int r = 0; r < count; r++)
        sums[r][0] = (i4)add_pairs(add_pairs(sum[r][0], sum[r][1]), add_pairs(sum[r][2], sum[r][3]));
}
#else
/* Four neighbours of each row: products of the even ones and of the odd ones. */
INLINE int32_t add_four(int32_t sum, const int8_t *a, const int8_t *b)
{
#if defined(__ARM_FEATURE_SIMD32)
    int8x4_t first, second;
    memcpy(&first, a, 4);
    memcpy(&second, b, 4);
    sum = __smlad(__sxtb16(first), __sxtb16(second), sum);
    return __smlad(__sxtb16((int8x4_t)__ror((uint32_t)first, 8)), __sxtb16((int8x4_t)__ror((uint32_t)second, 8)), sum);
#else
    return sum + a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
#endif
}

INLINE void integer_sums(const int count, const int8_t *const *rows, int depth, const int8_t *weights, i4 sums[][1])
{
    int32_t sum[Q_ROWS][Q_COLS] = {{0}};
    for (int k = 0; k < depth; k += Q_STEP, weights += Q_COLS * Q_STEP)
        for (int i = 0; i < Q_STEP; i += 4)
            UNROLL for (int c = 0; c < Q_COLS; c++)
            {
                UNROLL for (int r = 0; r < count; r++)
                    sum[r][c] = add_four(sum[r][c], rows[r] + k + i, weights + c * Q_STEP + i);
            }
    UNROLL for (int r = 0; r < count; r++) sums[r][0] = (i4){sum[r][0], sum[r][1], sum[r][2], sum[r][3]};
}
#endif

INLINE long packed_depth(int depth) { return (depth + Q_STEP - 1) / Q_STEP * (long)Q_STEP; }

/* `count` rows and `columns` columns; the first is number `column` of bias and scale, and a block begins there. */
INLINE void integer_tile(const int count, const int8_t *const *rows, int depth, const int8_t *weights, int column,
                         int columns, void *result, long at, long stride, const struct rescale *to)
{
    const long block = packed_depth(depth) * Q_COLS;
#if defined(__aarch64__)
    const struct bounds bounds = bounds_of(to);
#endif
    for (int c = 0; c < columns; c += Q_COLS, weights += block) {
        i4 sums[Q_ROWS][Q_COLS / 4];
        integer_sums(count, rows, depth, weights, sums);
        UNROLL for (int part = 0; part < Q_COLS / 4; part++)
        {
            const int here = c + part * 4;
            if (here >= columns)
                break;
            const i4 bias = loadi4(to->bias + column + here);
            const v4 scale = load4(to->scale + column + here);
#if defined(__aarch64__)
            if (count % 4 == 0 && to->whole && here + 4 <= columns) {
                UNROLL for (int r = 0; r < count; r += 4)
                {
                    int32x4_t words = vreinterpretq_s32_s8(
                        sixteen(sums[r][part] + bias, sums[r + 1][part] + bias, sums[r + 2][part] + bias,
                                sums[r + 3][part] + bias, scale, scale, &bounds));
                    int8_t *y = (int8_t *)result + at + here + r * stride;
                    store_word(y, vgetq_lane_s32(words, 0));
                    store_word(y + stride, vgetq_lane_s32(words, 1));
                    store_word(y + 2 * stride, vgetq_lane_s32(words, 2));
                    store_word(y + 3 * stride, vgetq_lane_s32(words, 3));
                }
                continue;
            }
#endif
#if defined(__aarch64__)
            if (count % 4 == 0) {
                for (int r = 0; r < count; r++)
                    finish_rest(sums[r][part] + bias, scale, result, at + r * stride + here, columns - here, to);
                continue;
            }
#endif
            UNROLL for (int r = 0; r < count; r++)
                finish_four(sums[r][part] + bias, scale, result, at + r * stride + here, columns - here, to);
        }
    }
}

#define INTEGER_TILE(N)                                                                                                \
    KERNEL void integer_tile_##N(const int8_t *const *rows, int depth, const int8_t *weights, int column, int columns, \
                                 void *result, long at, long stride, const struct rescale *to)                         \
    {                                                                                                                  \
        integer_tile(N, rows, depth, weights, column, columns, result, at, stride, to);                                \
    }
INTEGER_TILE(1)
INTEGER_TILE(2)
#if defined(__aarch64__)
INTEGER_TILE(4)
#endif
#if defined(__ARM_FEATURE_DOTPROD)
INTEGER_TILE(8)
#endif

/* Any number of rows from 1 to Q_ROWS. */
INLINE void integer_rows(int count, const int8_t *const *rows, int depth, const int8_t *weights, int column,
                         int columns, void *result, long at, long stride, const struct rescale *to)
{
#define PART(N)                                                                                                        \
    while (count >= N) {                                                                                               \
        integer_tile_##N(rows, depth, weights, column, columns, result, at, stride, to);                               \
        count -= N, rows += N, at += N * stride;                                                                       \
    }
#if defined(__ARM_FEATURE_DOTPROD)
    PART(8)
#endif
#if defined(__aarch64__)
    PART(4)
#endif
    PART(2)
    PART(1)
#undef PART
}

/* How many columns of weights are used again and again before the next ones: they are to stay in the first cache. */
INLINE int panel_columns(int depth)
{
    const long columns = 16384 / packed_depth(depth) / Q_COLS * Q_COLS;
    return columns < Q_COLS ? Q_COLS : (int)columns;
}

/* result[m][n] = finished(a[m][k] × packed [k][n] + bias[n]); `a_stride` and `stride` from row to row. `first` is the
   place of the first column in bias and scale. */
KERNEL void integer_matmul(const int8_t *a, long a_stride, const int8_t *weights, int first, void *result, long at,
                           long stride, int m, int n, int k, const struct rescale *to)
{
    const int panel = panel_columns(k);
    for (int column = 0; column < n; column += panel) {
        const int columns = n - column < panel ? n - column : panel;
        for (int row = 0; row < m; row += Q_ROWS) {
            const int count = m - row < Q_ROWS ? m - row : Q_ROWS;
            const int8_t *rows[Q_ROWS];
            for (int r = 0; r < count; r++)
                rows[r] = a + (row + r) * a_stride;
            integer_rows(count, rows, k, weights + column * packed_depth(k), first + column, columns, result,
                         at + row * stride + column, stride, to);
        }
    }
}

/* x[height][width][groups * depth] → y[out_height][out_width][groups * columns], one image. `zeros` are `depth` times the
   zero point of x; `patches` is room for Q_ROWS windows and one more step. */
KERNEL void integer_conv(const int8_t *x, const int8_t *weights, void *y, long first, int groups, int depth, int columns,
                         const struct window *w, const int8_t *zeros, int8_t *patches, const struct rescale *to)
{
    const int taps = w->kernel_height * w->kernel_width, pixels = w->out_height * w->out_width, k = taps * depth;
    const int blocks = (columns + Q_COLS - 1) / Q_COLS;
    const long channels = (long)groups * depth, stride = (long)groups * columns;
    const int8_t *rows[Q_ROWS];
    for (int pixel = 0; pixel < pixels; pixel += Q_ROWS) {
        const int count = pixels - pixel < Q_ROWS ? pixels - pixel : Q_ROWS;
        for (int group = 0; group < groups; group++) {
            for (int r = 0; r < count; r++) {
                const int top = (pixel + r) / w->out_width * w->stride_height - w->top;
                const int left = (pixel + r) % w->out_width * w->stride_width - w->left;
                /* The places of a window's row that lie inside of the image: with no dilation they are one piece. */
                int8_t *to_patch = patches + (long)r * k;
                rows[r] = to_patch;
                for (int i = 0; i < w->kernel_height; i++) {
                    const int at_y = top + i * w->dilation_height;
                    const bool row_inside = at_y >= 0 && at_y < w->height;
                    const int8_t *from = x + ((long)at_y * w->width + left) * channels + (long)group * depth;
                    if (row_inside && groups == 1 && w->dilation_width == 1 && left >= 0 &&
                        left + w->kernel_width <= w->width) {
                        memcpy(to_patch, from, (size_t)w->kernel_width * (size_t)depth);
                        to_patch += w->kernel_width * depth;
                        continue;
                    }
                    for (int j = 0; j < w->kernel_width; j++, to_patch += depth) {
                        const int at_x = left + j * w->dilation_width;
                        const bool inside = row_inside && at_x >= 0 && at_x < w->width;
                        memcpy(to_patch, inside ? from + (long)j * w->dilation_width * channels : zeros, (size_t)depth);
                    }
                }
            }
            const long which = (long)group * blocks * Q_COLS;
            integer_rows(count, rows, k, weights + which * packed_depth(k), (int)which, columns, y,
                         first + pixel * stride + (long)group * columns, stride, to);
        }
    }
}

#if defined(__ARM_NEON)
/* Eight channels' sums: `low` and `high` of two products each. */
INLINE void add_eight(int32x4_t *low, int32x4_t *high, int16x8_t two)
{
    *low = vaddw_s16(*low, vget_low_s16(two));
    *high = vaddw_s16(*high, vget_high_s16(two));
}
#endif

/* One pixel, whose window's places lie at places[taps]; channels from `c` on. */
INLINE void integer_depthwise_pixel(const int8_t *const *places, int taps, const int8_t *weights, int channels, int c,
                                    void *y, long at, const struct rescale *to)
{
#if defined(__ARM_NEON)
    for (; c + 8 <= channels; c += 8) {
        int32x4_t low = vld1q_s32(to->bias + c), high = vld1q_s32(to->bias + c + 4);
        int t = 0;
        for (; t + 2 <= taps; t += 2) {
            int16x8_t two = vmull_s8(vld1_s8(places[t] + c), vld1_s8(weights + (long)t * channels + c));
            two = vmlal_s8(two, vld1_s8(places[t + 1] + c), vld1_s8(weights + (long)(t + 1) * channels + c));
            add_eight(&low, &high, two);
        }
        if (t < taps)
            add_eight(&low, &high, vmull_s8(vld1_s8(places[t] + c), vld1_s8(weights + (long)t * channels + c)));
        const v4 scale_low = load4(to->scale + c), scale_high = load4(to->scale + c + 4);
#if defined(__aarch64__)
        if (to->whole) {
            const struct bounds bounds = bounds_of(to);
            int8x16_t all = sixteen((i4)low, (i4)high, (i4)low, (i4)high, scale_low, scale_high, &bounds);
            vst1_s8((int8_t *)y + at + c, vget_low_s8(all));
            continue;
        }
#endif
        finish_four((i4)low, scale_low, y, at + c, 4, to);
        finish_four((i4)high, scale_high, y, at + c + 4, 4, to);
    }
#endif
    for (; c < channels; c += 4) {
        const int columns = channels - c < 4 ? channels - c : 4;
        i4 sum = loadi4(to->bias + c);
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < columns; i++)
                sum[i] += places[t][c + i] * weights[(long)t * channels + c + i];
        finish_four(sum, load4(to->scale + c), y, at + c, columns, to);
    }
}

#if defined(__ARM_NEON)
/* Neighbours whose windows lie inside of the image from left to right: their weights are loaded once. rows[size] are
   where the rows of the first one's window begin. */
INLINE void integer_depthwise_inside(const int pixels, const int size, const int step, const int8_t *const *rows,
                                     const int8_t *weights, int channels, void *y, long at, const struct rescale *to)
{
#if defined(__aarch64__)
    const struct bounds bounds = bounds_of(to);
#endif
    for (int c = 0; c + 8 <= channels; c += 8) {
        int32x4_t low[4], high[4];
        const int32x4_t bias_low = vld1q_s32(to->bias + c), bias_high = vld1q_s32(to->bias + c + 4);
        UNROLL for (int p = 0; p < pixels; p++) low[p] = bias_low, high[p] = bias_high;
        /* Two places of the window go together, in whatever rows they are. */
        UNROLL for (int t = 0; t < size * size; t += 2)
        {
            const bool pair = t + 1 < size * size;
            const int8_t *one = rows[t / size] + (long)(t % size) * channels + c;
            const int8x8_t weight = vld1_s8(weights + (long)t * channels + c);
            const int8_t *other = pair ? rows[(t + 1) / size] + (long)((t + 1) % size) * channels + c : one;
            const int8x8_t other_weight = pair ? vld1_s8(weights + (long)(t + 1) * channels + c) : weight;
            UNROLL for (int p = 0; p < pixels; p++)
            {
                const long here = (long)(p * step) * channels;
                int16x8_t two = vmull_s8(vld1_s8(one + here), weight);
                if (pair)
                    two = vmlal_s8(two, vld1_s8(other + here), other_weight);
                add_eight(&low[p], &high[p], two);
            }
        }
        const v4 scale_low = load4(to->scale + c), scale_high = load4(to->scale + c + 4);
#if defined(__aarch64__)
        if (to->whole) {
            int8_t *to_pixel = (int8_t *)y + at + c;
            UNROLL for (int p = 0; p < pixels; p += 2)
            {
                int8x16_t all = sixteen((i4)low[p], (i4)high[p], (i4)low[p + 1], (i4)high[p + 1], scale_low, scale_high,
                                        &bounds);
                vst1_s8(to_pixel + (long)p * channels, vget_low_s8(all));
                vst1_s8(to_pixel + (long)(p + 1) * channels, vget_high_s8(all));
            }
            continue;
        }
#endif
        UNROLL for (int p = 0; p < pixels; p++)
        {
            finish_four((i4)low[p], scale_low, y, at + (long)p * channels + c, 4, to);
            finish_four((i4)high[p], scale_high, y, at + (long)p * channels + c + 4, 4, to);
        }
    }
}

enum { DEPTHWISE_PIXELS = 4 };
#define INTEGER_DEPTHWISE_INSIDE(SIZE, STEP)                                                                           \
    KERNEL void integer_depthwise_inside_##SIZE##_##STEP(const int8_t *const *rows, const int8_t *weights,             \
                                                         int channels, void *y, long at, const struct rescale *to)     \
    {                                                                                                                  \
        integer_depthwise_inside(DEPTHWISE_PIXELS, SIZE, STEP, rows, weights, channels, y, at, to);                    \
    }
INTEGER_DEPTHWISE_INSIDE(3, 1)
INTEGER_DEPTHWISE_INSIDE(3, 2)
INTEGER_DEPTHWISE_INSIDE(5, 1)
INTEGER_DEPTHWISE_INSIDE(5, 2)

typedef void (*integer_inside)(const int8_t *const *, const int8_t *, int, void *, long, const struct rescale *);

/* What computes neighbours at once, or NULL. */
INLINE integer_inside inside_of(const struct window *w, int channels)
{
    if (channels % 8 != 0 || w->kernel_height != w->kernel_width || w->dilation_height != 1 || w->dilation_width != 1)
        return NULL;
    if (w->kernel_width == 3)
        return w->stride_width == 1 ? integer_depthwise_inside_3_1 : w->stride_width == 2 ? integer_depthwise_inside_3_2 : NULL;
    if (w->kernel_width == 5)
        return w->stride_width == 1 ? integer_depthwise_inside_5_1 : w->stride_width == 2 ? integer_depthwise_inside_5_2 : NULL;
    return NULL;
}
#endif

/* Each channel with a window of its own: x[height][width][channels], weights [taps][channels] → y[out_height][out_width]
   [channels], one image. `zeros` are the zero point of x, so often as DEPTHWISE_PIXELS neighbours read a row of it. */
KERNEL void integer_depthwise(const int8_t *x, const int8_t *weights, void *y, long first, int channels,
                              const struct window *w, const int8_t *zeros, const struct rescale *to)
{
    const int taps = w->kernel_height * w->kernel_width;
    const int8_t *places[taps];
#if defined(__ARM_NEON)
    const integer_inside inside_kernel = inside_of(w, channels);
#endif
    for (int out_y = 0; out_y < w->out_height; out_y++) {
        const int top = out_y * w->stride_height - w->top;
        for (int out_x = 0; out_x < w->out_width; out_x++) {
            const int left = out_x * w->stride_width - w->left;
            const long at = first + ((long)out_y * w->out_width + out_x) * channels;
#if defined(__ARM_NEON)
            if (inside_kernel != NULL && left >= 0 && out_x + DEPTHWISE_PIXELS <= w->out_width &&
                left + (DEPTHWISE_PIXELS - 1) * w->stride_width + w->kernel_width <= w->width) {
                for (int i = 0; i < w->kernel_height; i++) {
                    const bool inside = top + i >= 0 && top + i < w->height;
                    places[i] = inside ? x + ((long)(top + i) * w->width + left) * channels : zeros;
                }
                inside_kernel(places, weights, channels, y, at, to);
                out_x += DEPTHWISE_PIXELS - 1;
                continue;
            }
#endif
            for (int i = 0, tap = 0; i < w->kernel_height; i++)
                for (int j = 0; j < w->kernel_width; j++, tap++) {
                    const int at_y = top + i * w->dilation_height, at_x = left + j * w->dilation_width;
                    const bool inside = at_y >= 0 && at_y < w->height && at_x >= 0 && at_x < w->width;
                    places[tap] = inside ? x + ((long)at_y * w->width + at_x) * channels : zeros;
                }
            integer_depthwise_pixel(places, taps, weights, channels, 0, y, at, to);
        }
    }
}

#endif
